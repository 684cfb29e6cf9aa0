"""Keeps what takes minutes to compute, from one run of a script to the next: programs, and results of simulations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from models import __file__ as models_file
from scripts.figures.networks import compiled
from sliceflow import __file__ as package_file
from sliceflow.devices.build import checksum, contents
from sliceflow.files import write_file
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile


class Keeper:
    """Programs and results in a folder, each under a checksum of everything that it depends on.

    Args:
        folder: where they are kept; nothing is kept without one.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        sources = (Path(package_file).parent, Path(models_file).parent)
        self._compiler = [text for source in sources for text in contents(source, ".py")]

    def program(self, name: str, profile: Profile) -> Program:
        """A network of ``models`` compiled for a profile."""
        if self._folder is None:
            return compiled(name, profile)
        path = self._folder / f"{name}-{profile.name}-{checksum([*self._compiler, repr(profile)])}"
        if path.exists():
            return load_program(path)
        program = compiled(name, profile)
        save_program(program, path, {})
        return program

    def result(self, name: str, identity: Iterable[str], make: Callable[[], Any]) -> Any:
        """Plain data that ``make`` computes from what ``identity`` stands for."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name}-{checksum(identity)}.json"
        if path.exists():
            return json.loads(path.read_text("utf-8"))
        result = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(result).encode())
        return result


def identity(program: Program, module: str) -> list[str]:
    """What a simulation of a program by a function of a module depends on, besides the kernel."""
    digest = hashlib.sha256()
    for memory in (program.program, program.weights):
        digest.update(memory.tobytes())
    return [digest.hexdigest(), Path(module).read_text("utf-8")]
