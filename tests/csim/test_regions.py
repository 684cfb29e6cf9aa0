"""The simulation's dataflow regions: what blocks is named. No descriptor that the kernel takes blocks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sliceflow.devices.csim.build import source_folder

SOURCE = Path(__file__).with_name("blocked.cpp")


def test_processes_that_block_each_other_are_named(tmp_path: Path) -> None:
    simulation = source_folder() / "sim"
    program = tmp_path / "blocked"
    files = [SOURCE, simulation / "region.cpp", simulation / "fiber.cpp"]
    command = ["g++", "-std=c++14", "-O1", "-pthread", f"-I{simulation}", *map(str, files), "-o", str(program)]
    subprocess.run(command, check=True)
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    starved, left_over, whole, _ = said.split(";")
    assert "deadlock in starved" in starved
    assert "sink waits to read 'values'" in starved
    assert "values" in left_over.partition(":")[2]
    assert whole == "whole: "
