"""VGG16 at 224x224 as a whole: time and memory of compiling and of csim, and how they grow with the weights.

usage: python -m scripts.figures.vgg16 [--widths 0.5 0.7 1] [--write]

For each width, in processes of their own: export with seeded weights, quantize (calibrated on one random image;
accuracy is not the point), then measured: `sliceflow compile` of the quantized ONNX file (wall time, peak memory), and
one image on csim with all cores. Needs torch and about 3 GB of disk in the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from scripts.figures import record
from sliceflow.machine import cores

PROFILE = "int8-8x8"
LIMITS = {"compile_seconds": 30.0, "compile_mib": 4096.0, "csim_seconds": 10.0}


def _run(arguments: list[str]) -> tuple[float, float, str]:
    """Run a process; returns wall seconds, peak MiB and standard output."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, output


def _child(artifact: Path) -> None:
    """In a process of its own: load the artifact, warm up, run one image; prints the seconds."""
    from sliceflow.runtime.session import Session

    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    with Session(artifact, device="csim") as session:
        name = session.get_inputs()[0].name
        session.run(None, {name: image})
        start = time.perf_counter()
        session.run(None, {name: image})
        print(time.perf_counter() - start)


def measure(width: float, folder: Path) -> dict[str, Any]:
    """All figures of one width."""
    sliceflow = [str(Path(sys.executable).with_name("sliceflow"))]
    model, quantized, artifact = folder / "v.onnx", folder / "q.onnx", folder / "artifact"
    narrow = [] if width == 1 else ["--width", str(width)]
    _run([sys.executable, "-m", "models", "vgg16", "--output", str(model), *narrow])
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    np.save(folder / "c.npy", image)
    _run([*sliceflow, "quantize", str(model), "--calibration", str(folder / "c.npy"), "--output", str(quantized)])
    model.unlink()
    seconds, mib, output = _run(
        [*sliceflow, "compile", str(quantized), "--profile", PROFILE, "--output", str(artifact), "--json"]
    )
    report = json.loads(output)
    _, csim_mib, csim = _run([sys.executable, "-m", "scripts.figures.vgg16", "--child", str(artifact)])
    return {
        "width": width,
        "weights_mib": (artifact / "weights.bin").stat().st_size / 2**20,
        "gmacs": sum(layer["macs"] for layer in report["layers"]) / 1e9,
        "fpga_layers": sum(layer["placement"] == "fpga" for layer in report["layers"]),
        "compile_seconds": seconds,
        "compile_mib": mib,
        "csim_seconds": float(csim),
        "csim_mib": csim_mib,
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [
        [
            f"{r['width']:g}", f"{r['weights_mib']:.1f}", f"{r['gmacs']:.2f}", f"{r['compile_seconds']:.1f}",
            f"{r['compile_mib']:.0f}", f"{r['compile_mib'] / r['weights_mib']:.1f}", f"{r['csim_seconds']:.2f}",
            f"{r['gmacs'] / r['csim_seconds']:.1f}", f"{r['csim_mib']:.0f}",
        ]
        for r in data["widths"]
    ]  # fmt: skip
    header = [
        "width",
        "weights MiB",
        "GMAC",
        "compile s",
        "compile peak MiB",
        "MiB per MiB of weights",
        "csim s",
        "GMAC/s",
        "csim peak MiB",
    ]
    return (
        f"# VGG16, 224x224, whole network\n\nProfile {data['profile']}, all times measured on {data['cores']} cores. "
        "`compile`: from the quantized ONNX file to the artifact, interpreter start included; `csim`: one image, "
        "second run.\n\n"
        f"{record.table(header, rows)}"
    )


def main() -> int:
    """Measure all widths; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--widths", type=float, nargs="+", default=[0.5, 0.7, 1.0])
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return 0
    results = []
    for width in options.widths:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(width, Path(folder)))
    data = {"profile": PROFILE, "cores": cores(), "widths": results}
    print(page(data))
    if options.write:
        record.write("vgg16", page, data)
    good = all(r[key] <= limit for r in results for key, limit in LIMITS.items())
    print("targets:", "met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
