"""``sliceflow verify``: a device against the reference, value by value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.errors import MismatchError
from sliceflow.report.tables import Table


def verify(
    artifact: options.Artifact,
    device: options.Device = "csim",
    input_file: Annotated[Path | None, typer.Option("--input", help=".npy or .npz; random images if omitted.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Random images.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random images.")] = 0,
    against: Annotated[
        Path | None, typer.Option(help="Also compare the outputs with this quantized model in ONNX Runtime.")
    ] = None,
    threads: options.Threads = None,
    trace: options.Trace = None,
    trace_layer: options.TraceLayer = "",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare a device with the reference, value by value.

    Names the first layer that differs, and where; exit code 3 if one does.
    """
    from sliceflow.cli.arrays import read_arrays
    from sliceflow.devices import open_device
    from sliceflow.graph.artifact import load_program
    from sliceflow.runtime.against import compare_with_onnx
    from sliceflow.runtime.values import random_inputs
    from sliceflow.runtime.verify import verify as compare

    program = load_program(artifact)
    feed = read_arrays(input_file, program.inputs) if input_file else random_inputs(program.inputs, images, seed)
    wanted = options.parse_trace(trace, trace_layer, program)
    opened = open_device(device, program, threads=threads, trace=wanted)
    try:
        document = compare(program, opened, feed).to_json()
        if against is not None:
            document["against"] = compare_with_onnx(program, opened, feed, against, threads)
    finally:
        opened.close()
    origin = str(input_file) if input_file else f"{images} random images, seed {seed}"
    output.result(document, lambda: _print(document, origin, device))
    if not document["match"]:
        if not output.as_json():
            output.error(_mismatch(document, device))
        raise typer.Exit(MismatchError.exit_code)


def _print(document: dict[str, Any], origin: str, device: str) -> None:
    columns = ("layer", "match", "values", "differing", "max error (steps)", "saturated")
    content = Table(f"{device} against reference, {origin}", columns, right=frozenset(columns[2:]))
    for layer in document["layers"]:
        error = f"{layer['max_error_steps']:g}"
        content.add(
            layer["name"],
            "yes" if layer["match"] else "NO",
            layer["values"],
            layer["differing"],
            error,
            layer["saturated"],
        )
    output.table(content)
    if document["match"]:
        total = sum(layer["values"] for layer in document["layers"])
        output.line(
            f"match: {total} values of {len(document['layers'])} layers agree, and so do the outputs end to end"
        )
    for found in document.get("against", []):
        unit = "steps" if found["in_steps"] else "(absolute)"
        output.line(f"against ONNX Runtime, {found['output']}: max error {found['max_error']:g} {unit}")


def _mismatch(document: dict[str, Any], device: str) -> MismatchError:
    found = document["first_mismatch"]
    place = f"image {found['image']}, channel {found['channel']}, row {found['row']}, column {found['column']}"
    if found["slice"] is not None:
        place += f" (slice {found['slice']}, lane {found['lane']})"
    return MismatchError(
        f"{device} differs from the reference, first in layer {found['layer']!r}",
        where=f"tensor {found['tensor']!r}, {place}",
        why=f"expected {found['expected']:g}, got {found['got']:g}; the largest error is "
        f"{document['max_error_steps']:g} steps",
        fix="please report this: implementations of the accelerator must agree on every value",
    )
