"""Random first layers: few channels, large kernels, strides, dilations, uneven padding, and something behind them.

Quantized stems have power-of-two scales and sums below 2^24, so that ONNX Runtime's float arithmetic is exact.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx

from tests.support.models import Graph


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stem:
    """The shape of a stem; ``pad`` is (top, left, bottom, right)."""

    channels: int
    size: tuple[int, int]
    outputs: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    behind: str = "nothing"
    before: str = "nothing"
    dtype: str = "uint8"
    zero: int = 0

    @property
    def result(self) -> tuple[int, int]:
        """(rows, columns) behind the convolution."""
        rows, columns = (
            (self.size[axis] + self.pad[axis] + self.pad[axis + 2] - (self.kernel[axis] - 1) * self.dilation[axis] - 1)
            // self.stride[axis]
            + 1
            for axis in (0, 1)
        )
        return rows, columns


def random_stem(seed: int, dtypes: tuple[str, ...] = ("uint8", "int8")) -> Stem:
    """A stem whose convolution has at least one output pixel."""
    rng = np.random.default_rng(seed)
    while True:
        kernel = tuple(int(k) for k in rng.integers(1, 12, 2))
        if rng.random() < 0.5:
            kernel = (kernel[0], kernel[0])
        stride = tuple(int(s) for s in rng.integers(1, 5, 2))
        dtype = str(rng.choice(dtypes))
        info = np.iinfo(dtype)
        middle = (int(info.min) + int(info.max) + 1) // 2
        stem = Stem(
            channels=int(rng.integers(1, 5)),
            size=(int(rng.integers(8, 34)), int(rng.integers(8, 34))),
            outputs=int(rng.integers(1, 20)),
            kernel=kernel,
            stride=(stride[0], stride[0]) if rng.random() < 0.5 else stride,
            dilation=(1, 1) if rng.random() < 0.6 else tuple(int(d) for d in rng.integers(1, 4, 2)),
            pad=tuple(int(rng.integers(0, k + 1)) for k in (*kernel, *kernel)),
            behind=str(rng.choice(["nothing", "relu", "max", "average", "add"])),
            before=str(rng.choice(["nothing", "nothing", "nothing", "cpu", "quantized"])),
            dtype=dtype,
            zero=middle + int(rng.integers(-100, 100)),
        )
        if min(stem.result) > 0:
            return stem


def stem_model(stem: Stem, seed: int, *, quantized: bool) -> tuple[onnx.ModelProto, np.ndarray]:
    """The model, and two images for it."""
    graph = _StemGraph(stem, seed, quantized)
    model = graph.build()
    images = graph.rng.standard_normal((2, stem.channels, *stem.size)).astype(np.float32)
    if stem.before == "quantized" and quantized:
        info = np.iinfo(stem.dtype)
        stored = np.rint(images * 100) + stem.zero
        return model, np.clip(stored, info.min, info.max).astype(stem.dtype)
    return model, images


class _StemGraph(Graph):
    def __init__(self, stem: Stem, seed: int, quantized: bool) -> None:
        super().__init__(seed)
        self.stem, self.quantized = stem, quantized
        # A 16-bit operand times one of at most this, summed 484 times, stays below 2^24.
        self.largest = 7 if "16" in stem.dtype else 127

    def build(self) -> onnx.ModelProto:
        stem = self.stem
        value = self._source()
        value = self._conv(value, stem.channels, stem.kernel, self.largest, stem.stride, stem.dilation, stem.pad)
        if stem.behind == "relu":
            value = self.node("Relu", value)
        deviation = 100 * self.largest / 2 * np.sqrt(stem.channels * np.prod(stem.kernel)) * 2.0**-14
        value = first = self._pair(value, 2.0 ** round(np.log2(deviation / 40)))
        if stem.behind == "max" and min(stem.result) > 2:
            value = self.node("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        elif stem.behind == "average" and min(stem.result) > 1:
            value = self.node("AveragePool", value, kernel_shape=[2, 2], strides=[2, 2])
        elif stem.behind == "add":
            value = self._conv(value, stem.outputs, (3, 3), 1, pad=(1, 1, 1, 1))
            value = self.node("Add", value, first)
        else:
            return self.model(value)
        return self.model(self._pair(value, 2.0 ** round(np.log2(deviation / 10))))

    def _source(self) -> str:
        stem = self.stem
        dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(stem.dtype))
        stored = stem.before == "quantized" and self.quantized
        value = self.input(1, stem.channels, *stem.size, dtype=dtype if stored else onnx.TensorProto.FLOAT)
        if stored:
            return self.node("DequantizeLinear", value, self.constant(2.0**-7), self.constant(stem.zero, stem.dtype))
        if stem.before == "cpu":
            value = self.node("Sin", value)
        return self._pair(value, 2.0**-7, stem.zero)

    def _pair(self, value: str, scale: float, zero: int | None = None) -> str:
        middle = 0 if self.stem.dtype.startswith("int") else np.iinfo(self.stem.dtype).max // 2
        zero = int(middle) if zero is None else zero
        return self.quantize(value, scale, zero, self.stem.dtype) if self.quantized else value

    def _conv(self, value, channels, kernel, largest, stride=(1, 1), dilation=(1, 1), pad=(0, 0, 0, 0)) -> str:
        weights = self.rng.integers(-largest, largest + 1, (self.stem.outputs, channels, *kernel))
        bias = self.rng.integers(-5000, 5000, self.stem.outputs)
        if self.quantized:
            scale = self.constant(2.0**-7)
            weight = self.node("DequantizeLinear", self.constant(weights, "int8"), scale, self.constant(0, "int8"))
            source = next(n for n in self.nodes if n.output[0] == value).input[1]
            product = self.constant(2.0**-7 * float(onnx.numpy_helper.to_array(self._initializer(source))))
            addend = self.node("DequantizeLinear", self.constant(bias, "int32"), product, self.constant(0, "int32"))
        else:
            weight, addend = self.constant(weights / largest), self.constant(bias / 5000)
        return self.node(
            "Conv",
            value,
            weight,
            addend,
            name=f"conv{len(self.nodes)}",
            kernel_shape=kernel,
            strides=stride,
            dilations=dilation,
            pads=pad,
        )

    def _initializer(self, name: str) -> onnx.TensorProto:
        return next(tensor for tensor in self.initializers if tensor.name == name)
