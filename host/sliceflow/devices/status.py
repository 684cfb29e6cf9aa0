"""The status word of a launch (docs/program.md section 5) as an error that names the layer."""

from __future__ import annotations

from collections.abc import Sequence

from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.rules import broken, rule_of
from sliceflow.hardware.profile import Profile

VERSION, TOO_BIG, MEMORY, ABORTED, STUCK = 1, 3, 4, 5, 6
_REASONS = {
    TOO_BIG: "a strip of it exceeds the on-chip buffers",
    MEMORY: "a memory port answered with an error",
    ABORTED: "the host has given the launch up",
    STUCK: "nothing has moved for as many clocks as the watchdog allows",
}
_COMPILE_AGAIN = "compile the model again for this profile"
_REPORT = "try again, and report this with the program if it happens once more"
_FIXES = {
    ABORTED: _REPORT,
    STUCK: _REPORT,
    MEMORY: "check that the program, weight and activation buffers lie in memory that the accelerator can reach",
}


def layer_status(layer: Descriptor, profile: Profile) -> int:
    """The code with which every kernel answers a descriptor whose memories answer: 0, a rule's, or ``TOO_BIG``."""
    rule = broken(layer, profile)
    if rule:
        return rule.code
    for strip in range(layer.strip_first, layer.strip_first + layer.strip_count):
        rows = geometry.array_rows(layer, strip)
        first, last = geometry.input_rows(layer, rows)
        pixels = (rows[1] - rows[0]) * layer.conv_width
        if pixels > profile.accumulator_pixels or geometry.bank_words(layer, last - first) > profile.bank_words:
            return TOO_BIG
    return 0


def check_status(status: int, layers: Sequence[str] = (), *, detail: str = "") -> None:
    """Raise if a launch did not end well.

    Args:
        status: what the accelerator says: 0, or ``index << 8 | code``.
        layers: names of the program's layers, in the order of their descriptors; may be empty.
        detail: what else is known of the reason.

    Raises:
        UserError: the status is not 0.
    """
    if status & 0xFF == 0:
        return
    index, code = status >> 8, status & 0xFF
    where = f"layer {layers[index]!r}" if index < len(layers) else ""
    if code == MEMORY and index + 1 < len(layers):  # the next layer's parameters are fetched while one runs
        where += f", or the parameters of the next layer, {layers[index + 1]!r}"
    rule = rule_of(code)
    reason = f"rule {code}: {rule.text}" if rule else _REASONS.get(code, f"unknown status {code}")
    verb = "stopped at" if code in _FIXES else "refuses"
    raise UserError(
        f"the accelerator {verb} descriptor {index}",
        where=where,
        why="\n".join(filter(None, [reason, rule.why if rule else "", detail])),
        fix=_FIXES.get(code, _COMPILE_AGAIN),
    )
