"""``sliceflow simplify``: constants and batch norm folded, no-ops removed, pruned channels cut out; perhaps aligned."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.errors import UsageError
from sliceflow.report.tables import Table, count

if TYPE_CHECKING:
    import onnx_ir as ir

    from sliceflow.hardware.profile import Profile
    from sliceflow.passes.simplify import SimplifyReport


class Align(enum.StrEnum):
    """What ``--align`` takes."""

    DOWN = "down"
    AUTO = "auto"


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
            help="Residual branches keep their own channels where it saves so many MACs for each element moved. "
            "Omitted: where it saves time on the accelerator, with --profile; else nowhere.",
        ),
    ] = None,
    multiple: Annotated[
        int, typer.Option("--multiple", min=1, help="Keep channels in multiples of this, where there are enough.")
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare the result with the model on random inputs.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of those inputs.")] = 0,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Accelerator profile to decide for: a name, or a .toml file.")
    ] = None,
    align: Annotated[
        Align | None,
        typer.Option(
            "--align",
            help="Then drop the least important channels where the others fill the lanes of the profile: wherever that "
            "saves cycles (down), or where it is worth the --price (auto). This changes the outputs.",
        ),
    ] = None,
    price: Annotated[
        float,
        typer.Option("--price", min=0, help="Share of all cycles to save for the loss of a share of importance."),
    ] = 1.0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Fold constants and batch norm, remove no-ops, and cut out pruned channels.

    Without --align the outputs stay the same, for inputs of any size. What is written is standard ONNX again.
    """
    import onnx

    from sliceflow.frontend import load_model, notes_of, write_model
    from sliceflow.hardware.profile import Profile
    from sliceflow.passes.simplify import SimplifyOptions
    from sliceflow.passes.simplify import simplify as simplify_model

    if align is not None and profile is None:
        raise UsageError("--align needs --profile", fix="name the accelerator whose lanes are to be filled")
    accelerator = Profile.load(profile) if profile is not None else None
    simplified = load_model(model, input_shapes=options.parse_shapes(shape))
    choices = SimplifyOptions(
        propagate=propagate,
        remove=remove,
        scatter=scatter if scatter is not None or accelerator is None else _pays(simplified, accelerator),
        multiple=multiple,
        check=check,
        seed=seed,
    )
    # What was read as something else (float16, dynamic quantization) cannot be compared with the file to the last bit.
    report = simplify_model(simplified, choices, reference=None if notes_of(simplified) else model)
    aligned = _align(simplified, accelerator, align, price, seed) if accelerator is not None and align else None
    before = len(onnx.load(model, load_external_data=False).graph.node)
    after = sum(1 for _ in simplified.graph)
    write_model(simplified, output_file, source=model)
    document = {"output": str(output_file), "nodes_before": before, "nodes_after": after, **report.to_json()}
    if accelerator is not None:
        document["alignment"] = aligned

    def human() -> None:
        _print(report)
        if aligned is not None:
            _print_alignment(aligned)
        output.line(f"{before} nodes became {after}: {output_file}")

    output.result(document, human)


def _pays(model: ir.Model, profile: Profile) -> Any:
    """Whether residual branches get channels of their own: what the cycle model says."""
    from sliceflow.mapping.align import static_shapes
    from sliceflow.mapping.scatter import scatter_pays

    return scatter_pays(static_shapes(model), profile)


def _align(model: ir.Model, profile: Profile, mode: Align, price: float, seed: int) -> dict[str, Any]:
    """Align a simplified model in place; what that did, as plain data."""
    from sliceflow.alignment import Options
    from sliceflow.mapping.align import align_model
    from sliceflow.mapping.layer_cycles import lanes
    from sliceflow.passes.equivalence import largest_difference
    from sliceflow.report.lanes import lanes_json

    exact, mapped = model.clone(), _compiled(model, profile)
    report = align_model(model, profile, Options(mode=mode.value, multiples=lanes(profile), price=price))
    difference = largest_difference(exact, model, seed=seed) if report.changed else 0.0
    return {
        "mode": mode.value,
        **report.to_json(),
        "changed": report.changed,
        "difference": difference if difference is not None and math.isfinite(difference) else None,
        "lanes": lanes_json(mapped, _compiled(model, profile)),
    }


def _compiled(model: ir.Model, profile: Profile) -> Any:
    """The program of a model; where a float model's layers run does not depend on how it will be quantized."""
    from sliceflow.build import Target, preview
    from sliceflow.mapping import pack

    return pack(preview(model, Target(profile=profile)), profile, name="simplified")


def _print_alignment(aligned: dict[str, Any]) -> None:
    from sliceflow.report.lanes import lanes_table

    lanes = aligned["lanes"]
    output.table(lanes_table(lanes))
    cycles = _pair(lanes["predicted_cycles_before"], lanes["predicted_cycles_after"])
    used = f"{lanes['lanes_used_before']:.1%} -> {lanes['lanes_used_after']:.1%}"
    output.line(f"aligned to {lanes['profile']}: predicted cycles {cycles}, lanes used {used}")
    if lanes["cycles_caveat"]:
        output.line(lanes["cycles_caveat"])
    if not aligned["changed"]:
        output.line("no channel was dropped: the outputs are the same")
        return
    worst = max(aligned["groups"], key=lambda group: group["loss"])
    output.line(
        f"channels were dropped, so the outputs have changed; {worst['name']} lost most, {worst['loss']:.0%} of its "
        "importance. Judge the model on real data, and fine-tune it if it must get better"
    )
    if aligned["difference"] is not None:
        output.line(f"on random inputs outputs differ by {aligned['difference']:.1e} of their largest element")


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
