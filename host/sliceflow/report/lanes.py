"""Lanes of the accelerator that each layer uses, before and after a change of its channels."""

from __future__ import annotations

import dataclasses
from typing import Any

from sliceflow.graph.program import Layer, Program
from sliceflow.hardware.cycles import caveat
from sliceflow.report.tables import Table, count


@dataclasses.dataclass(frozen=True)
class LaneUse:
    """Channels of a layer, those that the array computes with idle lanes included, and predicted cycles."""

    inputs: int
    inputs_computed: int
    outputs: int
    outputs_computed: int
    predicted_cycles: int

    @classmethod
    def of(cls, layer: Layer) -> LaneUse:
        """That of a layer of a compiled program."""
        channels = layer.channels_in, layer.channels_in_computed, layer.channels_out, layer.channels_out_computed
        return cls(*channels, layer.predicted_cycles)

    @property
    def idle(self) -> int:
        """Lanes that compute nothing, on both sides."""
        return self.inputs_computed - self.inputs + self.outputs_computed - self.outputs


def lanes_json(before: Program, after: Program) -> dict[str, Any]:
    """Lanes of every accelerator layer by name, and the share of all of them, on both sides, that is used."""
    old, new = ({layer.name: LaneUse.of(layer) for layer in program.fpga_layers} for program in (before, after))
    return {
        "profile": before.profile.name,
        "layers": [
            {"name": name, "before": _plain(use), "after": _plain(new[name]) if name in new else None}
            for name, use in old.items()
        ],
        "predicted_cycles_before": _cycles(before),
        "predicted_cycles_after": _cycles(after),
        "cycles_caveat": caveat(before.profile),
        "lanes_used_before": _share(before),
        "lanes_used_after": _share(after),
    }


def lanes_table(document: dict[str, Any]) -> Table:
    """The same for people."""
    content = Table("Lanes", ("layer", "in", "out", "idle lanes", "predicted cycles"))
    content.right = frozenset(content.columns[1:])
    for layer in document["layers"]:
        old, new = layer["before"], layer["after"] or layer["before"]
        cells = [_change(old[key], new[key]) for key in ("inputs", "outputs", "idle", "predicted_cycles")]
        content.add(layer["name"], *cells)
    return content


def _plain(use: LaneUse) -> dict[str, int]:
    return {**dataclasses.asdict(use), "idle": use.idle}


def _cycles(program: Program) -> int:
    return sum(layer.predicted_cycles for layer in program.fpga_layers)


def _share(program: Program) -> float:
    uses = [LaneUse.of(layer) for layer in program.fpga_layers]
    computed = sum(use.inputs_computed + use.outputs_computed for use in uses)
    return 1 - sum(use.idle for use in uses) / computed if computed else 0.0


def _change(before: int, after: int) -> str:
    return count(before) if before == after else f"{count(before)} -> {count(after)}"
