"""The errors a user can meet, and the exit code of each.

Every message says what happened, where, why, and what to do about it. The command line prints it as one
block without a traceback; the Python API raises it.
"""

from __future__ import annotations

from typing import ClassVar

_MAX_PART = 1200
"""Characters that one part of a message may have: names in a model may be megabytes long."""


def _shown(text: str) -> str:
    """A part of a message: bounded, with its further lines indented, so that a block stays a block."""
    if len(text) > _MAX_PART:
        text = f"{text[: _MAX_PART // 2]} ... {text[-_MAX_PART // 2 :]}"
    return text.replace("\r", " ").rstrip("\n").replace("\n", "\n    ")


class SliceflowError(Exception):
    """Base of all errors that this package raises on purpose.

    Args:
        what: one sentence, what went wrong.
        where: the file, node, layer or key concerned, with shapes where they matter.
        why: the reason, if it is not plain from ``what``.
        fix: what the user can do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        parts = [_shown(self.what)]
        for label, text in (("where", self.where), ("why", self.why), ("fix", self.fix)):
            if text:
                parts.append(f"  {label}: {_shown(text)}")
        return "\n".join(parts)

    def to_json(self) -> dict[str, str]:
        """The same message as a mapping, for ``--json``."""
        parts = {"what": self.what, "where": self.where, "why": self.why, "fix": self.fix}
        return {label: _shown(text) for label, text in parts.items()}


class UserError(SliceflowError):
    """The input is at fault: a model, an artifact, a profile, data, a missing tool (exit code 1)."""


class UsageError(SliceflowError):
    """The command line is at fault (exit code 2)."""

    exit_code: ClassVar[int] = 2


class MismatchError(SliceflowError):
    """Two implementations that must agree do not (exit code 3)."""

    exit_code: ClassVar[int] = 3


class InternalError(SliceflowError):
    """Sliceflow broke its own rule; please report it (exit code 4)."""

    exit_code: ClassVar[int] = 4
