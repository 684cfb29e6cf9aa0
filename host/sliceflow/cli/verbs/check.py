"""``sliceflow check``: every node that will not run on the FPGA."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sliceflow.cli import options, output
from sliceflow.report.shares import MacShare, share_text, uncounted_text
from sliceflow.report.tables import Table, count


def check(
    model: options.Model,
    profile: options.ProfileName = "int8-8x8",
    cpu: options.CpuNodes = None,
    shape: options.Shapes = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """List every node that will not run on the FPGA.

    With its operator, shapes, the reason, and what to do about it. A float model is checked as if it were quantized.
    """
    from sliceflow.build import Target, needs_quantization, with_own_integers
    from sliceflow.build import check as find
    from sliceflow.frontend import bind_shapes, input_axes, load_model, notes_of
    from sliceflow.hardware.profile import Profile

    accelerator = Profile.load(profile)
    shapes = options.parse_shapes(shape)
    loaded = with_own_integers(load_model(model, input_shapes=shapes), accelerator)
    inputs = input_axes(bind_shapes(loaded, input_shapes=shapes))
    target = Target(profile=accelerator, cpu_nodes=cpu or (), input_shapes=shapes)
    findings, fpga_macs = find(loaded, target)
    macs = MacShare.of(fpga_macs, ((finding.node, finding.macs) for finding in findings))
    summary = {
        "profile": accelerator.name,
        "nodes": sum(1 for _ in loaded.graph),
        "cpu_nodes": len(findings),
        **macs.to_json(),
        "cpu_macs": macs.cpu,
        "as_if_quantized": needs_quantization(loaded, accelerator),
    }
    document = {
        "inputs": [dataclasses.asdict(found) for found in inputs],
        "nodes": [dataclasses.asdict(finding) for finding in findings],
        "notes": list(notes_of(loaded)),
        "summary": summary,
    }
    output.result(document, lambda: _print(findings, summary, inputs, notes_of(loaded)))


def _print(findings: list[Any], summary: dict[str, Any], inputs: tuple[Any, ...], notes: Sequence[str]) -> None:
    if findings:
        content = Table("Nodes that stay on the CPU", ("node", "op", "shapes", "MACs", "reason", "fix"))
        content.right = frozenset({"MACs"})
        for found in findings:
            macs = "?" if found.macs is None else count(found.macs)
            content.add(found.node, found.op, " ".join(found.shapes), macs, found.reason, found.fix)
        output.table(content)
    for found in inputs:
        if found.first_axis not in ("batch", "one image"):
            output.line(
                f"input {found.name!r} {list(found.shape)}: its first axis is {found.first_axis}"
                if found.shape and found.first_axis != "same for all images"
                else f"input {found.name!r} {list(found.shape)} is the same for all images"
            )
    for note in notes:
        output.line(f"note: {note}")
    suffix = " (checked as if it were quantized)" if summary["as_if_quantized"] else ""
    output.line(
        f"{summary['cpu_nodes']} of {summary['nodes']} nodes stay on the CPU; "
        f"{share_text(summary['fpga_share'], summary['uncounted'])} of the MACs run on {summary['profile']}{suffix}"
        f"{uncounted_text(summary['uncounted'])}"
    )
