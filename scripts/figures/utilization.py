"""True use of the multipliers: useful multiply-accumulates over multipliers x clocks, nine networks, layer by layer.

usage: python -m scripts.figures.utilization [NETWORK ...] [--profile int8-8x8] [--cache FOLDER] [--write]

Every distinct layer shape runs once on the simulated RTL kernel, in a launch of its own on random activations, and is
compared with csim; the clocks are added up over each network.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from scripts.figures import record
from scripts.figures.keep import Keeper
from scripts.figures.launch import Kind, kind_of
from scripts.figures.shapes import ShapeRunner, shape_of
from scripts.figures.tiling import tiled_passes
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.program import Layer, Program
from sliceflow.hardware.cycles import ideal_cycles
from sliceflow.hardware.profile import TAPS, Profile

NETWORKS = (
    "vgg16", "vgg19", "resnet50", "resnet101", "inception-v1", "inception-v2", "inception-v3", "yolov2", "yolov2-tiny",
)  # fmt: skip
TARGET = 0.91
"""OPU's average over nine networks, the best published overlay."""
MAPPINGS = ("now", "tiled")


def judge(program: Program, keeper: Keeper) -> dict[str, Any]:
    """Run a network's distinct layers and add them up."""
    runner = ShapeRunner(program, keeper)
    layers: list[dict[str, Any]] = []
    for layer, descriptor, run in zip(program.fpga_layers, program.descriptors, runner.runs(), strict=True):
        is_stem = not layers and bool(layer.macs)
        ideals = _ideals(layer, descriptor, program.profile, is_stem=is_stem)
        layers.append(
            {
                "name": layer.name,
                "op": layer.op,
                "kind": kind_of(descriptor, layer.macs),
                "group": _group(layer, descriptor, is_stem=is_stem),
                "macs": layer.macs,
                "clocks": run.clocks,
                "ideal": ideals["now"],
                "output_lanes": layer.channels_out / max(1, layer.channels_out_computed),
                "predicted": {name: run.clocks - ideals["now"] + ideal for name, ideal in ideals.items()},
                "bytes_compared": run.bytes_compared,
                "bytes_differing": run.bytes_differing,
            }
        )
    runner.close()
    multipliers = program.profile.cpi * program.profile.cpo * TAPS
    body = [layer for layer in layers if layer["kind"] != Kind.FULLY_CONNECTED]
    return {
        "network": program.name,
        "profile": program.profile.name,
        "shapes": len({shape_of(descriptor) for descriptor in program.descriptors}),
        "fpga_share": sum(layer["macs"] for layer in layers) / sum(layer.macs for layer in program.layers),
        "multipliers": multipliers,
        "body": _use(body, multipliers),
        "whole": _use(layers, multipliers),
        "mappings": {name: _use(body, multipliers, name) for name in MAPPINGS},
        "bytes_differing": sum(layer["bytes_differing"] for layer in layers),
        "layers": layers,
    }


def _use(layers: list[dict[str, Any]], multipliers: int, mapping: str = "now") -> float:
    clocks = sum(layer["predicted"][mapping] for layer in layers)
    return sum(layer["macs"] for layer in layers) / (multipliers * clocks) if clocks else 0.0


def _kernel(layer: Layer) -> tuple[int, int] | None:
    found = re.match(r"Conv (\d+)x(\d+)", layer.op)
    return (int(found[1]), int(found[2])) if found else None


def _group(layer: Layer, descriptor: Descriptor, *, is_stem: bool) -> str:
    """The kind of layer that a table's row stands for."""
    kernel, kind = _kernel(layer), kind_of(descriptor, layer.macs)
    if kind != Kind.BODY or kernel is None:
        return str(kind)
    name = f"{kernel[0]}x{kernel[1]}"
    return f"stem {name}" if is_stem else name


def _ideals(layer: Layer, descriptor: Descriptor, profile: Profile, *, is_stem: bool) -> dict[str, int]:
    """Ideal clocks by mapping. Stems, whose taps may be channels already, stay as they are."""
    now, kernel = ideal_cycles(descriptor, profile), _kernel(layer)
    if is_stem or kind_of(descriptor, layer.macs) != Kind.BODY or kernel is None or descriptor.groups > 1:
        return dict.fromkeys(MAPPINGS, now)
    passes = geometry.passes(descriptor) // descriptor.weight_planes
    tiled = min(passes, tiled_passes(kernel, descriptor.in_slices))
    return {"now": now, "tiled": now * tiled // passes}


def _networks(results: list[dict[str, Any]]) -> str:
    header = ["network", "distinct layers", "MACs on the FPGA", "body", "with fully connected", "body, tiled"]
    header += ["bytes differing"]
    rows = [
        [
            found["network"],
            f"{found['shapes']} of {len(found['layers'])}",
            f"{found['fpga_share']:.2%}",
            *(f"{share:.3f}" for share in (found["body"], found["whole"])),
            f"{found['mappings']['tiled']:.3f}",
            found["bytes_differing"],
        ]
        for found in results
    ]
    shares = [[found["body"], found["whole"], found["mappings"]["tiled"]] for found in results]
    average = [f"{statistics.mean(column):.3f}" for column in zip(*shares, strict=True)]
    return record.table(header, [*rows, ["*average*", "", "", *average, ""]])


def _kinds(layers: list[dict[str, Any]], multipliers: int) -> str:
    """What each kind of layer costs."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for layer in layers:
        groups[layer["group"]].append(layer)
    macs, clocks = (sum(layer[name] for layer in layers) for name in ("macs", "clocks"))
    rows = []
    for name, members in sorted(groups.items(), key=lambda item: -_lost(item[1], multipliers)):
        own, ideal, taken = (sum(layer[key] for layer in members) for key in ("macs", "ideal", "clocks"))
        lanes = sum(layer["macs"] for layer in members)
        filled = own / (multipliers * ideal) if own else 0.0
        outputs = lanes / sum(layer["macs"] / layer["output_lanes"] for layer in members) if own else 0.0
        after = _use(members, multipliers, "tiled")
        rows.append(
            [
                name,
                len(members),
                f"{own / macs:.1%}",
                f"{taken / clocks:.1%}",
                f"{own / (multipliers * taken):.3f}",
                *((f"{outputs:.3f}", f"{filled / outputs:.3f}", f"{ideal / taken:.3f}") if own else ("", "", "")),
                f"{_lost(members, multipliers) / clocks:.1%}",
                f"{after:.3f}" if own else "",
            ]
        )
    header = ["kind", "layers", "of MACs", "of clocks", "use", "output lanes", "taps and input lanes", "busy"]
    return record.table([*header, "lost, of all clocks", "use, tiled"], rows)


def _lost(layers: list[dict[str, Any]], multipliers: int) -> float:
    return float(sum(layer["clocks"] - layer["macs"] / multipliers for layer in layers))


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    multipliers = results[0]["multipliers"]
    bodies = [layer for found in results for layer in found["layers"] if layer["kind"] != Kind.FULLY_CONNECTED]
    parts = [
        "# True use of the multipliers",
        f"Profile {results[0]['profile']}, {multipliers} multipliers. Use = useful multiply-accumulates over "
        "multipliers times\n"
        "clocks. Each distinct layer ran once on the simulated RTL kernel, in a launch of its own, and was compared\n"
        "with csim; the clocks, from the start of that launch to the last write response, are added up. *Body*: all\n"
        "layers that are not fully connected, pools and copies included.\n"
        "The best published overlay, OPU, averages .91.",
        _networks(results),
        "## By kind of layer",
        "All bodies together. *Use* = *output lanes* (channels out over lanes) x *taps and input lanes* (the share of\n"
        "the rest of each frame that is useful) x *busy* (ideal over measured clocks).",
        _kinds(bodies, multipliers),
        *(
            f"### {found['network']}\n\n"
            + _kinds([layer for layer in found["layers"] if layer["kind"] != Kind.FULLY_CONNECTED], multipliers)
            for found in results
        ),
        "## What would win it back",
        "Predicted, not measured: the clocks above with another number of passes. *Tiled*: a frame of nine taps may\n"
        "also be three taps in a row, or in a column, of three input slices, or one tap of nine slices. With bank\n"
        "`(row + slice) % 3 * 3 + (column + slice / 3) % 3` no two of them meet in a bank. A 5x5 kernel is then\n"
        "9 + 6 + 6 + 4 taps with few idle multipliers instead of four windows. Rows of seven taps, which now take one\n"
        "tap of nine slices a frame, idle less where slices are no multiple of nine. Nothing helps the others: a 3x3\n"
        "stem of three channels is one pass, however its taps are arranged; pools, and the last frame of a 1x1 kernel\n"
        "whose slices are no multiple of nine, stay as they are.",
    ]
    return "\n\n".join(parts)


def main() -> int:
    """Measure the networks; returns 1 if the average of the bodies misses the target or a byte differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--profile", default="int8-8x8")
    parser.add_argument("--cache", type=Path, help="folder that keeps programs and results of this kernel")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    profile, keeper = Profile.load(options.profile), Keeper(options.cache)
    results = []
    for name in options.networks:
        results.append(judge(keeper.program(name, profile), keeper))
        print(_networks(results[-1:]).splitlines()[2], file=sys.stderr, flush=True)
    print(page(results))
    if options.write:
        record.write("utilization", page, results)
    differing = sum(found["bytes_differing"] for found in results)
    return 0 if statistics.mean(found["body"] for found in results) > TARGET and not differing else 1


if __name__ == "__main__":
    sys.exit(main())
