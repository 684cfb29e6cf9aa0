"""What the chain leaves for readers: a table, ``report.json`` and a page."""

from __future__ import annotations

import json
from pathlib import Path

from sliceflow.errors import UserError
from sliceflow.files import write_file
from sliceflow.pruning.definitions import compression_ratio, speed_up
from sliceflow.report.tables import Table, count, share
from sliceflow.study.chain import Chain, Stage
from sliceflow.study.page import Part, render
from sliceflow.study.store import write_json

_COLUMNS = (
    *("stage", "parameters", "smaller", "non-zero", "MACs", "theoretical", "cycles", "hardware", "useful products"),
    *("accuracy %", "int %"),
)
DEFINITIONS = (
    "Every row is the network as it left the stage, exported and measured. Accuracy: top-1 on the test images, in "
    "float with ONNX Runtime; int: quantized, on the simulated device.",
    "Smaller, theoretical, hardware: how many times fewer parameters, multiply-accumulates and predicted clock cycles "
    "of one image than the trained network has. Zeros that still stand in a network count in all of them.",
    "Useful products: share of the array's multiplications that the network needs; the rest are idle lanes.",
)


def table_of(chain: Chain) -> Table:
    """The figures of each stage."""
    table = Table(f"From training to {chain.deploy.profile}, stage by stage", _COLUMNS, right=frozenset(_COLUMNS[1:]))
    first = chain.stages[0].measurement
    for stage in chain.stages:
        m = stage.measurement
        integers = m.hardware.accuracy
        table.add(
            stage.name,
            count(m.parameters),
            f"{compression_ratio(first.parameters, m.parameters):.2f}",
            count(m.nonzero),
            count(m.macs),
            f"{speed_up(first.macs, m.macs):.2f}",
            f"{m.hardware.cycles:,}",
            f"{speed_up(first.hardware.cycles, m.hardware.cycles):.2f}",
            share(m.hardware.lanes_used),
            f"{100 * m.accuracy.top1:.2f}",
            "" if integers is None else f"{100 * integers.top1:.2f}",
        )
    return table


def verdict(chain: Chain) -> list[str]:
    """What became of the quantized network, in sentences."""
    found = chain.verification
    values = sum(layer["values"] for layer in found["layers"])
    last = chain.stages[-1].measurement
    lines = [f"quantized, in ONNX Runtime (measured): {100 * chain.quantized.top1:.2f} %"]
    if last.hardware.accuracy is not None:
        lines.append(f"on {chain.deploy.device} (simulated): {100 * last.hardware.accuracy.top1:.2f} %")
    if found["match"]:
        lines.append(f"{chain.deploy.device} and the reference agree on all {values:,} values of every layer")
    else:
        lines.append(f"{chain.deploy.device} DIFFERS from the reference, first in {found['first_mismatch']['layer']}")
    if last.hardware.fpga_share < 1:
        lines.append(f"{share(1 - last.hardware.fpga_share)} of the MACs stay on the CPU; the cycles leave them out")
    return [*lines, *last.hardware.notes]


def write_report(chain: Chain, folder: Path) -> None:
    """Write ``report.json`` and ``report.html``.

    Raises:
        UserError: they cannot be written.
    """
    write_json(folder / "report.json", chain.to_json())
    recipe = chain.recipe
    lead = (
        f"{recipe['model']['build']} on {recipe['data']['load'] or recipe['data']['train']}, pruned with "
        f"{recipe['prune']['method']}, for the accelerator {chain.deploy.profile}."
    )
    table = table_of(chain)
    parts = [
        Part(title="Stage by stage", table=table, items=[f"{stage.name}: {stage.says}" for stage in chain.stages]),
        Part(title="Quantized and verified", items=verdict(chain)),
        Part(title="Layers", table=_layers(chain), folded=True),
        Part(title="Recall of each class, in per cent", table=_recall(chain.stages), folded=True),
        Part(title="Definitions", items=DEFINITIONS),
        Part(title="Recipe", code=json.dumps(recipe, indent=1), folded=True),
        Part(title="Made", code=json.dumps(chain.manifest, indent=1), folded=True),
    ]
    try:
        write_file(folder / "report.html", render("From training to the accelerator", lead, parts))
    except OSError as error:
        raise UserError("the report cannot be written", where=str(folder), why=str(error)) from error


def _layers(chain: Chain) -> Table:
    columns = ("layer", *(stage.name for stage in chain.stages))
    table = Table("Channels that each layer reads and makes", columns, right=frozenset(columns[1:]))
    lists = [stage.measurement.layers for stage in chain.stages]
    if len({len(layers) for layers in lists}) == 1:
        for layers in zip(*lists, strict=True):
            table.add(layers[0].name, *(f"{layer.inputs} to {layer.outputs}" for layer in layers))
    return table


def _recall(stages: list[Stage]) -> Table:
    columns = ("stage", *(f"class {index}" for index in range(len(stages[0].measurement.accuracy.recall))))
    table = Table("Recall of each class", columns, right=frozenset(columns[1:]))
    for stage in stages:
        cells = ["" if value is None else f"{100 * value:.1f}" for value in stage.measurement.accuracy.recall]
        table.add(stage.name, *cells)
    return table
