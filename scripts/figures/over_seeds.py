"""A figure that is measured over seeds: its arguments, its progress, its page."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from scripts.figures.record import write

Run = dict[str, Any]


def over_seeds(
    name: str, description: str | None, measure: Callable[[int], Run], page: Callable[[list[Run]], str]
) -> list[Run]:
    """Measure each seed, print the page, and record it if asked to.

    Args:
        name: of the page in docs/benchmarks.
        description: of the script, for its help.
        measure: what one seed finds, plain data.
        page: the page's text, from all of that.

    Returns:
        What the seeds found.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="replace the page in docs/benchmarks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = []
    for seed in range(arguments.seeds):
        begin = time.process_time()
        runs.append(measure(seed))
        print(f"seed {seed}: {time.process_time() - begin:.0f} s of processor time", flush=True)
    print(page(runs))
    if arguments.write:
        write(name, page, runs)
    return runs
