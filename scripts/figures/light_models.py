"""How much of nine well-known networks runs on the accelerator.

usage: python -m scripts.figures.light_models [MODEL ...] [--run]

The networks are those that the onnx package carries (`light_*.onnx`). Each is compiled for a float profile as it is,
and quantized for an integer one. Every compilation is a process of its own, so that peak memory is its own too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from scripts.figures.record import table, write
from sliceflow.hardware.cycles import caveat
from sliceflow.hardware.profile import Profile
from tests.support import light_models

PROFILES = ("fp32-4x4", "int8-8x8")
TARGET = 0.99
"""Share of the multiply-accumulates that the accelerator should do (shufflenet is reported without a target)."""


def main() -> int:
    """Compile, print, record; with ``--run`` also simulate. Returns 1 if a network misses the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=light_models.NAMES, help="names without light_; all if omitted")
    parser.add_argument("--run", action="store_true", help="also run int8 on csim and compare with ONNX Runtime")
    arguments = parser.parse_args()
    results = []
    for name in arguments.models:
        for profile in PROFILES:
            found = _alone(light_models.measure, name, profile)
            if arguments.run and profile.startswith("int8"):
                found["max_error_steps"], found["onnxruntime_steps"] = _alone(_difference, name)
            results.append(found)
            print(_line(found), flush=True)
    print(page(results))
    if set(arguments.models) == set(light_models.NAMES):
        write("light_models", page, results)
    missed = [r for r in results if r["model"] != "shufflenet" and r["totals"]["fpga_share"] <= TARGET]
    return 1 if missed else 0


def _alone(function: Any, *arguments: str) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _difference(name: str) -> tuple[float, float]:
    found = light_models.difference(name, "csim")
    return found.error, found.own


def _line(found: dict[str, Any]) -> str:
    share = found["totals"]["fpga_share"]
    return f"{found['model']:>14} {found['profile']}: {share:8.3%} of the MACs, {found['peak_mib']} MiB"


def page(results: list[dict[str, Any]]) -> str:
    """The page; with the errors if any network was simulated."""
    simulated = any("max_error_steps" in found for found in results)
    header = ["model", "profile", "nodes", "FPGA layers", "CPU nodes", "MMACs", "MACs on the FPGA", "lanes used"]
    header += ["ideal Mcycles", "predicted Mcycles", "compile s", "peak MiB"] + [
        "error in steps",
        "ONNX Runtime's own",
    ] * simulated
    rows = []
    for found in results:
        totals = found["totals"]
        rows.append(
            [
                found["model"],
                found["profile"],
                found["nodes"],
                totals["fpga_layers"],
                totals["cpu_layers"],
                f"{totals['macs'] / 1e6:.1f}",
                f"{totals['fpga_share']:.2%}",
                f"{totals['lanes_used']:.1%}",
                f"{totals['ideal_cycles'] / 1e6:.3f}",
                f"{totals['predicted_cycles'] / 1e6:.3f}",
                found["compile_seconds"],
                found["peak_mib"],
                *([found.get("max_error_steps", ""), found.get("onnxruntime_steps", "")] if simulated else []),
            ]
        )
    parts = [
        "# Nine networks of the onnx package",
        "Nodes are counted in the normalized float model, MACs for one image. CPU nodes include the quantization and\n"
        "reshaping that their neighbours need. *Lanes used*: useful products over those that the array performs in\n"
        "its ideal cycles. What runs where is decided for an assumed clock of 300 MHz; at lower ones small islands are",
        "cheaper on the CPU. Peak memory is that of a process which loads, quantizes (int8, two images) and compiles.",
        table(header, rows),
    ]
    caveats = [caveat(Profile.load(name)) for name in dict.fromkeys(found["profile"] for found in results)]
    parts += [f"*Predicted*: {text}." for text in caveats if text]
    if simulated:
        parts.append(
            "*Error*: the network with seeded random weights, quantized, on csim against ONNX Runtime's run of the\n"
            "same model: largest difference before the Softmax, in steps of that tensor's scale. *ONNX Runtime's\n"
            "own*: the same between ONNX Runtime with and without its graph rewrites. A rounding tie that one of them\n"
            "decides otherwise moves a value by one step, and the layers behind it add up such steps."
        )
    parts += ["## What stays on the CPU", table(["model", "profile", "nodes", "operator", "reason"], _reasons(results))]
    return "\n\n".join(parts)


def _reasons(results: list[dict[str, Any]]) -> list[list[Any]]:
    return [
        [found["model"], found["profile"], group["count"], group["op"], group["reason"]]
        for found in results
        for group in found["cpu"]
    ]


if __name__ == "__main__":
    sys.exit(main())
