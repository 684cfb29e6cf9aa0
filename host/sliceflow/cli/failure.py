"""What becomes of errors: one block, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from sliceflow.cli import output
from sliceflow.errors import InternalError, SliceflowError, UsageError, UserError

_INTERRUPTED = 130
_ClickUsageError = (
    typer.BadParameter.__base__
)  # typer carries its own copy of click, or uses click: this works for both


def guarded(call: Callable[[], object]) -> int:
    """Run the command and turn whatever it raises into output and an exit code."""
    try:
        code = call()
        sys.stdout.flush()
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        return _silenced()
    except Exception as error:
        return _report(error)
    if code == _INTERRUPTED:  # some versions of typer turn Ctrl-C into this code themselves
        output.note("interrupted")
    return code if isinstance(code, int) else 0


def _report(error: Exception) -> int:
    failure = _translate(error)
    try:
        if output.verbose() and not isinstance(error, SliceflowError):
            output.note(traceback.format_exc())
        output.error(failure)
    except OSError:  # nobody reads stdout, or its disk is full
        return _silenced()
    return failure.exit_code


def _silenced() -> int:
    """Send the rest of stdout to nowhere, or Python complains when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UserError.exit_code


def _translate(error: Exception) -> SliceflowError:
    if isinstance(error, SliceflowError):
        return error
    if _ClickUsageError is not None and isinstance(error, _ClickUsageError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "sliceflow"
        message = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
        return UsageError(message[:1].lower() + message[1:], fix=f"see `{command} --help`")
    if isinstance(error, ModuleNotFoundError):
        from sliceflow.toolchain import how_to_get

        if missing := how_to_get(error.name or ""):
            return UserError(f"{missing[0]} is not installed", why=str(error), fix=missing[1])
    if isinstance(error, MemoryError):
        return UserError(
            "there is not enough memory", why=str(error)[:200], fix="use a machine with more, or a smaller model"
        )
    if isinstance(error, OSError):
        return UserError("a file cannot be read or written", where=str(error.filename or ""), why=error.strerror or "")
    return InternalError(
        "Sliceflow failed; this is our fault, not yours",
        where=_place(error),
        why=f"{type(error).__name__}: {str(error)[:500]}",
        fix="run it again with --verbose and report what it prints, together with the model if you may share it",
    )


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "sliceflow" in frame.filename] or list(frames)
    return f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}, {ours[-1].name}" if ours else ""  # noqa: PTH119
