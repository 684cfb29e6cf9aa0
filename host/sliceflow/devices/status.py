"""The status word of a launch (docs/program.md section 5) as an error that names the layer."""

from __future__ import annotations

from collections.abc import Sequence

from sliceflow.errors import UserError

VERSION, UNKNOWN, TOO_BIG, MEMORY = 1, 2, 3, 4
_REASONS = {
    VERSION: "it is not a descriptor of this version",
    UNKNOWN: "it names an operation, mode or count that does not exist",
    TOO_BIG: "a strip of it exceeds the on-chip buffers",
    MEMORY: "a memory port answered with an error",
}
_COMPILE_AGAIN = "compile the model again for this profile"
_FIXES = {MEMORY: "check that the program, weight and activation buffers lie in memory that the accelerator can reach"}


def check_status(status: int, layers: Sequence[str] = (), *, detail: str = "") -> None:
    """Raise if a launch did not end well.

    Args:
        status: what the accelerator says: 0, or ``index << 8 | code``.
        layers: names of the program's layers, in the order of their descriptors; may be empty.
        detail: what else is known of the reason.

    Raises:
        UserError: the status is not 0.
    """
    if status == 0:
        return
    index, code = status >> 8, status & 0xFF
    where = f"layer {layers[index]!r}" if index < len(layers) else ""
    if code == MEMORY and index + 1 < len(layers):  # the next layer's parameters are fetched while one runs
        where += f", or the parameters of the next layer, {layers[index + 1]!r}"
    verb = "stopped at" if code == MEMORY else "refuses"
    raise UserError(
        f"the accelerator {verb} descriptor {index}",
        where=where,
        why="\n".join(filter(None, [_REASONS.get(code, f"unknown status {code}"), detail])),
        fix=_FIXES.get(code, _COMPILE_AGAIN),
    )
