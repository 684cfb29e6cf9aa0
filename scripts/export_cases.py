"""Write an artifact's layers as cases for the C test bench: one case for each layer, and one for each launch.

usage: python scripts/export_cases.py ARTIFACT --output FOLDER [--seed N]

The expected memories come from the NumPy reference. The first launch starts on random data; every layer then finds what
those before it left. Run the cases with  make -C hls/cpp CASES=FOLDER  (an absolute path).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from sliceflow.devices.csim.cases import Case, write_cases
from sliceflow.errors import SliceflowError
from sliceflow.graph.artifact import load_program
from sliceflow.graph.program import FpgaStep, Program
from sliceflow.hardware.kernel import CONFIG_HEADER, render_config
from sliceflow.reference.machine import execute


def cases_of(program: Program, seed: int) -> dict[str, Case]:
    """The cases of a program, by name."""
    rng = np.random.default_rng(seed)
    if program.profile.is_float:
        memory = rng.normal(size=program.activation_bytes // 4).astype("<f4").view(np.uint8)
    else:
        memory = rng.integers(0, 256, program.activation_bytes, np.uint8)
    cases = {}
    for step in (step for step in program.steps if isinstance(step, FpgaStep)):
        start = memory.copy()
        for index in range(step.first, step.first + step.count):
            before = memory.copy()
            execute(program.descriptors[index], program.profile, program.program, program.weights, memory)
            cases[f"layer{index}"] = _case(program, before, memory.copy(), index, 1)
        cases[f"launch{step.first}"] = _case(program, start, memory.copy(), step.first, step.count)
    return cases


def _case(program: Program, before: np.ndarray, after: np.ndarray, first: int, count: int) -> Case:
    return Case(program=program.program, weights=program.weights, before=before, after=after, first=first, count=count)


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        program = load_program(arguments.artifact)
        cases = cases_of(program, arguments.seed)
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / CONFIG_HEADER).write_text(render_config(program.profile), encoding="utf-8")
        write_cases(arguments.output, cases)
    except (SliceflowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(cases)} cases in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
