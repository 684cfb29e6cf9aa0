"""SeReNe and LOBSTER against weight decay where weights do decay: a small study that can tell them apart.

usage: python -m scripts.figures.lenet_decay [--folder DIR]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

from scripts.figures.keep import Keeper
from scripts.figures.lenet_page import READING, whole_page
from scripts.figures.lenet_pruning import LONG, run_study
from scripts.figures.record import write


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keeps the results of runs, so that a broken run goes on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # weights that decay become denormal, and slow
    begin = time.process_time()
    results = {LONG: run_study(LONG, Keeper(arguments.folder), {})}
    print(page(results))
    print(f"{time.process_time() - begin:.0f} s of processor time")
    write("lenet_decay", page, results)
    return 0


def page(results: dict[str, Any]) -> str:
    """The page."""
    (found,) = results.values()
    digits, steps = found["options"]["digits"], found["options"]["steps_per_epoch"]
    design = f"{_DESIGN.format(digits=digits, held=digits // 5, used=digits - digits // 5, steps=steps)}\n\n{READING}"
    return whole_page("# SeReNe and LOBSTER where weights decay", design, results)


_DESIGN = """The same loop as in [lenet_pruning](lenet_pruning.md), on fewer digits of MNIST and for many more
epochs: {digits:,} digits, for each seed divided anew into {used:,} that train and {held:,} that validate ({steps}
steps an epoch), one strength for all methods, so that they differ in nothing but what decays; 1,000 other digits
only report the test error. With so few digits errors are high and coarse, and one strength is no tuning: read
directions, not levels."""


if __name__ == "__main__":
    sys.exit(main())
