"""Random quantized networks with parts on the CPU, held to what their models mean."""

from __future__ import annotations

import dataclasses
import tempfile
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from sliceflow.devices.base import open_device
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.quantization.quiet import notes_unlogged
from sliceflow.runtime.against import compare_with_onnx
from tests.support.random_network import quantize_with_onnxruntime, random_network

IMAGES = 2
PROFILES = ("int8-8x8", "int8-4x4", "int8-16x16", "int8-4x8")


@dataclasses.dataclass(frozen=True)
class Found:
    """One network.

    Attributes:
        seed: of the network.
        origin: who quantized it: ``ours`` or ``foreign``.
        mapped: whether anything could run on the accelerator.
        fpga, cpu: layers there.
        match: whether every layer keeps the tolerance, given the same numbers.
        values: values compared with the model, in steps.
        off: of these, values that differ.
        unexplained: of these, values where the model's own value is not near a rounding tie and the layer has no
            rounding inside.
        worst: largest difference of a layer, in steps.
        end_to_end: largest difference of an output, in steps, where it is quantized.
        first: the layer at fault.
    """

    seed: int
    origin: str
    mapped: bool
    fpga: int = 0
    cpu: int = 0
    match: bool = True
    values: int = 0
    off: int = 0
    unexplained: int = 0
    worst: float = 0.0
    end_to_end: float = 0.0
    first: dict[str, Any] | None = None


def examine(seed: int, device: str) -> Found:
    """Make a network from a seed, compile it, and compare it with ONNX Runtime's exact meaning, layer by layer.

    Two in three have layers that are kept on the CPU, one in three layers that are not quantized at all.
    """
    rng = np.random.default_rng(seed)
    origin = ("ours", "foreign")[seed % 2]
    model = random_network(rng, int(rng.integers(3, 14)))
    weighty = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Add", "MaxPool", "Resize")]
    left_float = _some(weighty, rng) if rng.random() < 0.33 else []
    on_cpu = _some([node.name for node in model.graph.node], rng) if rng.random() < 0.67 else []
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    quantized = (_ours if origin == "ours" else _foreign)(model, rng, shape, left_float)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(quantized, f"{folder}/q.onnx")
        loaded = load_model(f"{folder}/q.onnx")
    profile = Profile.load(PROFILES[seed // 2 % len(PROFILES)])
    keep = bool(rng.random() < 0.5)
    names = {node.name for node in loaded.graph}
    options: dict[str, Any] = {"name": "random", "source_sha256": "0" * 64, "keep_islands": keep}
    try:
        program = compile_model(loaded, profile, cpu_nodes=sorted(names & set(on_cpu)), **options)
    except UserError as error:
        if not error.what.startswith("no layer of the model can run"):
            raise
        return Found(seed, origin, mapped=False)
    opened = open_device(device, program, threads=1)
    try:
        feed = {"x": rng.standard_normal((IMAGES, *shape)).astype(np.float32)}
        report = compare_with_onnx(program, opened, feed, quantized.SerializeToString(), 1)
    finally:
        opened.close()
    layers = [layer for layer in report.layers if layer["in_steps"]]
    return Found(
        seed,
        origin,
        mapped=True,
        fpga=len(program.fpga_layers),
        cpu=sum(layer.placement == "cpu" for layer in program.layers),
        match=report.match,
        values=sum(layer["values"] for layer in layers),
        off=sum(layer["off"] for layer in layers),
        unexplained=sum(layer["unexplained"] for layer in layers if not layer["roundings"]),
        worst=max((layer["max_error"] for layer in layers), default=0.0),
        end_to_end=max((end["max_error"] for end in report.outputs if end["in_steps"]), default=0.0),
        first=report.first_mismatch,
    )


def _some(names: list[str], rng: np.random.Generator) -> list[str]:
    """One name, or a few; none if there is none."""
    return [str(name) for name in rng.permutation(names)[: int(rng.integers(1, 4))]]


def _foreign(
    model: onnx.ModelProto, rng: np.random.Generator, shape: list[int], left_float: list[str]
) -> onnx.ModelProto:
    options = {name: bool(rng.random() < 0.5) for name in ("unsigned", "per_channel", "symmetric")}
    with tempfile.TemporaryDirectory() as folder:
        return quantize_with_onnxruntime(model, rng, folder, left_float=left_float, **options)


def _ours(model: onnx.ModelProto, rng: np.random.Generator, shape: list[int], left_float: list[str]) -> onnx.ModelProto:
    data = CalibrationData({"x": rng.standard_normal((4, *shape)).astype(np.float32)})
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/m.onnx")
        loaded = load_model(f"{folder}/m.onnx")
    exclude = frozenset(left_float) & {str(node.name) for node in loaded.graph}
    method, activations = str(rng.choice(["minmax", "mse"])), str(rng.choice(["auto", "uint8", "int8"]))
    options = QuantizationOptions(method=method, activations=activations, threads=1, exclude=exclude)
    with notes_unlogged():
        return ir.to_proto(quantize(loaded, data, options).model)
