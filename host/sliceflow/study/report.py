"""What a study leaves for readers: a page and a table."""

from __future__ import annotations

import json
from pathlib import Path

from sliceflow.errors import UserError
from sliceflow.files import write_file
from sliceflow.report.tables import Table
from sliceflow.study import plots
from sliceflow.study.page import Part, render
from sliceflow.study.study import Results
from sliceflow.study.tables import hardware_table, main_table, markdown, recall_table, width_table
from sliceflow.text import encodable

DEFINITIONS = (
    "Accuracy: top-1 on the test images, mean ± sample standard deviation over the seeds. In float it is measured with "
    "ONNX Runtime; int: the quantized network on a simulated device, integer by integer.",
    "Change: of the quantized accuracy, in points, against the unpruned network of the same seed, which was trained on "
    "for as many epochs.",
    "Smaller: compression ratio, original parameters divided by those that are left in the exported network. Non-zero "
    "counts zeros that still stand there as gone: storage could leave them out, the accelerator multiplies them.",
    "Theoretical: speed-up by multiply-accumulates. ONNX Runtime: measured on the CPU, one thread, both networks in "
    "turn. Hardware: by clock cycles that the cycle model predicts. They are different things.",
    "Size of a method, from scratch: the pruned network's shape with fresh weights, trained for as many epochs as the "
    "first training and fine-tuning took together.",
    "Asked: what the method was asked for; what it did stands beside it.",
)


def table_of(results: Results) -> Table:
    """The main table."""
    unit = "compression ratio" if results.study.unit == "compression" else "share"
    profile = results.deploy.profile
    return main_table(results.rows, f"Accuracy and cost on {profile} (asked: {unit}; smaller and faster: times)")


def write_report(results: Results, folder: Path) -> None:
    """Write ``report.html`` and ``table.md``.

    Raises:
        UserError: they cannot be written.
    """
    page = render(_title(results), _lead(results), _parts(results))
    table = table_of(results)
    text = [table.title, markdown(table), *(f"- {text}" for text in (*DEFINITIONS, *results.cautions))]
    try:
        write_file(folder / "report.html", page)
        write_file(folder / "table.md", encodable("\n\n".join(text[:2]) + "\n\n" + "\n".join(text[2:]) + "\n").encode())
    except OSError as error:
        raise UserError("the report cannot be written", where=str(folder), why=str(error)) from error


def _title(results: Results) -> str:
    return f"Pruning study: {results.recipe['model']['build']}"


def _lead(results: Results) -> str:
    study, data = results.study, results.recipe["data"]
    seeds = "1 seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"
    source = data["load"] or data["train"]
    return (
        f"{', '.join(study.methods)} and their controls, on {source}, for the accelerator {results.deploy.profile}; "
        f"{len(study.ratios)} ratios, {seeds}."
    )


def _parts(results: Results) -> list[Part]:
    rows = results.rows
    parts = [Part(title="Read this first", items=results.cautions)] if results.cautions else []
    if results.failed:
        items = [f"{key}: {why}" for key, why in results.failed.items()]
        parts.append(Part(title="Cells that could not be made", items=items))
    table = table_of(results)
    parts.append(Part(title="Accuracy and cost", table=table, text=[table.title]))
    for cost, (_, words, _) in plots.COSTS.items():
        front = results.fronts[cost]
        best = ", ".join(f"{rows[i].label}{f' at {rows[i].ratio:g}' if rows[i].ratio else ''}" for i in front)
        image = plots.data_uri(plots.trade_off(rows, front, cost))
        title = f"Accuracy over {words}"
        alt = f"{title}; Pareto front: {best}"
        parts.append(Part(title=title, image=image, alt=alt, text=[f"Not beaten: {best}."]))
    layers = [f"layer {index}" for index in range(len(rows[0].widths[0]))]
    tables = (hardware_table(rows), width_table(rows, layers), recall_table(rows))
    parts += [Part(title=table.title, table=table, folded=True) for table in tables]
    parts.append(Part(title="Definitions", items=DEFINITIONS))
    manifest = json.dumps(results.manifest, indent=1)
    parts.append(Part(title="What is needed to repeat it", code=manifest, folded=True))
    return parts
