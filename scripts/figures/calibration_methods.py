"""Which method finds the best ranges, and from which SQNR on a quantized network can be trusted, on trained networks.

usage: python -m scripts.figures.calibration_methods [--images N] [--write]

Each network of scripts/figures/trained.py is quantized with every method, and run in ONNX Runtime with the exact
meaning of its graph on images that calibration did not see. Then it is spoilt on purpose, step by step: ranges cut,
weights of four bits, calibration images too dark. Each such network is a point: the SQNR that a user would be shown,
and how many of the float network's decisions are kept. Needs the environment of scripts/test.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from typing import Any

import numpy as np
import onnx_ir as ir

from scripts.figures import record
from scripts.figures.trained import Array, Trained, agreement, trained_networks
from sliceflow.onnx_runtime import exact_session
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.quantization.quality import LEAST_DB
from sliceflow.quantization.quiet import notes_unlogged
from sliceflow.sqnr import sqnr_db

METHODS = ("minmax", "percentile", "mse", "auto")
SPOILT: tuple[tuple[str, float, dict[str, Any]], ...] = (
    *((f"percentile {p:g}", 1.0, {"method": "percentile", "percentile": p}) for p in (99.9, 99.0, 97.0, 90.0, 80.0)),
    ("int4 weights", 1.0, {"weights": "int4"}),
    *((f"calibrated on images x {factor:g}", factor, {}) for factor in (0.5, 0.25, 0.1)),
    ("int16 activations", 1.0, {"activations": "int16"}),
)
BINS = (-100, 0, 5, 10, 15, 20, 25, 30, 100)


def outputs(model: ir.Model, images: Array) -> Array:
    """The first output on all images."""
    session = exact_session(ir.to_proto(model).SerializeToString(), 1, where="trained network")
    (value,) = session.get_inputs()
    batch = value.shape[0] if isinstance(value.shape[0], int) else 50
    parts = [session.run(None, {value.name: images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def sqnr(exact: Array, found: Array) -> float:
    """In dB."""
    noise = float(np.square(exact.astype(np.float64) - found).sum())
    ratio = sqnr_db(float(np.square(exact, dtype=np.float64).sum()), noise)
    return math.inf if ratio is None else ratio


def measure(network: Trained) -> dict[str, Any]:
    """All settings of one network."""
    exact = outputs(network.model, network.test)

    def one(name: str, factor: float, choices: dict[str, Any]) -> dict[str, Any]:
        data = CalibrationData({network.input: network.calibration * np.float32(factor)})
        with notes_unlogged():
            result = quantize(network.model, data, QuantizationOptions(threads=1, **choices))
        found = outputs(result.model, network.test)
        kept = agreement(network, exact, found)
        right = network.decide is not None and network.labels is not None
        return {
            "setting": name,
            "method": result.report.method,
            "sqnr_db": sqnr(exact, found),
            "kept": None if np.isnan(kept) else kept,
            "accuracy": _accuracy(network, found) if right else None,
        }

    return {
        "network": network.name,
        "accuracy": _accuracy(network, exact) if network.labels is not None else None,
        "methods": [one(method, 1.0, {"method": method}) for method in METHODS],
        "spoilt": [one(*setting) for setting in SPOILT],
    }


def _accuracy(network: Trained, found: Array) -> float:
    if network.decide is None:
        return float("nan")
    return float((network.decide(found).reshape(-1) == network.labels).mean())


def page(data: dict[str, Any]) -> str:
    """The Markdown text."""
    results, images = data["networks"], data["images"]
    rows = []
    for found in results:
        best = max(entry["sqnr_db"] for entry in found["methods"])
        cells = [
            f"{entry['sqnr_db']:.1f}" + (" *" if entry["sqnr_db"] > best - 0.05 else "") for entry in found["methods"]
        ]
        decided = [_percent(found["accuracy"]), *(_percent(e["accuracy"]) for e in found["methods"])]
        kept = [_percent(entry["kept"]) for entry in found["methods"]]
        rows.append([found["network"], *cells, found["methods"][-1]["method"], " / ".join(decided), " / ".join(kept)])
    loss = []
    for index, name in enumerate(METHODS):
        lost = [_behind(found, index) for found in results]
        loss.append([name, f"{np.mean(lost):.2f}", f"{max(lost):.2f}"])
    points = [(e["sqnr_db"], e["kept"]) for r in results for e in r["methods"] + r["spoilt"] if e["kept"] is not None]
    table = []
    for low, high in itertools.pairwise(BINS):
        kept = [share for db, share in points if low <= db < high]
        if kept:
            name = f"under {high}" if low == BINS[0] else f"{low} to {high}" if high < BINS[-1] else f"{low} and more"
            table.append([name, len(kept), _percent(float(np.mean(kept))), _percent(min(kept)), _percent(max(kept))])
    header = ["network", *(f"{m} dB" for m in METHODS), "auto took", "accuracy % float / " + " / ".join(METHODS)]
    return "\n\n".join(
        [
            "# Ranges of activations, on trained networks",
            f"SQNR of the first output in dB on images that calibration did not see ({images} digits, 12 of the "
            "others; * the best). *Kept*: decisions of the float network that the quantized one makes too: classes, "
            "characters, or for the detector intersection over union of the pixels that are text.",
            record.table([*header, "kept % " + " / ".join(METHODS)], rows),
            "How far each method is behind the best of the three for the same network, in dB:",
            record.table(["method", "mean", "most"], loss),
            "## From which SQNR on",
            "The same networks, and others spoilt on purpose: percentiles of 99.9 to 80, weights of four bits, "
            "calibration on images of a half to a tenth of the brightness; and one better, with activations of sixteen "
            "bits.",
            record.table(["SQNR dB", "networks", "kept, mean %", "least %", "most %"], table),
            f"Under {LEAST_DB:g} dB `quantize` and `deploy` warn: above it no network kept less than "
            f"{_percent(min(share for db, share in points if db >= LEAST_DB))} % of its decisions, and under it "
            f"{_share_below(points)} kept less than 97 %.",
        ]
    )


def _behind(found: dict[str, Any], index: int) -> float:
    single = [entry["sqnr_db"] for entry in found["methods"][:-1]]
    return float(max(single) - found["methods"][index]["sqnr_db"])


def _share_below(points: list[tuple[float, float]]) -> str:
    below = [share for db, share in points if db < LEAST_DB]
    return f"{sum(share < 0.97 for share in below)} of {len(below)}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def main() -> int:
    """Measure, print, record; returns 1 if another method is better than ``auto`` in the mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=500, help="digits to test on")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    results = []
    for network in trained_networks(options.images):
        results.append(measure(network))
        print(f"measured {network.name}", file=sys.stderr)
    data = {"images": options.images, "networks": results}
    print(page(data))
    if options.write:
        record.write("calibration_methods", page, data)
    means = [np.mean([_behind(found, index) for found in results]) for index in range(len(METHODS))]
    good = means[-1] == min(means)
    print("targets:", "met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
