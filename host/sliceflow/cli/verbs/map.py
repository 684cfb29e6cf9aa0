"""``sliceflow map``: what each step of the mapping makes, to read and to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.report.tables import Table


def map(
    model: options.Model,
    profile: options.ProfileName = "int8-8x8",
    cpu: options.CpuNodes = None,
    shape: options.Shapes = None,
    unroll: options.Unroll = True,
    drawing: Annotated[Path | None, typer.Option(help="Graphviz file (.dot) to write.")] = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Show how a model is merged, placed, transformed, adjusted.

    All of it with --json. A float model is mapped as if it were quantized.
    """
    from sliceflow.build import Target, preview
    from sliceflow.files import write_file
    from sliceflow.frontend import load_model
    from sliceflow.hardware.profile import Profile
    from sliceflow.mapping import trace
    from sliceflow.mapping.dump import to_dot, to_json

    accelerator, shapes = Profile.load(profile), options.parse_shapes(shape)
    target = Target(profile=accelerator, cpu_nodes=cpu or (), input_shapes=shapes, unroll=unroll)
    traced = trace(preview(load_model(model, input_shapes=shapes), target), accelerator, name=model.stem)
    document = to_json(traced)
    if drawing is not None:
        write_file(drawing, to_dot(traced).encode())
    output.result(document, lambda: _print(document))


def _print(document: dict[str, Any]) -> None:
    merged = Table("Merge: layers of the accelerator", ("layer", "stages", "inputs", "output"))
    for unit in document["merge"]:
        inputs = ", ".join(f"{tensor['name']} {_size(tensor)}" for tensor in unit["inputs"])
        target = f"{unit['output']['name']} {_size(unit['output'])}"
        merged.add(unit["name"], " + ".join(unit["stages"]), inputs, target)
    placed = Table("Place: nodes", ("node", "op", "where", "layer or reason"))
    for row in document["place"]:
        placed.add(row["node"], row["op"], row["placement"], row["layer"] or row["reason"] or "")
    steps = Table("Transform: steps in order", ("do", "what"))
    for action in document["transform"]:
        what = action.get("layer") or action.get("value") or ", ".join(action.get("nodes", []))
        unrolling = action.get("unrolling")
        taps = f" ({unrolling['rows']}x{unrolling['columns']} taps as channels)" if unrolling else ""
        steps.add(action["do"], what + taps)
    adjusted = Table("Adjust: tensors in the accelerator's memory", ("tensor", "size", "slices", "first word"))
    adjusted.right = frozenset({"slices", "first word"})
    for tensor in document["adjust"]["tensors"]:
        size = f"{tensor['channels']}x{tensor['height']}x{tensor['width']}"
        adjusted.add(tensor["name"], size, tensor["slices"], tensor["base"])
    for content in (merged, placed, steps, adjusted):
        output.table(content)


def _size(tensor: dict[str, Any]) -> str:
    return "x".join(str(side) for side in tensor["size"])
