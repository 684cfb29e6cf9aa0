"""Compares what a device computes with what an ONNX model means: layer by layer, each fed with ours, and end to end.

The model is the quantized one that the program was made from, or the float one behind it. Where it has a value for a
tensor of ours, the model goes on from our numbers there. So a layer is judged by itself, and the first one that leaves
the model is the one at fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from sliceflow.devices.base import Device
from sliceflow.errors import UserError
from sliceflow.graph.images import take_apart
from sliceflow.graph.program import CpuStep, FpgaStep, Program, TransformStep
from sliceflow.onnx_runtime import OnnxSession, exact_session
from sliceflow.runtime import transform
from sliceflow.runtime.agreement import Agreement, Tolerance
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor
from sliceflow.runtime.fed_model import FedModel, Point
from sliceflow.runtime.verify import channels_written

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class AgainstReport:
    """What ``compare_with_onnx`` found.

    Attributes:
        model: the model compared with.
        kind: ``quantized`` or ``float``.
        options: what ONNX Runtime was asked for.
        images: how many.
        tolerance: in words.
        match: whether the device stays within it.
        outputs: of each output end to end, where differences of all layers add up: ``output``, ``max_error``, whether
            that is ``in_steps`` of its scale or absolute (where a CPU layer makes it), ``sqnr_db`` (None if equal).
        layers: of each layer that the model has a value for, fed with ours: see ``Agreement``.
        not_compared: layers for whose results the model has no value; the next layer's comparison includes them.
        first_mismatch: the layer at fault, with ``layer``, ``value``, ``image``, ``index``, ``expected``, ``got``.
    """

    model: str
    kind: str
    options: str
    images: int
    tolerance: str
    match: bool
    outputs: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    not_compared: list[str]
    first_mismatch: dict[str, Any] | None


@dataclasses.dataclass(frozen=True)
class _Result:
    """What a layer of ours leaves: a tensor or host value, and which of its channels (all if None)."""

    layer: str
    name: str
    channels: NDArray[np.int64] | None = None


def compare_with_onnx(
    program: Program,
    device: Device,
    inputs: Mapping[str, Array],
    model: Path | bytes,
    threads: int | None,
    *,
    names: Mapping[str, str] | None = None,
    decibels: float = 20.0,
) -> AgainstReport:
    """Run both, image by image, and compare each layer and each output.

    Args:
        program: what the device has loaded.
        device: the device.
        inputs: an array for each input, as ``Session.run`` takes them.
        model: the quantized model that the program was made from, or the float one.
        threads: for ONNX Runtime.
        names: values of a float model by the tensors that quantization made of them (``float_names``).
        decibels: SQNR that every output must reach if the program is quantized and the model is not.

    Raises:
        UserError: ONNX Runtime cannot run the model, or it has other outputs.
    """
    run = _Comparison(program, device, model, threads, names or {}, decibels)
    images = take_apart(program.inputs, inputs).images()
    for image, feed in enumerate(images):
        run.image(feed, image)
    return run.report(len(images))


def float_names(quantized: bytes) -> dict[str, str]:
    """The float value behind each quantizer of a model, by the name of what the quantizer makes of it."""
    nodes = onnx.load_model_from_string(quantized).graph.node
    return {node.output[0]: node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}


class _Comparison:
    """State of one comparison."""

    def __init__(
        self,
        program: Program,
        device: Device,
        model: Path | bytes,
        threads: int | None,
        names: Mapping[str, str],
        decibels: float,
    ) -> None:
        self._program, self._threads = program, threads
        self._where = "the given model" if isinstance(model, bytes) else str(model)
        self._executor = Executor(program, device, CpuLayers(program, threads))
        proto, self._folder = _read(model, self._where)
        self._fed = FedModel(proto)
        self._tolerance = Tolerance.between(program, model_is_quantized=self._fed.quantized, decibels=decibels)
        self._results = list(_results(program))
        # What the host rearranges for a stem is no value of the model, even where it has as many elements.
        unrolled = {step.tensor for step in program.steps if isinstance(step, TransformStep) and step.unrolling}
        self._values = {
            result.name: value
            for result in self._results
            if result.name not in unrolled
            for value in (names.get(result.name, ""), result.name)  # the last that there is
            if self._fed.has(value)
        }
        outputs = [value.name for value in program.outputs]
        for name in outputs:
            if not self._fed.has(name):
                raise UserError(
                    f"the model has no output {name!r}",
                    where=self._where,
                    why="it is not the model that the artifact was made from",
                    fix="name the model that was deployed, or what `sliceflow quantize` made of it",
                )
        self._asked = list(dict.fromkeys([*outputs, *self._values.values()]))
        self._whole = self._open(self._fed.observed(self._asked))
        self._ends = [Agreement("end to end", name, _output_step(program, name), 0) for name in outputs]
        self._layers: OnnxSession | None = None
        self._points: dict[str, Point] = {}
        self._agreements: list[tuple[_Result, Agreement]] = []

    def image(self, feed: Mapping[str, Array], image: int) -> None:
        """Compare one image."""
        ours = self._run(feed)
        asked = self._asked if self._layers is None else [end.value for end in self._ends]
        found = self._whole.run(asked, self._whole.typed(feed))
        theirs = {name: np.asarray(value) for name, value in zip(asked, found, strict=True)}
        for end in self._ends:
            if theirs[end.value].shape != ours[end.value].shape:
                raise UserError(f"the output {end.value!r} has another shape there", where=self._where)
            end.add(theirs[end.value], ours[end.value], image, self._tolerance)
        if self._layers is None:
            self._layers = self._cut(ours, theirs)
        self._compare_layers(self._layers, feed, ours, image)

    def report(self, images: int) -> AgainstReport:
        """What was found."""
        tolerance, layers = self._tolerance, [agreement for _, agreement in self._agreements]
        wrong = [layer for layer in layers if not layer.match(tolerance)]
        judged = layers if tolerance.layers_decide else self._ends
        match = all(each.match(tolerance) for each in judged)
        fault = None if match else (wrong or sorted(layers, key=lambda layer: layer.relative_noise)[-1:])[0]
        compared = {layer.layer for layer in layers}
        return AgainstReport(
            model=self._where,
            kind="quantized" if self._fed.quantized else "float",
            options="ONNX Runtime, float32 between quantizers",
            images=images,
            tolerance=tolerance.told(),
            match=match,
            outputs=[
                {"output": e.value, "max_error": e.max_error, "in_steps": e.step is not None, "sqnr_db": e.sqnr_db}
                for e in self._ends
            ],
            layers=[layer.to_json(tolerance) for layer in layers],
            not_compared=[name for name in dict.fromkeys(r.layer for r in self._results) if name not in compared],
            first_mismatch=None if fault is None else fault.told(),
        )

    def _open(self, model: bytes) -> OnnxSession:
        return exact_session(model, self._threads, where=self._where, folder=self._folder)

    def _run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All our host values, and all tensors as ``[C, H, W]`` of the model's type, layer by layer."""
        program, device, values = self._program, self._executor.device, dict(feed)
        word_bytes, layers = program.profile.word_bytes, program.fpga_layers
        tensors: dict[str, Array] = {}
        for step in program.steps:
            if not isinstance(step, FpgaStep):
                self._executor.execute(step, values)
                written = [step.tensor] if isinstance(step, TransformStep) and step.direction == "to_device" else []
                tensors |= {name: _read_tensor(program, device, name, word_bytes) for name in written}
                continue
            for index in range(step.first, step.first + step.count):
                device.launch(index, 1)
                # A tensor with several writers is read behind each; the last one leaves it whole.
                tensors |= {name: _read_tensor(program, device, name, word_bytes) for name in layers[index].outputs}
        return {**tensors, **values}

    def _cut(self, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> OnnxSession:
        """Open the model that is fed at every value with as many elements as ours."""
        fitting = {name: value for name, value in self._values.items() if ours[name].size == theirs[value].size}
        tensors = self._program.tensors
        codes = {value for name, value in fitting.items() if name not in tensors and ours[name].dtype.kind in "iu"}
        data, points = self._fed.fed({value: theirs[value] for value in fitting.values()}, codes)
        by_value = {point.value: point for point in points}
        self._points = {name: by_value[value] for name, value in fitting.items()}
        for result in self._results:
            if result.name in self._points:
                point = self._points[result.name]
                # Where only our side is quantized, steps say nothing.
                step = point.step if self._fed.quantized else None
                self._agreements.append((result, Agreement(result.layer, point.value, step, point.roundings)))
        return self._open(data)

    def _compare_layers(
        self, session: OnnxSession, feed: Mapping[str, Array], ours: Mapping[str, Array], image: int
    ) -> None:
        shapes = {value.name: value.shape for value in session.get_inputs()}
        numbers = {name: self._numbers(name, ours[name], point) for name, point in self._points.items()}
        values = {point.given: numbers[name].reshape(shapes[point.given]) for name, point in self._points.items()}
        feeds = {**feed, **values}
        points = self._points.values()
        asked = list(dict.fromkeys(name for point in points for name in (point.found, point.exact) if name is not None))
        found = dict(zip(asked, session.run(asked, session.typed(feeds)), strict=True))
        for result, agreement in self._agreements:
            point, mine = self._points[result.name], numbers[result.name]
            theirs = np.asarray(found[point.found])
            exact = None if point.exact is None else np.asarray(found[point.exact])
            if result.channels is not None:
                theirs = theirs.reshape(mine.shape)[result.channels]
                exact = None if exact is None else exact.reshape(mine.shape)[result.channels]
                mine = mine[result.channels]
            agreement.add(theirs, mine.reshape(theirs.shape), image, self._tolerance, exact)

    def _numbers(self, name: str, ours: Array, point: Point) -> Array:
        """Our values as the model has them: real numbers, or integers."""
        tensor = self._program.tensors.get(name)
        if tensor is None or not point.real or tensor.dtype == "float32":
            return ours
        return transform.dequantize(ours, tensor.scale, tensor.zero_point)


def _results(program: Program) -> Iterator[_Result]:
    """What each layer leaves, in order of execution."""
    names = {layer.outputs: layer.name for layer in program.layers}
    for step in program.steps:
        if isinstance(step, FpgaStep):
            for index in range(step.first, step.first + step.count):
                layer = program.fpga_layers[index]
                tensor, channels = channels_written(program, layer, program.descriptors[index])
                if tensor is not None:
                    written = np.sort(channels[channels >= 0])
                    yield _Result(layer.name, tensor.name, None if written.size == tensor.channels else written)
                else:
                    yield from (_Result(layer.name, name) for name in layer.outputs)
        elif isinstance(step, CpuStep):
            yield from (_Result(names.get((name,), step.layer), name) for name in step.outputs)
        else:
            crossing = step.tensor if step.direction == "to_device" else step.value
            yield _Result(f"{step.direction}:{step.tensor}", crossing)


def _output_step(program: Program, name: str) -> float | None:
    for step in program.steps:
        if isinstance(step, TransformStep) and step.direction == "to_host" and step.value == name:
            quantized = not program.profile.is_float
            return (program.tensors[step.tensor].scale if step.dtype == "float32" else 1.0) if quantized else None
    return None


def _read_tensor(program: Program, device: Device, name: str, word_bytes: int) -> Array:
    tensor = program.tensors[name]
    data = np.frombuffer(device.read(tensor.base, tensor.words * word_bytes), transform.stored_dtype(program.profile))
    return transform.unpack(data, tensor, program.profile)


def _read(model: Path | bytes, where: str) -> tuple[onnx.ModelProto, Path | None]:
    """A model without the weights that lie in other files, and the folder of those."""
    try:
        if isinstance(model, bytes):
            return onnx.load_model_from_string(model), None
        return onnx.load(model, load_external_data=False), model.resolve().parent
    except Exception as error:  # protobuf has no base class for its errors
        raise UserError("the model cannot be read", where=where, why=str(error), fix="name an ONNX file") from error
