"""Clocks of whole networks on the HLS C++ kernel, as its loops and streams count them, beside those of the RTL kernel.

usage: python -m scripts.figures.hls_clocks [--profiles NAME,...] [--networks NAME,...] [--write]

The C++ is compiled with clocks (``BuildOptions.clocks``) and executes the FPGA's part of each network once, on zeros:
the clocks do not depend on the data. The RTL's clocks are the cycle model's, which docs/benchmarks/cycle_model.md
holds to the simulated RTL; both have the profile's memory latency.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from scripts.figures import record
from scripts.figures.networks import compiled
from sliceflow.devices.cache import default_cache
from sliceflow.devices.csim.device import CsimDevice
from sliceflow.graph.program import FpgaStep
from sliceflow.hardware.cycles import predict_launch
from sliceflow.hardware.profile import Profile

PROFILES = ("int8-8x8", "int8-16x16")
NETWORKS = ("vgg16", "resnet18", "resnet50", "mobilenet-v2")
TARGET = 1.05
"""HLS over RTL clocks that each network is to keep."""


def judge(name: str, profile: Profile, cache: Path) -> dict[str, Any]:
    """The clocks of a network's launches, both kernels, layer by layer."""
    program = compiled(name, profile)
    device = CsimDevice(1, cache=cache, clocks=True)
    device.load(program)
    layers: list[dict[str, Any]] = []
    for step in program.steps:
        if isinstance(step, FpgaStep):
            part = slice(step.first, step.first + step.count)
            found = device.launch(step.first, step.count).cycles
            estimates = predict_launch(program.descriptors[part], profile)
            for layer, hls, rtl in zip(program.fpga_layers[part], found, estimates, strict=True):
                layers.append({"name": layer.name, "op": layer.op, "hls": hls, "rtl": rtl.predicted + rtl.gap})
    device.close()
    hls, rtl = (sum(layer[kernel] for layer in layers) for kernel in ("hls", "rtl"))
    return {
        "network": name,
        "profile": profile.name,
        "read_latency": profile.read_latency,
        "hls": hls,
        "rtl": rtl,
        "ratio": hls / rtl,
        "layers": layers,
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [
        [
            run["network"],
            run["profile"],
            len(run["layers"]),
            f"{run['hls']:,}",
            f"{run['rtl']:,}",
            f"{run['ratio']:.3f}",
            _worst(run["layers"]),
        ]
        for run in data["runs"]
    ]
    header = [
        "network",
        "profile",
        "layers",
        "clocks HLS C++",
        "clocks RTL",
        "HLS / RTL",
        "largest difference of a layer",
    ]
    return (
        "# Clocks of the HLS C++ kernel beside the RTL\n\n"
        "Counted by the C simulation with clocks: every iteration of a pipelined loop takes the interval of its "
        "pragma, streams have their real depths, memory answers after "
        f"{data['runs'][0]['read_latency']} clocks. No vendor tool has scheduled the loops yet: the intervals are "
        "what the code asks for, not what a tool promised. The RTL's clocks are the cycle model's. One image, only the "
        f"layers on the FPGA. Target: at most {data['target']}.\n\n" + record.table(header, rows)
    )


def _worst(layers: list[dict[str, Any]]) -> str:
    layer = max(layers, key=lambda row: abs(row["hls"] - row["rtl"]))
    return f"{layer['op']}: {layer['hls']:,} against {layer['rtl']:,}"


def main() -> int:
    """Print the table; 1 if a network misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", default=",".join(PROFILES), help="default: %(default)s")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    arguments = parser.parse_args()
    runs = []
    for profile in arguments.profiles.split(","):
        for name in arguments.networks.split(","):
            runs.append(judge(name, Profile.load(profile), default_cache()))
            print(f"{name} {profile}: {runs[-1]['ratio']:.4f}", file=sys.stderr)
    data = {"target": TARGET, "runs": runs}
    print(page(data))
    if arguments.write:
        record.write("hls_clocks", page, data)
    return 0 if all(run["ratio"] <= TARGET for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
