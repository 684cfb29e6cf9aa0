"""``sliceflow check``: every node that will not run on the FPGA."""

from __future__ import annotations

import dataclasses
from typing import Any

from sliceflow.cli import options, output
from sliceflow.report.tables import Table, count, share


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
    from sliceflow.cli.building import as_if_quantized, is_quantized
    from sliceflow.frontend import load_model, notes_of
    from sliceflow.hardware.profile import Profile
    from sliceflow.mapping import check as find

    accelerator = Profile.load(profile)
    shapes = options.parse_shapes(shape)
    loaded = load_model(model, input_shapes=shapes)
    as_if = not accelerator.is_float and not is_quantized(loaded)
    subject = as_if_quantized(loaded, shapes, accelerator) if as_if else loaded
    findings, fpga_macs = find(subject, accelerator, cpu_nodes=cpu or (), input_shapes=shapes)
    cpu_macs = sum(finding.macs for finding in findings)
    total = fpga_macs + cpu_macs
    summary = {
        "profile": accelerator.name,
        "nodes": sum(1 for _ in loaded.graph),
        "cpu_nodes": len(findings),
        "fpga_macs": fpga_macs,
        "cpu_macs": cpu_macs,
        "fpga_share": fpga_macs / total if total else 0.0,
        "as_if_quantized": as_if,
    }
    document = {
        "nodes": [dataclasses.asdict(finding) for finding in findings],
        "notes": list(notes_of(loaded)),
        "summary": summary,
    }
    output.result(document, lambda: _print(findings, summary))


def _print(findings: list[Any], summary: dict[str, Any]) -> None:
    if findings:
        content = Table("Nodes that stay on the CPU", ("node", "op", "shapes", "MACs", "reason", "fix"))
        content.right = frozenset({"MACs"})
        for found in findings:
            content.add(found.node, found.op, " ".join(found.shapes), count(found.macs), found.reason, found.fix)
        output.table(content)
    suffix = " (checked as if it were quantized)" if summary["as_if_quantized"] else ""
    output.line(
        f"{summary['cpu_nodes']} of {summary['nodes']} nodes stay on the CPU; "
        f"{share(summary['fpga_share'])} of the MACs run on {summary['profile']}{suffix}"
    )
