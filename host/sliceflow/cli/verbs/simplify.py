"""``sliceflow simplify``: constants and batch norm folded, no-ops removed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sliceflow.cli import options, output


def simplify(
    model: options.Model,
    output_file: Annotated[Path, typer.Option("--output", help="ONNX file to write.")],
    shape: options.Shapes = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Fold constants and batch norm, remove no-ops.

    What is written is standard ONNX again.
    """
    import onnx

    from sliceflow.cli.building import serialize
    from sliceflow.files import write_file
    from sliceflow.frontend import load_model

    simplified = load_model(model, input_shapes=options.parse_shapes(shape))
    before = len(onnx.load(model, load_external_data=False).graph.node)
    after = sum(1 for _ in simplified.graph)
    write_file(output_file, serialize(simplified, str(model)))
    document = {"output": str(output_file), "nodes_before": before, "nodes_after": after}
    output.result(document, lambda: output.line(f"{before} nodes became {after}: {output_file}"))
