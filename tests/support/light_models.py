"""The nine weightless classification networks that the onnx package carries, for figures and end-to-end tests.

Their weights are ConstantOfShape nodes, all 0.02. That is enough to map them; to compare numbers, the layers get seeded
random weights instead.
"""

from __future__ import annotations

import dataclasses
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from sliceflow.build import Target, quantize_for
from sliceflow.devices.base import open_device
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program, TransformStep
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.onnx_runtime import user_session
from sliceflow.quantization import CalibrationData, QuantizationOptions
from sliceflow.report.compilation import compilation_json
from sliceflow.runtime.against import compare_with_onnx
from tests.support.models import run_model

_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CLOCK_MHZ = 300.0
"""Assumed clock for which it is decided what runs where: at lower ones small islands are cheaper on the CPU."""
NAMES = tuple(sorted(path.stem.removeprefix("light_") for path in _FOLDER.glob("light_*.onnx")))
"""The networks."""


def load(name: str, *, seed: int | None = None) -> ir.Model:
    """A normalized network; with a seed, its layers have random weights."""
    model = load_model(_FOLDER / f"light_{name}.onnx")
    if seed is not None:
        _randomize(model, np.random.default_rng(seed))
    return model


def _randomize(model: ir.Model, rng: np.random.Generator) -> None:
    """Weights that keep the variance of the activations, and small biases."""
    for node in list(model.graph):
        if node.op_type not in ("Conv", "Gemm"):
            continue
        for index, value in enumerate(node.inputs[1:], start=1):
            if value is None or value.const_value is None:
                continue
            shape = value.const_value.numpy().shape
            deviation = np.sqrt(2 / np.prod(shape[1:])) if index == 1 else 0.1
            array = (rng.standard_normal(shape) * deviation).astype(np.float32)
            fresh = ir.Value(
                name=f"{node.name}_random_{index}",
                shape=ir.Shape(shape),
                type=ir.TensorType(ir.DataType.FLOAT),
                const_value=ir.tensor(array),
            )
            model.graph.register_initializer(fresh)
            node.replace_input_with(index, fresh)


def images(model: ir.Model, count: int, seed: int) -> dict[str, np.ndarray]:
    """Seeded normal images for the one input."""
    value = model.graph.inputs[0]
    shape = [int(size) for size in (value.shape or ())][1:]
    return {str(value.name): np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)}


def accelerator(profile: str) -> Profile:
    """A built-in profile at a clock at which no island of these networks is cheaper on the CPU."""
    return dataclasses.replace(Profile.load(profile), mhz=CLOCK_MHZ, clock_basis="assumed")


def quantized(model: ir.Model, profile: str = "int8-8x8", *, calibration_images: int = 2, seed: int = 0) -> ir.Model:
    """What of the network runs on an accelerator in int8, calibrated on a few random images."""
    data = CalibrationData(images(model, calibration_images, seed))
    options = QuantizationOptions(method="minmax", threads=1, batch_megabytes=64)
    target = Target(profile=accelerator(profile), options=options)
    return quantize_for(model, target, data, compared=False)[0].model


def without_softmax(model: ir.Model) -> ir.Model:
    """The same network without a Softmax at its end, so that its output has a scale to count steps in."""
    last = model.graph.outputs[0].producer()
    if last is not None and last.op_type == "Softmax" and last.inputs[0] is not None:
        model.graph.outputs[0] = last.inputs[0]
        model.graph.remove(last, safe=True)
    return model


def compiled(model: ir.Model, name: str, profile: str) -> Program:
    """The program, with the partition that users get at that clock."""
    return compile_model(model, accelerator(profile), name=name, source_sha256="0" * 64)


def measure(name: str, profile: str) -> dict[str, Any]:
    """Load, quantize if need be, and compile one network: where its nodes run, time and peak memory of the process."""
    start = time.perf_counter()
    model = load(name)
    nodes = len(model.graph)
    if not Profile.load(profile).is_float:
        model = quantized(model, profile)
    middle = time.perf_counter()
    program = compiled(model, name, profile)
    end = time.perf_counter()
    on_cpu = [layer for layer in program.layers if layer.placement == "cpu"]
    groups = Counter((layer.op, layer.reason) for layer in on_cpu)
    return {
        "model": name,
        "profile": profile,
        "nodes": nodes,
        "totals": compilation_json(program, "")["totals"],
        "cpu": [{"op": op, "reason": reason, "count": count} for (op, reason), count in groups.most_common()],
        "prepare_seconds": round(middle - start, 2),
        "compile_seconds": round(end - middle, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


@dataclasses.dataclass(frozen=True)
class Difference:
    """Largest differences at the output of one int8 network, in steps of its scale.

    Attributes:
        error: the device against ONNX Runtime.
        own: ONNX Runtime with its graph rewrites (without saturation) against it without them: what rounding ties make
            of one and the same model.
        program: what ran.
    """

    error: float
    own: float
    program: Program


def difference(name: str, device: str, *, seed: int = 1) -> Difference:
    """Run an int8 network with random weights, without its Softmax, on a device and in ONNX Runtime."""
    model = without_softmax(quantized(load(name, seed=seed), seed=seed))
    program = compiled(model, name, "int8-8x8")
    feeds = images(model, 1, seed + 1)
    proto = ir.to_proto(model)
    opened = open_device(device, program, threads=1)
    try:
        found = compare_with_onnx(program, opened, feeds, proto.SerializeToString(), 1).outputs[0]
    finally:
        opened.close()
    last = program.steps[-1]
    if not found["in_steps"] or not isinstance(last, TransformStep):
        raise ValueError(f"the output of {name} is not quantized")
    plain = run_model(proto, feeds)[0]
    rewritten = user_session(proto.SerializeToString(), 1, where=name, precise=True).run(None, feeds)[0]
    own = float(np.abs(plain - rewritten).max()) / program.tensors[last.tensor].scale
    return Difference(round(float(found["max_error"]), 3), round(own, 3), program)
