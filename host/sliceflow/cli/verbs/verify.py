"""``sliceflow verify``: a device against the reference, value by value."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.errors import MismatchError
from sliceflow.report.tables import Table

if TYPE_CHECKING:
    from sliceflow.devices.base import Device
    from sliceflow.graph.program import Program


_FIXES = {
    "quantized": "compare with the model that the artifact was made from; if it is that one, please report this",
    "float": "if the layer is not at fault, quantization is: try more samples, `--method`, `--exclude` or int16 "
    "activations, or lower `--sqnr`",
}


def verify(
    artifact: options.Artifact,
    device: options.Device = "csim",
    input_file: Annotated[Path | None, typer.Option("--input", help=".npy or .npz; random images if omitted.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Random images.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random images.")] = 0,
    against: Annotated[
        Path | None, typer.Option(help="Also compare with this model, quantized or float, in ONNX Runtime.")
    ] = None,
    decibels: Annotated[
        float, typer.Option("--sqnr", min=0, help="SQNR in dB that outputs must reach against a float model.")
    ] = 20.0,
    threads: options.Threads = None,
    trace: options.Trace = None,
    trace_layer: options.TraceLayer = "",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare a device with the reference, value by value.

    Names the first layer that differs, and where; exit code 3 if one does. With --against each layer is also compared
    with what the model means, given the same numbers, and so are the outputs end to end.
    """
    from sliceflow.cli.arrays import read_arrays
    from sliceflow.devices import open_device
    from sliceflow.graph.artifact import load_program
    from sliceflow.runtime.values import random_inputs
    from sliceflow.runtime.verify import verify as compare

    program = load_program(artifact)
    feed = read_arrays(input_file, program.inputs) if input_file else random_inputs(program.inputs, images, seed)
    wanted = options.parse_trace(trace, trace_layer, program)
    opened = open_device(device, program, threads=threads, trace=wanted)
    try:
        document = compare(program, opened, feed).to_json()
        if against is not None:
            document["against"] = _compare(artifact, program, opened, feed, against, threads, decibels)
    finally:
        opened.close()
    origin = str(input_file) if input_file else f"{images} random images, seed {seed}"
    output.result(document, lambda: _print(document, origin, device))
    found = [_mismatch(document, device)] if not document["match"] else []
    found += [_leaves(document["against"], device)] if not document.get("against", {"match": True})["match"] else []
    if found:
        for error in found if not output.as_json() else ():
            output.error(error)
        raise typer.Exit(MismatchError.exit_code)


def _compare(
    artifact: Path,
    program: Program,
    device: Device,
    feed: dict[str, Any],
    model: Path,
    threads: int | None,
    decibels: float,
) -> dict[str, Any]:
    from sliceflow.cli.sources import single
    from sliceflow.graph.artifact import source_models
    from sliceflow.runtime.against import compare_with_onnx, float_names

    source = source_models(artifact).get("int8")
    names = {} if source is None else float_names(source)
    source_model = single(model, str(model))
    report = compare_with_onnx(program, device, feed, source_model, threads, names=names, decibels=decibels)
    return {**dataclasses.asdict(report), "model": str(model)}


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
    if "against" in document:
        _print_against(document["against"])


def _print_against(found: dict[str, Any]) -> None:
    heading = f"against the {found['kind']} model {found['model']}, {found['images']} images, {found['options']}"
    columns = ("layer, fed with ours", "value", "within", "values", "max error", "SQNR")
    content = Table(heading, columns, right=frozenset(columns[3:]))
    for layer in found["layers"]:
        within = "yes" if layer["match"] else "NO"
        content.add(layer["layer"], layer["value"], within, layer["values"], _size(layer), _quality(layer))
    output.table(content)
    if found["not_compared"]:
        output.line(f"compared as parts of the layers behind them: {', '.join(found['not_compared'])}")
    for end in found["outputs"]:
        output.line(f"end to end, {end['output']}: max error {_size(end)}, {_quality(end)}")
    output.line(f"tolerance: {found['tolerance']}")


def _size(found: dict[str, Any]) -> str:
    return f"{found['max_error']:.4g}" + (" steps" if found["in_steps"] else "")


def _quality(found: dict[str, Any]) -> str:
    ratio: float | None = found["sqnr_db"]
    return "equal" if ratio is None else f"{ratio:.1f} dB"


def _leaves(found: dict[str, Any], device: str) -> MismatchError:
    first = found["first_mismatch"]
    layer = next(layer for layer in found["layers"] if layer["layer"] == first["layer"])
    return MismatchError(
        f"{device} leaves the {found['kind']} model {found['model']}, first in layer {first['layer']!r}",
        where=f"the model's value {first['value']!r}, image {first['image']}, index {first['index']}",
        why=f"expected {first['expected']:g}, got {first['got']:g}; {layer['beyond']} of {layer['values']} values are "
        f"beyond the tolerance, the largest error is {_size(layer)}, {_quality(layer)}",
        fix=_FIXES[found["kind"]],
    )


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
