"""What the comparison with the float model adds to `sliceflow deploy`: ResNet-50 with 16 samples.

usage: python -m scripts.figures.quality_cost [--repeats N] [--threads N] [--write]

The steps of `deploy` are run one after the other in one process and timed by themselves, so that both sums, with and
without the comparison, come from the same run. Weights and samples are seeded; accuracy is not the point. Needs torch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from scripts.figures import record
from sliceflow.build import Target, quantize_for
from sliceflow.frontend import load_model, serialize
from sliceflow.graph.artifact import save_program
from sliceflow.hardware.profile import Profile
from sliceflow.machine import cores
from sliceflow.mapping import pack
from sliceflow.quantization import CalibrationData, QuantizationOptions, measure_quality

NETWORK, SAMPLES, PROFILE = "resnet50", 16, "int8-8x8"
METHODS = ("auto", "mse")
LIMIT = 0.20


def deploy(file: Path, images: np.ndarray, method: str, threads: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each step."""
    times: dict[str, tuple[float, float]] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        times[step] = time.perf_counter() - wall, time.process_time() - cpu
        return result

    model = timed("load", lambda: load_model(file))
    data = CalibrationData({str(model.graph.inputs[0].name): images})
    target = Target(profile=Profile.load(PROFILE), options=QuantizationOptions(method=method, threads=threads))
    result, mapped = timed("quantize, map", lambda: quantize_for(model, target, data, compared=False))
    timed("quality", lambda: measure_quality(model, result, data, held_back=False, threads=threads))
    timed("serialize", lambda: serialize(result.model, str(file)))
    program = timed("pack", lambda: pack(mapped, target.profile, name=NETWORK, source_sha256="0" * 64))
    timed("save", lambda: save_program(program, folder / "artifact", {}))
    return times


def _network(path: Path) -> None:
    import torch

    from models.zoo import NETWORKS, build, seed_weights
    from sliceflow.frontend.torch import export_module

    module = seed_weights(build(NETWORKS[NETWORK].shape), 0)
    ir.save(export_module(module, (torch.zeros(1, *NETWORKS[NETWORK].image_shape),)), path)


def page(data: dict[str, Any]) -> str:
    """The page."""
    results = data["methods"]
    rows = [
        [
            r["method"], kind, f"{r[kind]['without']:.2f}", f"{r[kind]['with']:.2f}", f"{r[kind]['added']:.1%}",
            *(f"{seconds:.2f}" for seconds in r[kind]["steps"].values()),
        ]
        for r in results
        for kind in ("wall", "cpu")
    ]  # fmt: skip
    header = ["method", "seconds", "deploy without", "deploy with", "added", *results[0]["wall"]["steps"]]
    return (
        f"# What quality figures cost\n\n`sliceflow deploy` of {NETWORK} with {SAMPLES} samples, profile {PROFILE}, "
        f"{data['cores']} cores: medians of {data['repeats']} runs, without and with the comparison "
        f"with the float model (target: at most {LIMIT:.0%} more, in CPU seconds, which other work on the machine "
        f"disturbs less).\n\n"
        f"{record.table(header, rows)}"
    )


def main() -> int:
    """Measure, print, record; returns 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; all cores if omitted")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _network(folder / "network.onnx")
        images = np.random.default_rng(0).standard_normal((SAMPLES, 3, 224, 224)).astype(np.float32)
        for method in METHODS:
            runs = [
                deploy(folder / "network.onnx", images, method, options.threads, folder) for _ in range(options.repeats)
            ]
            found: dict[str, Any] = {"method": method}
            for kind, index in (("wall", 0), ("cpu", 1)):
                steps = {step: statistics.median(run[step][index] for run in runs) for step in runs[0]}
                without = sum(seconds for step, seconds in steps.items() if step != "quality")
                found[kind] = {"steps": steps, "without": without, "with": without + steps["quality"]}
                found[kind]["added"] = steps["quality"] / without
            results.append(found)
    data = {"repeats": options.repeats, "cores": cores(), "methods": results}
    print(page(data))
    if options.write:
        record.write("quality_cost", page, data)
    good = all(r["cpu"]["added"] <= LIMIT for r in results)
    print("targets:", "met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
