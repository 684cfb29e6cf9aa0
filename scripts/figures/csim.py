"""Speed of the C simulation beside ONNX Runtime: one layer, 64 to 64 channels, 3x3, 56x56 pixels, on one core.

The simulator is compiled for every instruction set that the processor has (see SLICEFLOW_INSTRUCTIONS in the guide).

usage: python -m scripts.figures.csim [--json] [--write] [--repeats N] [--cache FOLDER]

Every figure is measured in this run: the best and the median of N, the two sides taking turns, so that a busy machine
disturbs both alike. ONNX Runtime executes the same convolution as an int8 QDQ model and as float32, with one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scripts.figures import record
from sliceflow.devices import build
from sliceflow.devices.cache import default_cache
from sliceflow.devices.csim import BuildOptions, CsimLibrary
from sliceflow.devices.instructions import INSTRUCTION_SETS, available_instructions
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.graph.program import encode_descriptors
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import user_session

CHANNELS, SIDE = 64, 56
MACS = CHANNELS * CHANNELS * 9 * SIDE * SIDE
PROFILES = ("int8-8x8", "int8-16x16", "fp32-4x4")
TARGETS = {
    ("int8-8x8", "avx2"): 13.0,
    ("int8-16x16", "avx2"): 26.0,
    ("int8-8x8", "avx512vnni"): 13.0,
    ("int8-16x16", "avx512vnni"): 34.0,
    **{("fp32-4x4", instructions): 1.0 for instructions in INSTRUCTION_SETS},
}
"""GMAC/s on one idle core that the project promises, by profile and instruction set."""


def layer_of(profile: Profile) -> Descriptor:
    """The layer for a profile: input at word 0, output behind it, in the largest strips that fit."""
    slices, words = CHANNELS // profile.cpi, CHANNELS // profile.cpi * SIDE * SIDE
    layer = Descriptor(
        op=Op.CONV,
        in_height=SIDE,
        in_width=SIDE,
        in_slices=slices,
        taps_y=3,
        taps_x=3,
        pad_top=1,
        pad_left=1,
        conv_height=SIDE,
        conv_width=SIDE,
        lanes_base=8,
        out_low=-128,
        out_high=127,
        pool_height=SIDE,
        pool_width=SIDE,
        out_base=words,
        out_slices=slices,
        out_count=CHANNELS // profile.cpo,
    )
    for layer.strip_rows in range(SIDE, 0, -1):
        rows = [geometry.array_rows(layer, strip) for strip in range(layer.strips)]
        inputs = [geometry.input_rows(layer, strip) for strip in rows]
        banks = max(geometry.bank_words(layer, last - first) for first, last in inputs)
        if banks <= profile.bank_words and layer.strip_rows * SIDE <= profile.accumulator_pixels:
            break
    layer.strip_count = layer.strips
    return layer


def simulation(profile: Profile, instructions: str, cache: Path | None, rng: np.random.Generator) -> Callable[[], None]:
    """A call that executes the layer once, compiled for an instruction set."""
    layer = layer_of(profile)
    lanes = np.zeros((CHANNELS, 16), np.uint8)
    lanes[:, 4:8] = np.full((CHANNELS, 1), 1 << 23, "<i4").view(np.uint8)
    lanes[:, 8] = 34
    descriptors = np.frombuffer(encode_descriptors([layer], profile), np.uint8)
    program = np.concatenate([descriptors, lanes.reshape(-1)])
    sizes = geometry.weight_bytes(layer, profile), 2 * layer.out_base * profile.word_bytes
    if profile.is_float:
        weights, activations = (rng.normal(size=size // 4).astype("<f4").view(np.uint8) for size in sizes)
    else:
        weights, activations = (rng.integers(0, 256, size, np.uint8) for size in sizes)
    library = CsimLibrary(profile, cache=cache, options=BuildOptions(instructions=instructions))
    return lambda: library.run(program, weights, activations, 0, 1, 1)


def runtime(*, quantized: bool, rng: np.random.Generator) -> Callable[[], None]:
    """A call that executes the same convolution in ONNX Runtime with one thread."""
    kernel = rng.integers(-127, 128, (CHANNELS, CHANNELS, 3, 3))
    constants = {
        "s": np.float32(0.02),
        "sw": np.full(CHANNELS, 0.01, np.float32),
        "zx": np.uint8(128),
        "zw": np.zeros(CHANNELS, np.int8),
        "w": kernel.astype(np.int8) if quantized else (kernel * 0.01).astype(np.float32),
    }
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    if quantized:
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "s", "zx"], ["xf"]),
            helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wf"], axis=0),
            helper.make_node("Conv", ["xf", "wf"], ["yf"], **pads),
            helper.make_node("QuantizeLinear", ["yf", "s", "zx"], ["y"]),
        ]
    else:
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **pads)]
        constants = {"w": constants["w"]}
    kind = TensorProto.UINT8 if quantized else TensorProto.FLOAT
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = user_session(model.SerializeToString(), 1, where="a convolution")
    x = rng.integers(0, 256, shape).astype(np.uint8 if quantized else np.float32)
    return lambda: session.run(None, {"x": x}) and None


def measure(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, after one to warm up; the calls take turns."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def measured(cache: Path, repeats: int) -> dict[str, Any]:
    """Every simulator that this processor can run, and ONNX Runtime; plain data for ``page``."""
    rng = np.random.default_rng(0)
    compiler = build.find_compiler()
    names = {
        f"csim {profile}, {instructions}": (profile, instructions)
        for profile in PROFILES
        for instructions in available_instructions(compiler, cache)
    }
    calls = {
        name: simulation(Profile.load(profile), instructions, cache, rng)
        for name, (profile, instructions) in names.items()
    }
    calls["ONNX Runtime int8 QDQ"] = runtime(quantized=True, rng=rng)
    calls["ONNX Runtime fp32"] = runtime(quantized=False, rng=rng)
    rows = [
        {
            "name": name,
            "kind": "measured",
            "instructions": names[name][1] if name in names else None,
            "threads": 1,
            "repeats": repeats,
            "best_ms": 1e3 * min(seconds),
            "median_ms": 1e3 * statistics.median(seconds),
            "gmacs_best": MACS / min(seconds) / 1e9,
            "gmacs_median": MACS / statistics.median(seconds) / 1e9,
            "target_gmacs": TARGETS.get(names.get(name, ("", ""))),
        }
        for name, seconds in measure(calls, repeats).items()
    ]
    return {
        "layer": {"channels": CHANNELS, "height": SIDE, "width": SIDE, "kernel": 3, "macs": MACS},
        "compiler": build.call([compiler, "--version"]).stdout.partition("\n")[0],
        "instructions": list(available_instructions(compiler, cache)),
        "rows": rows,
        "targets_met": all(row["gmacs_best"] > row["target_gmacs"] for row in rows if row["target_gmacs"]),
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    layer, rows = data["layer"], data["rows"]
    header = ["", "best ms", "median ms", "GMAC/s (best)", "target, on an idle core"]
    cells = [
        [
            row["name"],
            f"{row['best_ms']:.2f}",
            f"{row['median_ms']:.2f}",
            f"{row['gmacs_best']:.2f}",
            f"> {row['target_gmacs']:g}" if row["target_gmacs"] else "",
        ]
        for row in rows
    ]
    return (
        f"# Speed of the C simulation\n\n{layer['channels']} to {layer['channels']} channels, 3x3, "
        f"{layer['height']}x{layer['width']} pixels: {layer['macs'] / 1e6:.1f} M MAC. Measured, one thread, "
        f"{rows[0]['repeats']} runs taking turns. The simulator is compiled by {data['compiler']} for each instruction "
        f"set of this processor: {', '.join(data['instructions'])}. It uses the last one unless told otherwise; ONNX "
        f"Runtime uses what it finds.\n\n{record.table(header, cells)}"
    )


def main() -> int:
    """Print the table, or JSON; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder of compiled simulators (default: ~/.cache/sliceflow)")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be 1 or more")
    data = measured(arguments.cache or default_cache(), arguments.repeats)
    if arguments.json:
        json.dump(data, sys.stdout, indent=1)
        print()
    else:
        print(page(data))
    if arguments.write:
        record.write("csim", page, data)
    return 0 if data["targets_met"] else 1


if __name__ == "__main__":
    sys.exit(main())
