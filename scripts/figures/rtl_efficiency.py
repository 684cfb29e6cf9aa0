"""Whole networks on the simulated RTL kernel: clocks of every layer, and how much of them the array was busy.

usage: python -m scripts.figures.rtl_efficiency [NETWORK ...] [--profiles int8-8x8 ...] [--cache FOLDER] [--write]

Each network runs as one program with a random image. Behind each launch the whole activation memory is compared with
csim's. Clocks come from the kernel's own log; memory ports of 64 bytes a clock, the profile's read latency, no stalls.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import statistics
import sys
from pathlib import Path
from typing import Any

from scripts.figures import launch, record
from scripts.figures.keep import Keeper, identity
from scripts.figures.launch import Kind, run_network
from sliceflow.devices.cache import default_cache
from sliceflow.devices.rtl.build import build_library
from sliceflow.graph.program import Program
from sliceflow.hardware.cycles import predict
from sliceflow.hardware.profile import Profile

NETWORKS = ("vgg-mnist", "vgg16", "vgg16-hcr", "resnet18", "resnet50")
PROFILES = ("int8-8x8", "int8-16x16", "int8-32x32")
HLSINF = {
    ("vgg16", "int8-8x8"): 0.78, ("vgg16", "int8-16x16"): 0.37,
    ("resnet18", "int8-8x8"): 0.19, ("resnet18", "int8-16x16"): 0.06,
    ("resnet50", "int8-8x8"): 0.05, ("resnet50", "int8-16x16"): 0.014,
}  # fmt: skip
"""Efficiency of HLSinf's convolution body, by its authors' cycle model."""
TARGETS = {
    ("vgg16", "int8-8x8"): 0.97, ("vgg16", "int8-16x16"): 0.94,
    ("resnet18", "int8-8x8"): 0.93, ("resnet18", "int8-16x16"): 0.87,
    ("resnet50", "int8-8x8"): 0.92, ("resnet50", "int8-16x16"): 0.85,
}  # fmt: skip
LONGEST_GAP = 300
"""Clocks between two layers that the project promises not to reach."""
SHOWN_LOSSES = 10


def _simulate(program: Program) -> dict[str, Any]:
    return dataclasses.asdict(run_network(program))


def judge(program: Program, run: dict[str, Any]) -> dict[str, Any]:
    """Figures of a network from its ``NetworkRun``."""
    layers = run["layers"]
    for layer, descriptor in zip(layers, program.descriptors, strict=True):
        layer["losses"] = _losses(layer, dataclasses.asdict(predict(descriptor, program.profile)))
    for before, layer in itertools.pairwise(layers):
        layer["gap"] = layer["first_frame"] - before["end"] if layer["begin"] >= before["end"] else None
        layer["array_gap"] = layer["first_frame"] - before["last_frame"] if layer["gap"] is not None else None
    return {
        "network": program.name,
        "profile": program.profile.name,
        "launches": run["launches"],
        "clocks": sum(layer["cycles"] for layer in layers),
        "efficiency": {
            "body": efficiency(layers, Kind.BODY),
            "body and layers without MACs": efficiency(layers, Kind.BODY, Kind.COPY),
            "fully connected": efficiency(layers, Kind.FULLY_CONNECTED),
        },
        "gap": _spread(layers, "gap"),
        "array_gap": _spread(layers, "array_gap"),
        "bytes_compared": run["bytes_compared"],
        "bytes_differing": run["bytes_differing"],
        "simulated_clocks_per_second": layers[-1]["end"] / run["seconds"] if run["launches"] == 1 else None,
        "layers": layers,
    }


def efficiency(layers: list[dict[str, Any]], *kinds: Kind) -> float | None:
    """Ideal clocks of the layers that multiply over all clocks, both of the layers of some kinds."""
    chosen = [layer for layer in layers if layer["kind"] in kinds]
    cycles = sum(layer["cycles"] for layer in chosen)
    return sum(layer["ideal"] for layer in chosen if layer["macs"]) / cycles if cycles else None


def _spread(layers: list[dict[str, Any]], name: str) -> dict[str, float] | None:
    gaps = [layer[name] for layer in layers if layer.get(name) is not None]
    return {"max": max(gaps), "median": statistics.median(gaps)} if gaps else None


def _losses(layer: dict[str, Any], model: dict[str, int]) -> dict[str, int]:
    """Clocks of a layer beyond its ideal. Start and end are measured; the array's time is divided by the model."""
    start = layer["cycles"] - (layer["end"] - layer["first_frame"])
    array = layer["last_frame"] - layer["first_frame"]
    again = model["compute"] - model["ideal"]
    weights, output = model["weights"], model["output"]
    return {
        "before the first frame": start,
        "frames computed twice": again,
        "weights": weights,
        "output": output,
        "input and restarts": array - model["compute"] - weights - output,
        "behind the last frame": layer["end"] - layer["last_frame"],
    }


def _summary(results: list[dict[str, Any]]) -> str:
    header = [
        "network",
        "profile",
        "Mclocks",
        "launches",
        "body",
        "HLSinf",
        "target",
        "body and pools",
        "fully connected",
    ]
    header += ["longest gap", "median gap", "longest, array", "median, array", "bytes compared", "differing"]
    rows = []
    for found in results:
        key = found["network"], found["profile"]
        shares = found["efficiency"]
        rows.append(
            [
                *key,
                f"{found['clocks'] / 1e6:.3f}",
                found["launches"],
                _share(shares["body"]),
                _share(HLSINF.get(key)),
                _share(TARGETS.get(key)),
                _share(shares["body and layers without MACs"]),
                _share(shares["fully connected"]),
                *(f"{found[name][kind]:.0f}" for name in ("gap", "array_gap") for kind in ("max", "median")),
                f"{found['bytes_compared']:,}",
                found["bytes_differing"],
            ]
        )
    return record.table(header, rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _worst(found: dict[str, Any]) -> str:
    """The layers of a network that lose most, with the largest reason."""
    layers = sorted(found["layers"], key=lambda layer: layer["ideal"] - layer["cycles"])[:SHOWN_LOSSES]
    total = found["clocks"]
    rows = []
    for layer in layers:
        lost = layer["cycles"] - layer["ideal"]
        reason = max(layer["losses"], key=lambda name: layer["losses"][name])
        rows.append(
            [
                layer["name"],
                layer["op"],
                layer["kind"],
                f"{layer['ideal']:,}",
                f"{layer['cycles']:,}",
                f"{layer['ideal'] / layer['cycles']:.3f}",
                f"{lost:,}",
                f"{lost / total:.2%}",
                f"{reason} ({layer['losses'][reason]:,})",
            ]
        )
    header = ["layer", "what", "kind", "ideal", "measured", "efficiency", "lost", "of the network", "mostly"]
    return f"## {found['network']}, {found['profile']}\n\n{record.table(header, rows)}"


def page(results: list[dict[str, Any]]) -> str:
    """The page."""
    parts = [
        "# Networks on the simulated RTL kernel",
        "*Body*: ideal over measured clocks of the layers that multiply and are not fully connected (the array\n"
        "computes more than one pixel). *Ideal*: a clock for each array pixel, input step, 3x3 window and output\n"
        "group. *Measured*: from the layer before's last write response to the layer's own, so that all layers add up\n"
        "to the launch; the first one counts from the start of the launch. *Body and pools* adds the clocks of layers\n"
        "that do not multiply, as a loss. *HLSinf*: its convolution body by its own cycle model.",
        "*Gap*: from the last write response of a layer to the first frame of the next; *array*: from the last frame\n"
        "of a layer to the first of the next. *Compared*: the whole activation memory behind each launch with csim's.",
        _summary(results),
        "Below, the layers that lose most. What happens before the first and behind the last frame is measured; the\n"
        "rest is divided as the cycle model divides it.",
        *(_worst(found) for found in results),
    ]
    return "\n\n".join(parts)


def good(found: dict[str, Any]) -> bool:
    """Whether a network keeps what is promised."""
    target = TARGETS.get((found["network"], found["profile"]), 0.0)
    body = found["efficiency"]["body"] or 0.0
    return not found["bytes_differing"] and body >= target and found["gap"]["max"] < LONGEST_GAP


def main() -> int:
    """Measure the networks; returns 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--profiles", nargs="*", default=PROFILES)
    parser.add_argument("--cache", type=Path, help="folder that keeps programs and results of this kernel")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    keeper = Keeper(options.cache)
    results = []
    for profile in map(Profile.load, options.profiles):
        library = build_library(profile, cache=default_cache())
        for name in options.networks:
            program = keeper.program(name, profile)
            known = [library.name, *identity(program, launch.__file__)]
            run = keeper.result(f"network-{name}", known, functools.partial(_simulate, program))
            results.append(judge(program, run) | {"kernel": library.stem})
            print(_summary(results[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
            if options.write:
                record.write("rtl_efficiency", page, results)
    print(page(results))
    return 0 if all(map(good, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
