"""Deploys every case of a folder by the command line and compares what csim makes of it with the exact answer.

usage: python -m scripts.figures.cases FOLDER [--profile int8-8x8] [--only NAME ...]

A case is ``NAME.onnx`` with inputs in ``NAME.npz`` (also the calibration samples) and, if there is one, the exact
float32 answer in ``NAME.expected.npz``. Arrays of ``NAME.npz`` that are no inputs are ignored. For each output the
SQNR is printed, and that of its worst column (last axis).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sliceflow.cli import main as sliceflow
from sliceflow.sqnr import sqnr_db


def command(*words: str | Path) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON document and messages of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = sliceflow([*map(str, words), "--json"])
    try:
        document = json.loads(out.getvalue())
    except json.JSONDecodeError:
        document = {}
    return code, document, err.getvalue()


def sqnr(expected: np.ndarray, got: np.ndarray) -> float:
    """In dB; infinite if nothing is lost."""
    found = sqnr_db(max(float(np.square(expected).sum()), 1e-300), float(np.square(expected - got).sum()))
    return math.inf if found is None else found


def outputs_of(case: Path, folder: Path, inputs: Path) -> list[str]:
    """A line for each output: its SQNR, and that of its worst column."""
    result = folder / "y.npz"
    code, document, err = command("run", folder / "artifact", "--input", inputs, "--output", result)
    if code:
        return [f"run: exit {code}: {document.get('error', {}).get('what', err.strip()[:200])}"]
    answer = case.with_suffix(".expected.npz")
    if not answer.exists():
        return ["ran"]
    lines = []
    with np.load(answer) as expected, np.load(result) as got:
        for name in expected.files:
            if name not in got.files or expected[name].shape != got[name].shape:
                lines.append(f"{name}: no output of shape {expected[name].shape}")
                continue
            want, have = expected[name].astype(np.float64), got[name].astype(np.float64)
            columns = [sqnr(want[..., i], have[..., i]) for i in range(want.shape[-1])] if want.ndim == 3 else []
            worst = f", worst column {min(columns):.1f} dB" if columns else ""
            lines.append(f"{name}: {sqnr(want, have):.1f} dB{worst}")
    return lines


def show(case: Path, profile: str) -> None:
    """Deploy one case and print what became of it."""
    graph = onnx.load(case, load_external_data=False).graph
    quantized = any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.node)
    print(f"== {case.stem}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = folder / "x.npz"
        with np.load(case.with_suffix(".npz")) as arrays:
            np.savez(inputs, **{value.name: arrays[value.name] for value in graph.input if value.name in arrays})
        data = [] if quantized else ["--calibration", inputs]
        checked, document, _ = command("check", case, "--profile", profile)
        print(f"  check: exit {checked}" + (f": {document['error']['what']}" if "error" in document else ""))
        code, document, err = command("deploy", case, *data, "--profile", profile, "--output", folder / "artifact")
        if code:
            error = document.get("error", {})
            print(f"  deploy: exit {code}: {error.get('what')}; {error.get('where')}; {error.get('fix')}")
            return
        for line in err.splitlines():
            print(f"  {line[:220]}")
        for line in outputs_of(case, folder, inputs):
            print(f"  {line}")
        totals = document.get("totals", document)
        keys = ("fpga_share", "share", "launches", "cpu_nodes", "segments", "macs_on_fpga")
        print("  " + ", ".join(f"{key} {totals[key]}" for key in keys if key in totals))


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--profile", default="int8-8x8")
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    for case in sorted(arguments.folder.glob("*.onnx")):
        if not arguments.only or case.stem in arguments.only:
            show(case, arguments.profile)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
