"""Yosys runs for timing: a module with all beneath it, mapped to Xilinx cells, hierarchy kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FAMILY = "xcup"
SYNTHESIS = f"synth_xilinx -family {FAMILY} -noiopad -noclkbuf"
_BATCH = 8
"""Modules mapped to LUTs at a time. For each module, that step takes time for all that are there."""


def netlist_of(files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> dict[str, Any]:
    """Synthesize a design in this process. What Yosys says goes to standard output.

    Returns:
        What ``write_json`` writes: ``modules`` with their mapped cells.
    """
    from pyosys import libyosys as yosys

    design = yosys.Design()
    settings = " ".join(f"-G {name}={value}" for name, value in parameters.items())

    def run(*commands: str) -> None:
        for command in commands:
            yosys.run_pass(command, design)

    with tempfile.TemporaryDirectory(prefix="sliceflow-timing-") as folder:
        run(
            f"read_slang --keep-hierarchy --threads 1 -D SYNTHESIS --top {top} {settings} {' '.join(map(str, files))}",
            f"hierarchy -check -top {top}",
            f"{SYNTHESIS} -run :map_luts",
            "select =*",
        )
        names = [
            str(module.name).removeprefix("\\")
            for module in design.all_selected_whole_modules()
            if not module.get_blackbox_attribute()
        ]
        run("select -clear", "design -save mapped", "blackbox", "design -save boxes")
        modules: dict[str, Any] = {}
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            wanted = " ".join(f"={name}" for name in batch)
            run("design -load boxes", f"delete {wanted}", f"design -copy-from mapped {wanted}")
            run(
                f"{SYNTHESIS} -run map_luts:check",
                f"select {wanted}",
                f"write_json -selected {folder}/part",
                "select -clear",
            )
            found = json.loads(Path(folder, "part").read_text())["modules"]
            modules |= {name: found[name] for name in batch}
    return {"modules": modules}
