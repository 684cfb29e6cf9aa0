"""What simplification removes from twelve pruned architectures, that it changes nothing, and what ONNX Runtime gains.

usage: python -m scripts.figures.simplify [NAME ...] [--repeats N]

Needs torchvision, of which only the definitions of the networks are used. With a CPU build of torch:
`pip install --no-deps torchvision==0.28.0`.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch

from scripts.figures.pruned_torchvision import ARCHITECTURES, build, export, opened, prune
from scripts.figures.record import table, write
from sliceflow.frontend import load_model
from sliceflow.onnx_runtime import exact_session, user_session
from sliceflow.passes.simplify import SimplifyOptions, SimplifyReport, simplify

SEED = 0
SHARE = 0.5
SIZE = 224
LIMIT = 1e-5
BLOCK = 4
"""Channels that ONNX Runtime's blocked kernels want to come together."""


def main() -> int:
    """Measure, print, record. Returns 1 if an output differs by more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(ARCHITECTURES), help="architectures; all if omitted")
    parser.add_argument("--repeats", type=int, default=15, help="rounds in which every model runs once")
    arguments = parser.parse_args()
    results = []
    for name in arguments.names:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            results.append(pool.submit(measure, name, arguments.repeats).result())
        print(results[-1], flush=True)
    data = {"repeats": arguments.repeats, "networks": results}
    print(page(data))
    if set(arguments.names) == set(ARCHITECTURES):
        write("simplify", page, data)
    return 1 if any(max(found["differences"].values()) > LIMIT for found in results) else 0


def measure(name: str, repeats: int) -> dict[str, Any]:
    """One architecture."""
    torch.set_num_threads(1)
    architecture = ARCHITECTURES[name]
    module = build(architecture, SEED)
    dense = export(module, SIZE, open_size=architecture.open_size)
    pruned_channels = prune(module, SHARE, SEED)
    pruned = export(module, SIZE, open_size=architecture.open_size)
    del module
    model, report, seconds = _simplified(pruned, 1)
    blocks, blocks_report, _ = _simplified(pruned, BLOCK)
    sizes = (SIZE, architecture.other)
    differences = {str(size): _difference(opened(pruned), (opened(model), opened(blocks)), size) for size in sizes}
    found = {
        "name": name,
        "builder": architecture.builder,
        "pruned_channels": pruned_channels,
        **report.totals(),
        "seconds": round(seconds, 2),
        "differences": differences,
        "milliseconds": _latencies({"dense": dense, "pruned": pruned, "simplified": model, "blocks": blocks}, repeats),
        "blocks": blocks_report.totals(),
        "thesis_ms": dict(zip(("dense", "pruned", "simplified"), architecture.thesis, strict=True)),
        "held": [dataclasses.asdict(held) for held in report.held],
    }
    return found


def _simplified(pruned: onnx.ModelProto, multiple: int) -> tuple[onnx.ModelProto, SimplifyReport, float]:
    model = load_model(pruned, input_shapes={"image": [1, 3, SIZE, SIZE]})
    begin = time.perf_counter()
    report = simplify(model, SimplifyOptions(check=False, multiple=multiple))
    seconds = time.perf_counter() - begin
    return ir.to_proto(model), report, seconds


def _image(size: int, seed: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).standard_normal((1, 3, size, size)).astype(np.float32)}


def _difference(before: onnx.ModelProto, after: Sequence[onnx.ModelProto], size: int) -> float:
    """The largest difference of any model, as a share of the largest output, over three images."""
    session = exact_session(before.SerializeToString(), 1, where="the network before")
    expected = [session.run(None, _image(size, seed))[0] for seed in range(3)]
    worst = 0.0
    for model in after:
        session = exact_session(model.SerializeToString(), 1, where="a network behind")
        for seed, wanted in enumerate(expected):
            got = session.run(None, _image(size, seed))[0]
            worst = max(worst, float(np.abs(wanted - got).max() / np.abs(wanted).max()))
    return worst


def _latencies(models: dict[str, onnx.ModelProto], repeats: int) -> dict[str, Any]:
    """Medians over rounds in which each model runs once, so that all meet the same load; and medians of quotients."""
    sessions = {name: user_session(model.SerializeToString(), 1, where=name) for name, model in models.items()}
    image, times = _image(SIZE, 0), {name: [] for name in models}
    for turn in range(repeats + 2):
        for name, session in sessions.items():
            begin = time.thread_time()  # ONNX Runtime's only thread is this one
            session.run(None, image)
            if turn > 1:
                times[name].append(1e3 * (time.thread_time() - begin))
    found = {name: round(statistics.median(of), 3) for name, of in times.items()}
    for name in ("simplified", "blocks"):
        found[f"dense_over_{name}"] = round(float(np.median(np.array(times["dense"]) / np.array(times[name]))), 3)
    return found


def page(data: dict[str, Any]) -> str:
    """The table and what it means."""
    results, repeats = data["networks"], data["repeats"]
    header = ["network", "channels", "pruned", "gone", "parameters", "MACs", "difference at 224", "at another size"]
    header += ["dense ms", "pruned ms", "simplified ms", "speed-up", f"in blocks of {BLOCK}: MACs", "ms", "speed-up"]
    rows = [_row(found) for found in results]
    notes = _NOTES.format(share=f"{SHARE:.0%}", block=BLOCK, repeats=repeats).split("---\n")
    parts = [notes[0].rstrip(), table([*header, "thesis' speed-up"], rows), notes[1].strip(), _summary(results)]
    return "\n\n".join(parts)


_NOTES = """# Simplification of twelve pruned networks

The definitions of torchvision with seeded random weights, biases and batch norms; {share} of the output channels of
every layer but the last pruned at random, each layer by itself; biases and norms are left as they are.
---
*Channels*: outputs of all convolutions and fully connected layers; a batch norm that no layer can take in (DenseNet)
counts as a layer. *Pruned*: those that lost their weights. *Gone*: removed. Others are held by a residual sum, a
concatenation or a depthwise partner in which they are not constant, by the equal size of groups, or stand for all
constants in front of a padded layer. *Parameters, MACs*: what is left. *Difference*: largest difference between the
pruned and the simplified networks in ONNX Runtime, as a share of the largest output, over three random images; the
model was simplified once, at 224 x 224.

*In blocks of {block}*: with `--multiple {block}`, which keeps channels in multiples of {block}. ONNX Runtime has fast
kernels for blocked channels, and turns to slow ones for depthwise convolutions whose channels do not fill them.

*ms*: processor time of ONNX Runtime, one thread, batch 1; medians of {repeats} rounds in each of which all models run
in turn. The machine had other load, which wall time would show. *Speed-up* is the median of the rounds' quotients of
dense over simplified. The thesis (A. Bragagnolo, 2023, Table 6.1) measured PyTorch on another processor: only its
ratios compare.
"""


def _row(found: dict[str, Any]) -> list[Any]:
    (_, first), (size, second) = found["differences"].items()
    times = found["milliseconds"]
    return [
        found["name"],
        found["channels_before"],
        found["pruned_channels"],
        found["channels_before"] - found["channels_after"],
        f"{found['parameters_after'] / found['parameters_before']:.1%}",
        f"{found['macs_after'] / found['macs_before']:.1%}",
        f"{first:.1e}",
        f"{second:.1e} ({size})",
        *(f"{times[kind]:.1f}" for kind in ("dense", "pruned", "simplified")),
        f"{times['dense_over_simplified']:.2f}",
        f"{found['blocks']['macs_after'] / found['macs_before']:.1%}",
        f"{times['blocks']:.1f}",
        f"{times['dense_over_blocks']:.2f}",
        f"{_thesis(found):.2f}",
    ]


def _thesis(found: dict[str, Any]) -> float:
    return float(found["thesis_ms"]["dense"] / found["thesis_ms"]["simplified"])


def _summary(results: list[dict[str, Any]]) -> str:
    lines = []
    for kind, words in (("simplified", "Without blocks"), ("blocks", f"In blocks of {BLOCK}")):
        ratios = [found["milliseconds"][f"dense_over_{kind}"] for found in results]
        above = sum(ratio > _thesis(found) for ratio, found in zip(ratios, results, strict=True))
        slower = sum(ratio < 1 for ratio in ratios)
        lines.append(
            f"{words}, {slower} of {len(results)} are slower than dense, and {above} gain more than the thesis'."
        )
    worst = max(value for found in results for value in found["differences"].values())
    return "\n".join([*lines, f"The largest difference is {worst:.1e}."])


if __name__ == "__main__":
    sys.exit(main())
