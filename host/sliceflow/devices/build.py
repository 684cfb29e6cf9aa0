"""What the simulators' builds have in common: names that are checksums, compilers, subprocesses with a time limit."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sliceflow.errors import UserError

TIMEOUT = 600
"""Seconds after which a compiler is given up."""
_SHOWN = 2000
"""Characters of a tool's messages that an error quotes."""


def checksum(parts: Iterable[str]) -> str:
    """24 hexadecimal digits that differ if any part does."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return digest.hexdigest()[:24]


def contents(folder: Path, *suffixes: str) -> list[str]:
    """Names and texts of a folder's sources, for ``checksum``."""
    parts: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in suffixes):
        parts += [path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")]
    return parts


def find_compiler(name: str = "g++") -> str:
    """Full path of the compiler.

    Raises:
        UserError: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise UserError(
            f"a simulated device needs a C++ compiler, and {name!r} is not installed",
            why="the accelerator's kernel is compiled for this machine when it is first used",
            fix="install g++ (Debian, Ubuntu: apt install g++), or use --device reference",
        )
    return path


@functools.cache
def compiler_identity(compiler: str, flags: tuple[str, ...]) -> str:
    """Version of the compiler and the processor features it will use: all of its predefined macros."""
    selected = [flag for flag in flags if flag.startswith("-m")]
    return call([compiler, *selected, "-dM", "-E", "-x", "c++", "/dev/null"]).stdout


def call(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a tool. When its time is over, it is ended together with all processes that it started.

    Args:
        command: program and arguments.
        environment: its environment variables; this process's if omitted.
        timeout: seconds.

    Raises:
        UserError: it cannot be started, or does not end in time.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError("a tool cannot be started", where=" ".join(command), why=str(error)) from error
    try:
        output, messages = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"a tool does not end within {timeout:g} seconds", where=" ".join(command)) from error
    finally:
        if process.poll() is None:  # also when the user interrupts
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(command, process.returncode, output, messages)


def require(done: subprocess.CompletedProcess[str], what: str, output: Path, *, fix: str) -> None:
    """Check that a tool ended well and made its output.

    Raises:
        UserError: it did not; quotes its messages.
    """
    if done.returncode == 0 and output.exists():
        return
    messages = (done.stderr.strip() or done.stdout.strip())[:_SHOWN]
    raise UserError(what, where=" ".join(done.args), why=messages or f"it ended with code {done.returncode}", fix=fix)
