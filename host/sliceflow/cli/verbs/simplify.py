"""``sliceflow simplify``: constants and batch norm folded, no-ops removed, pruned channels cut out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sliceflow.cli import options, output
from sliceflow.report.tables import Table, count

if TYPE_CHECKING:
    from sliceflow.passes.simplify import SimplifyReport


def simplify(
    model: options.Model,
    output_file: Annotated[Path, typer.Option("--output", help="ONNX file to write.")],
    shape: options.Shapes = None,
    propagate: Annotated[
        bool, typer.Option("--propagate/--no-propagate", help="Fold constant channels into biases.")
    ] = True,
    remove: Annotated[bool, typer.Option("--remove/--no-remove", help="Cut channels that nobody needs.")] = True,
    scatter: Annotated[
        float | None,
        typer.Option(
            "--scatter",
            min=0,
            metavar="MACS",
            help="Residual branches keep their own channels where it saves so many MACs for each element moved.",
        ),
    ] = None,
    multiple: Annotated[
        int, typer.Option("--multiple", min=1, help="Keep channels in multiples of this, where there are enough.")
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare the result with the model on random inputs.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of those inputs.")] = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Fold constants and batch norm, remove no-ops, and cut out pruned channels.

    The outputs stay the same, for inputs of any size. What is written is standard ONNX again.
    """
    import onnx

    from sliceflow.files import write_file
    from sliceflow.frontend import load_model, serialize
    from sliceflow.passes.simplify import SimplifyOptions
    from sliceflow.passes.simplify import simplify as simplify_model

    simplified = load_model(model, input_shapes=options.parse_shapes(shape))
    choices = SimplifyOptions(
        propagate=propagate, remove=remove, scatter=scatter, multiple=multiple, check=check, seed=seed
    )
    report = simplify_model(simplified, choices, reference=model)
    before = len(onnx.load(model, load_external_data=False).graph.node)
    after = sum(1 for _ in simplified.graph)
    write_file(output_file, serialize(simplified, str(model)))
    document = {"output": str(output_file), "nodes_before": before, "nodes_after": after, **report.to_json()}

    def human() -> None:
        _print(report)
        output.line(f"{before} nodes became {after}: {output_file}")

    output.result(document, human)


def _print(report: SimplifyReport) -> None:
    changed = [layer for layer in report.layers if layer.after != layer.before]
    if not changed:
        return
    content = Table("Layers that lost something", ("layer", "op", "in", "out", "parameters", "MACs"))
    content.right = frozenset(content.columns[2:])
    for layer in changed:
        old, new = layer.before, layer.after
        content.add(
            layer.name,
            old.op,
            _pair(old.inputs, new.inputs if new else 0),
            _pair(old.outputs, new.outputs if new else 0),
            _pair(old.parameters, new.parameters if new else 0),
            _pair(old.macs, new.macs if new else 0),
        )
    output.table(content)
    sums = report.totals()
    words = [
        f"{what} {_pair(sums[f'{what}_before'], sums[f'{what}_after'])}" for what in ("channels", "parameters", "macs")
    ]
    output.line(f"in all: {', '.join(words).replace('macs', 'MACs')}")
    for held in report.held:
        output.line(f"held back by {held.node} ({held.op}): {held.reason}")
    if report.difference is not None:
        output.line(f"checked: outputs differ by {report.difference:.1e} of their largest element")


def _pair(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "-"
    return count(before) if before == after else f"{count(before)} -> {count(after)}"
