"""How fast the RTL kernel simulates: clocks a second on one core, for several array sizes.

usage: python -m scripts.figures.rtl_speed [PROFILE ...] [--network vgg16-hcr] [--repeats N] [--cache FOLDER] [--write]

A whole network in one launch, harness and memory model included. Clocks over processor time say what one core of its
own would do; clocks over wall time are what this run saw, on a machine that may have been busy with other things.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from scripts.figures import record
from scripts.figures.keep import Keeper
from sliceflow.devices.rtl.device import RtlDevice
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.machine import cores

PROFILES = ("int8-4x4", "int8-8x8", "int8-16x16", "int8-32x32")
TARGETS = {"int8-8x8": 200_000}
"""Clocks a second that the project promises."""


def measure(program: Program, repeats: int) -> dict[str, Any]:
    """Launch a program on random activations some times; the fastest of each kind counts."""
    device = RtlDevice(1)
    device.load(program)
    processor, wall = [], []
    for _ in range(repeats):
        before = time.process_time(), time.perf_counter()
        device.launch(0, len(program.descriptors))
        processor.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    clocks = device.clocks[-1].end
    device.close()
    return {
        "profile": program.profile.name,
        "clocks": clocks,
        "repeats": repeats,
        "clocks_per_processor_second": clocks / min(processor),
        "clocks_per_wall_second": clocks / min(wall),
        "target": TARGETS.get(program.profile.name),
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [
        [
            r["profile"],
            f"{r['clocks']:,}",
            f"{r['clocks_per_processor_second']:,.0f}",
            f"{r['clocks_per_wall_second']:,.0f}",
            f"{r['target']:,}" if r["target"] else "",
        ]
        for r in data["profiles"]
    ]
    header = ["profile", "clocks simulated", "clocks a second of processor time", "of wall time", "target"]
    return (
        f"# Simulation speed of the RTL kernel\n\n{data['network']}, whole network in one launch, one thread, best of "
        f"{data['repeats']}; harness and memory model included.\nThe machine has {data['cores']} cores and "
        f"was not idle, so processor time is what counts.\n\n{record.table(header, rows)}"
    )


def main() -> int:
    """Measure the profiles; returns 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("profiles", nargs="*", default=PROFILES)
    parser.add_argument("--network", default="vgg16-hcr", help="what to run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=2, help="launches of each (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder that keeps programs")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    keeper = Keeper(options.cache)
    results = []
    for profile in map(Profile.load, options.profiles):
        results.append(measure(keeper.program(options.network, profile), options.repeats))
        print(results[-1], file=sys.stderr, flush=True)
    data = {"network": options.network, "repeats": options.repeats, "cores": cores(), "profiles": results}
    print(page(data))
    if options.write:
        record.write("rtl_speed", page, data)
    return 0 if all(r["clocks_per_processor_second"] >= (r["target"] or 0) for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
