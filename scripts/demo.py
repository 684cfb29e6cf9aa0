"""The main job on real input: a pruned digit network from ONNX to the compiled kernel, checked, and beside the CPU.

scripts/demo makes the environment and runs this. Everything it makes goes to build/demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.data import write_sets  # noqa: E402
from sliceflow.errors import SliceflowError  # noqa: E402
from sliceflow.onnx_runtime import exact_session  # noqa: E402
from sliceflow.runtime.session import Session  # noqa: E402

BUILD = ROOT / "build" / "demo"
VERIFIED = 50
"""Digits that the demo verifies layer by layer; the NumPy reference is slow."""
MODEL = ROOT / "models" / "mnist_vgg_pruned.onnx"
COMMAND = Path(sys.executable).with_name("sliceflow")


def step(title: str) -> None:
    """Announce a step."""
    print(f"\n== {title}", flush=True)


def sliceflow(*arguments: str | Path, quiet: bool = False) -> str:
    """Run the command line as a user would; with ``quiet`` its output is returned instead of shown."""
    shown = [str(a.relative_to(ROOT)) if isinstance(a, Path) else a for a in arguments]
    if not quiet:
        print("$ sliceflow", *shown, flush=True)
    result = subprocess.run(
        [COMMAND, *shown], cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE if quiet else None
    )
    if result.returncode:
        raise SystemExit(result.returncode)
    return result.stdout or ""


def top1(logits: Any, labels: Any) -> float:
    """Share of right answers, in per cent."""
    return float((np.asarray(logits).argmax(1) == labels).mean() * 100)


def accuracies(artifact: Path, images: Any, labels: Any) -> dict[str, float]:
    """Accuracy of the float model, of its int8 form in ONNX Runtime, and of the compiled kernel."""
    found = {}
    for name, path in (("fp32, ONNX Runtime", MODEL), ("int8, ONNX Runtime", artifact / "source" / "int8.onnx")):
        session = exact_session(path, where=str(path))
        found[name] = top1(session.run(None, {"input": images})[0], labels)
    with Session(artifact, device="csim") as compiled:
        found["int8, csim kernel"] = top1(compiled.run(None, {"input": images})[0], labels)
    return found


def main() -> int:
    """Run all steps; returns the exit code."""
    artifact, calibration, evaluation = BUILD / "mnist_vgg", BUILD / "calibration.npz", BUILD / "evaluation.npz"
    step("digits: 256 to calibrate with, 1,000 held back")
    write_sets(calibration, evaluation)
    print(f"{calibration.relative_to(ROOT)}, {evaluation.relative_to(ROOT)}")
    step("deploy: quantize, map, write the artifact")
    sliceflow("deploy", MODEL, "--calibration", calibration, "--profile", "int8-8x8", "--output", artifact)
    step("accuracy on the held-back digits")
    with np.load(evaluation) as data:
        images, labels = data["input"], data["label"]
    found = accuracies(artifact, images, labels)
    for name, percent in found.items():
        print(f"{name:20} {percent:6.2f} %")
    step("verify: the compiled kernel against the integer reference, layer by layer")
    np.savez(BUILD / "verify.npz", input=images[:VERIFIED])
    sliceflow("verify", artifact, "--device", "csim", "--input", BUILD / "verify.npz")
    step("bench: this CPU against the FPGA")
    sliceflow("bench", artifact)
    step("in short")
    for name, value, label in summary(artifact, found):
        print(f"{name:32} {value:>22}   {label}")
    return 0


def summary(artifact: Path, found: dict[str, float]) -> list[tuple[str, str, str]]:
    """Rows of the closing table: what, how much, and how it is known."""
    verified = json.loads(sliceflow("verify", artifact, "--input", BUILD / "verify.npz", "--json", quiet=True))
    bench = json.loads(sliceflow("bench", artifact, "--json", quiet=True))
    layers, totals = verified["layers"], bench["fpga"]["totals"]
    differing = sum(layer["differing"] for layer in layers)
    rows = [(f"top-1, {name}", f"{percent:.2f} %", "measured") for name, percent in found.items()]
    rows.append(
        ("csim against reference", f"{differing} integers differ", f"of {sum(row['values'] for row in layers):,}")
    )
    for row in bench["cpu"]:
        rows.append((f"CPU {row['model']}, {row['threads']} threads", f"{row['median_ms']:.3f} ms", row["label"]))
    for part in totals["parts"]:
        rows.append((f"FPGA {part['part']}", f"{part['ms']:.3f} ms", f"{part['label']}: {part['basis']}"))
    return rows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SliceflowError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
