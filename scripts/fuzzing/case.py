"""One hostile input and the commands that meet it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Command:
    """A call of the command line, in the folder of its case.

    Attributes:
        arguments: what stands behind ``sliceflow``; paths are relative to the folder.
        output: what the command would write; it must not exist when the command fails.
    """

    arguments: tuple[str, ...]
    output: str = ""


@dataclasses.dataclass(frozen=True)
class Case:
    """A mutation and its commands; a command runs only if the one before ended with exit code 0.

    Attributes:
        number: index within the run.
        kind: kind of mutation, a row of the result table.
        what: what was done to which seed.
        commands: in order.
        as_process: whether each command runs as a process of its own, instead of inside a worker.
    """

    number: int
    kind: str
    what: str
    commands: tuple[Command, ...]
    as_process: bool = False

    def save(self, path: Path) -> None:
        """Write the case as JSON, for a replay."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Case:
        """Read what ``save`` wrote."""
        data = json.loads(path.read_text())
        commands = tuple(Command(tuple(entry["arguments"]), entry["output"]) for entry in data.pop("commands"))
        return cls(**data, commands=commands)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one command did.

    Attributes:
        arguments: the command.
        code: exit code; negative: the signal that ended the process.
        seconds: processor time; wall time if it was killed.
        peak_mb: largest resident memory of the process, MiB.
        stdout, stderr: what it wrote.
        problems: the rules it broke; empty if all is well.
    """

    arguments: tuple[str, ...]
    code: int
    seconds: float
    peak_mb: float
    stdout: str
    stderr: str
    problems: tuple[str, ...] = ()
