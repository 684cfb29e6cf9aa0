"""What ``compile`` and ``deploy`` report."""

from __future__ import annotations

from typing import Any

from sliceflow.graph.program import FpgaStep, Layer, Program
from sliceflow.hardware.cycles import caveat
from sliceflow.report.shares import MacShare


def compilation_json(program: Program, artifact: str) -> dict[str, Any]:
    """The report as plain data.

    Args:
        program: the compiled model.
        artifact: folder it was saved to.
    """
    return {
        "artifact": artifact,
        "profile": program.profile.name,
        "layers": [_layer(layer) for layer in program.layers],
        "totals": _totals(program),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "placement": layer.placement,
        "op": layer.op,
        "reason": layer.reason,
        "macs": layer.macs,
        "ideal_cycles": layer.ideal_cycles,
        "predicted_cycles": layer.predicted_cycles,
        "channels_in": layer.channels_in,
        "channels_out": layer.channels_out,
        "channels_in_computed": layer.channels_in_computed,
        "channels_out_computed": layer.channels_out_computed,
        "lanes_used": layer.lanes_used,
    }


def _totals(program: Program) -> dict[str, Any]:
    fpga = program.fpga_layers
    elsewhere = [(layer.name, layer.macs) for layer in program.layers if layer.placement != "fpga"]
    macs = MacShare.of(sum(layer.macs or 0 for layer in fpga), elsewhere)
    ideal, predicted = sum(x.ideal_cycles for x in fpga), sum(x.predicted_cycles for x in fpga)
    placements = [layer.placement for layer in program.layers]
    return {
        "macs": macs.fpga + macs.cpu,
        **macs.to_json(),
        "fpga_layers": len(fpga),
        "cpu_layers": placements.count("cpu"),
        "transforms": placements.count("transform"),
        "launches": sum(isinstance(step, FpgaStep) for step in program.steps),
        "ideal_cycles": ideal,
        "predicted_cycles": predicted,
        "predicted_ms": 1e3 * program.profile.seconds(predicted),
        "clock": program.profile.clock,
        "cycles_caveat": caveat(program.profile),
        "lanes_used": macs.fpga / (ideal * program.profile.multipliers) if ideal else 0.0,
        "weight_bytes": int(program.weights.size),
        "program_bytes": int(program.program.size),
        "activation_bytes": program.activation_bytes,
    }
