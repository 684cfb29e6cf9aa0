"""``sliceflow bench``: CPU against FPGA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.errors import UserError
from sliceflow.report.tables import Table, count, share


def bench(
    artifact: options.Artifact,
    model: Annotated[Path | None, typer.Option("--model", help="The float model, for ONNX Runtime.")] = None,
    quantized: Annotated[Path | None, typer.Option("--quantized", help="The quantized one.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help=".npy or .npz, also with `label`; random if omitted.")
    ] = None,
    device: options.Device = "csim",
    threads: Annotated[list[int] | None, typer.Option(min=1, help="Threads; repeat for several.")] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Calls that do not count.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Calls that do.")] = 30,
    clocks: Annotated[bool, typer.Option("--clocks", help="csim: count the clocks of the HLS C++ (slower).")] = False,
    link: Annotated[str, typer.Option(help="Assumed connection: pcie or axi.")] = "pcie",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare ONNX Runtime on this CPU with the FPGA.

    For one image; each number says whether it is measured or predicted.
    """
    from sliceflow.bench import BenchOptions
    from sliceflow.bench import bench as compare
    from sliceflow.cli.arrays import read_arrays
    from sliceflow.cli.sources import single
    from sliceflow.devices import open_device
    from sliceflow.graph.artifact import load_program, source_models
    from sliceflow.runtime.values import random_inputs

    choices = BenchOptions(threads=tuple(threads or ()), warmup=warmup, repeats=repeats, link=link)
    program = load_program(artifact)
    models: dict[str, Path | bytes] = {**source_models(artifact)}
    models |= {kind: path for kind, path in (("fp32", model), ("int8", quantized)) if path is not None}
    models = {kind: single(source, f"the {kind} model") for kind, source in models.items()}
    if not models:
        raise UserError(
            "there is no model to compare with",
            where=str(artifact),
            why="the artifact does not carry the models it was made from",
            fix="name them with --model and --quantized",
        )
    feed = read_arrays(input_file, program.inputs) if input_file else random_inputs(program.inputs, 1, seed=0)
    labels = feed.pop("label", None) if "label" not in {value.name for value in program.inputs} else None
    opened = open_device(device, program, threads=max(threads) if threads else None, clocks=clocks)
    try:
        document = compare(program, opened, feed, dict(sorted(models.items())), choices, labels)
    finally:
        opened.close()
    output.result(document, lambda: _print(document))


def _print(document: dict[str, Any]) -> None:
    cpu, totals = document["cpu"], document["fpga"]["totals"]
    if cpu:
        heads = ("model", "threads", "median ms", "p95 ms", "label")
        title = f"ONNX Runtime on {cpu[0]['processor']} ({cpu[0]['warmup']} warm-up, {cpu[0]['repeats']} runs, batch 1)"
        content = Table(title, heads, right=frozenset(heads[1:4]))
        for row in cpu:
            content.add(row["model"], row["threads"], f"{row['median_ms']:.3f}", f"{row['p95_ms']:.3f}", row["label"])
        output.table(content)
    if document["answers"] is not None:
        _print_answers(document["answers"])
    output.table(_cycles(document["fpga"]["layers"], totals["profile"]))
    content = Table("FPGA, one image", ("part", "ms", "label", "basis"), right=frozenset({"ms"}))
    for part in totals["parts"]:
        content.add(part["part"], f"{part['ms']:.3f}", part["label"], part["basis"])
    content.add("total", f"{totals['total_ms']:.3f}", "predicted", "sum of the parts, nothing overlapped")
    output.table(content)
    if totals["cycles_caveat"]:
        output.line(totals["cycles_caveat"])


def _print_answers(found: dict[str, Any]) -> None:
    """What the timed int8 answers are worth, and a warning where that is not what the model means."""
    apart = "are equal" if found["sqnr_db"] is None else f"are {found['sqnr_db']:g} dB apart"
    line = f"int8 as timed and what the model means {apart} on {found['images']} images"
    if found["sqnr_db"] is not None:
        line += f" (largest difference {found['max_error']:.4g})"
    if found["timed_db"] is not None and found["exact_db"] is not None:
        line += f"; against fp32 they have {found['timed_db']:g} and {found['exact_db']:g} dB"
    if found["accuracy"] is not None:
        shares = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found["accuracy"].items())
        line += f"; accuracy: {shares}"
    output.line(line)
    if found["differ"]:
        output.note(
            "warning: the int8 times are those of wrong answers: ONNX Runtime's integer kernels are not exact on this "
            "processor (`sliceflow doctor`); the rows with x64quantprecision are those of its cure"
        )


def _cycles(layers: list[dict[str, Any]], profile: str) -> Table:
    """Cycles of each layer; simulated ones where there are any, and the efficiency by the best figure there is."""
    kinds = ["ideal", "predicted"] + ["simulated"] * any(row["simulated_cycles"] is not None for row in layers)
    columns = ("layer", *(f"{kind} cycles" for kind in kinds), f"ideal / {kinds[-1]}")
    content = Table(f"FPGA, {profile}", columns, right=frozenset(columns[1:]))
    for row in layers:
        cycles = [row[f"{kind}_cycles"] for kind in kinds]
        ratio = cycles[0] / cycles[-1] if cycles[-1] else 0.0
        content.add(row["name"], *map(count, cycles), share(ratio))
    return content
