"""Command line: ``python -m models NAME --output X.onnx`` writes a network with seeded weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from models import measure, zoo
from models.export import export_onnx
from sliceflow.errors import SliceflowError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models", description=(__doc__ or "").replace("``", ""))
    parser.add_argument("name", nargs="?", help="the network")
    parser.add_argument("--output", type=Path, help="the ONNX file to write")
    parser.add_argument("--width", type=float, help="narrow every layer but the last to this share of its channels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default: 0)")
    parser.add_argument("--list", action="store_true", help="list the networks and their sizes")
    options = parser.parse_args(arguments)
    if options.list:
        for name in zoo.NETWORKS:
            print(_row(name, zoo.entry(name)))
        return 0
    if options.name is None or options.output is None:
        parser.error("a network and --output are needed, or --list")
    try:
        entry = zoo.entry(options.name, width=options.width)
        torch.set_num_threads(1)
        module = zoo.seed_weights(zoo.build(entry.shape), options.seed)
        export_onnx(module, entry.image_shape, options.output)
    except (SliceflowError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(_row(options.name, entry))
    return 0


def _row(name: str, entry: zoo.Entry) -> str:
    module = zoo.build(entry.shape, device="meta")
    return (
        f"{name:14} {measure.parameters(module):>11,} parameters {measure.memory_kib(module):>9,.0f} KiB "
        f"{measure.macs(module, entry.image_shape) / 1e6:>9,.1f} MMAC {measure.neurons(module):>6,} neurons  "
        f"{entry.summary}"
    )


if __name__ == "__main__":
    sys.exit(main())
