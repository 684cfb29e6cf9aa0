"""Yosys runs of a module with all beneath it, mapped to Xilinx cells, hierarchy kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FAMILY = "xcup"
_SYNTHESIS = f"synth_xilinx -family {FAMILY} -noiopad -noclkbuf"
_BATCH = 8
"""Modules mapped to LUTs at a time. For each module, that step takes time for all that are there."""


class Yosys:
    """A Yosys design in this process. What Yosys says goes to standard output.

    Args:
        files: SystemVerilog files.
        top: the top module.
        parameters: of it.
    """

    def __init__(self, files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> None:
        from pyosys import libyosys as yosys

        settings = " ".join(f"-G {name}={value}" for name, value in parameters.items())
        self._read = f"--threads 1 -D SYNTHESIS --top {top} {settings} {' '.join(map(str, files))}"
        self._top, self._pass, self._design = top, yosys.run_pass, yosys.Design()

    def run(self, *commands: str) -> None:
        """Run passes."""
        for command in commands:
            self._pass(command, self._design)

    def read(self, options: str = "") -> None:
        """Read and elaborate the files."""
        self.run(f"read_slang {options} {self._read}", f"hierarchy -check -top {self._top}")

    def map(self, report: Callable[[list[str]], None]) -> None:
        """Map every module by itself, some at a time; ``report`` is called with the names of those that are there."""
        self.read("--keep-hierarchy")
        self.run(f"{_SYNTHESIS} -run :map_luts", "select =*")
        modules = self._design.all_selected_whole_modules()
        names = [str(module.name).removeprefix("\\") for module in modules if not module.get_blackbox_attribute()]
        self.run("select -clear", "design -save mapped", "blackbox", "design -save boxes")
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            wanted = " ".join(f"={name}" for name in batch)
            self.run("design -load boxes", f"delete {wanted}", f"design -copy-from mapped {wanted}")
            self.run(f"{_SYNTHESIS} -run map_luts:check")
            report(batch)


def netlist_of(files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> dict[str, Any]:
    """Synthesize a design in this process.

    Returns:
        What ``write_json`` writes: ``modules`` with their mapped cells.
    """
    yosys = Yosys(files, top, parameters)
    modules: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sliceflow-timing-") as folder:

        def keep(names: list[str]) -> None:
            wanted = " ".join(f"={name}" for name in names)
            yosys.run(f"select {wanted}", f"write_json -selected {folder}/part", "select -clear")
            found = json.loads(Path(folder, "part").read_text())["modules"]
            modules.update({name: found[name] for name in names})

        yosys.map(keep)
    return {"modules": modules}
