"""What a network is worth at one stage: size, work, accuracy, and clocks on an accelerator.

Everything is taken from the exported graph. Zeros that still stand in it cost what any weight costs; only channels that
are really gone make a network smaller or faster.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.frontend import serialize
from sliceflow.graph.program import Program
from sliceflow.hardware.cycles import caveat
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import exact_session
from sliceflow.passes.layer_costs import layer_costs
from sliceflow.pruning.training.task import Task
from sliceflow.report.compilation import compilation_json
from sliceflow.runtime.session import Session
from sliceflow.study.build import Built, build, input_name
from sliceflow.study.judge import Accuracy, judge

Array = NDArray[Any]
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Exam:
    """The examples that networks are measured with.

    Attributes:
        images: test inputs, ``[N, ...]`` float32; they decide nothing.
        targets: their classes, ``[N]`` or ``[N, H, W]``.
        calibration: validation inputs, from which quantization takes its ranges.
    """

    images: NDArray[np.float32]
    targets: Array
    calibration: NDArray[np.float32]

    @classmethod
    def of(cls, task: Task, calibration: int, limit: int) -> Exam:
        """The test examples of a task (the first ``limit``), and so many validation examples to calibrate with."""
        images, targets = _collected(task.test, limit)
        return cls(images, targets, _collected(task.validation, calibration)[0])


def _collected(loader: Any, limit: int) -> tuple[Array, Array]:
    images, targets, count = [], [], 0
    for inputs, wanted in loader:
        images.append(inputs.numpy())
        targets.append(wanted.numpy())
        count += len(inputs)
        if count >= limit:
            break
    if not count:
        raise UserError("there is no example to measure with", fix="give a data set that is not empty")
    return np.concatenate(images)[:limit], np.concatenate(targets)[:limit]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of the exported network: see ``sliceflow.passes.layer_costs.LayerCost``."""

    name: str
    op: str
    inputs: int
    outputs: int
    parameters: int
    macs: int
    nonzero: int


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The quantized network on an accelerator.

    Attributes:
        profile: the accelerator.
        cycles: clocks of one image, *predicted*.
        ideal_cycles: clocks if the array never waited.
        lanes_used: share of the array's products that are useful, in those.
        fpga_share: share of the MACs that run on the accelerator; the rest costs CPU time that no cycle counts.
        weight_bytes: bytes of weights that move for one image, with those of idle lanes.
        activation_bytes: size of the activation memory.
        accuracy: of the quantized network, *simulated*: the device's integers; None if it was not run.
        device: which one.
        notes: what quantization had to say, and what the cycles are worth.
    """

    profile: str
    cycles: int
    ideal_cycles: int
    lanes_used: float
    fpga_share: float
    weight_bytes: int
    activation_bytes: int
    accuracy: Accuracy | None
    device: str
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One network at one stage.

    Attributes:
        parameters: weights and biases of the exported layers (batch normalization is part of them).
        nonzero: those that are not zero.
        macs: multiply-accumulates for one image.
        layers: in order.
        accuracy: in float, *measured* with ONNX Runtime.
        hardware: on the accelerator.
    """

    parameters: int
    nonzero: int
    macs: int
    layers: tuple[Layer, ...]
    accuracy: Accuracy
    hardware: Hardware

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measurement, and the models it was made from: the float one, and the one built for the profile."""

    result: Measurement
    model: bytes
    built: Built
    outputs: Array


def measure(model: ir.Model, exam: Exam, profile: Profile, *, name: str, device: str | None) -> Measured:
    """Measure a network as its graph stands.

    Args:
        model: a normalized float model with one input and one output; it is not changed.
        exam: what to measure it with.
        profile: the accelerator.
        name: of the model.
        device: runs the quantized network on all test images; None runs none.

    Raises:
        UserError: the network cannot be run, quantized or mapped, or has maps of unknown size.
    """
    layers = _layers(model, name)
    data = serialize(model, name)
    outputs = predict(data, input_name(model), exam.images, name)
    built = build(model, profile, exam.calibration, name)
    result = Measurement(
        parameters=sum(layer.parameters for layer in layers),
        nonzero=sum(layer.nonzero for layer in layers),
        macs=sum(layer.macs for layer in layers),
        layers=layers,
        accuracy=judge(outputs, exam.targets),
        hardware=_hardware(built, exam, device),
    )
    return Measured(result, data, built, outputs)


def predict(model: bytes, name: str, images: Array, where: str) -> Array:
    """Outputs of an ONNX model with one input and one output, in ONNX Runtime.

    Args:
        model: an ONNX file with a free batch.
        name: of the input.
        images: ``[N, ...]``.
        where: for messages.
    """
    session = exact_session(model, 1, where=where)
    parts = []
    for start in range(0, len(images), _BATCH):
        outputs = session.run(None, {name: images[start : start + _BATCH]})
        if len(outputs) != 1:
            raise UserError("only networks with one output can be measured", where=where, why=f"it has {len(outputs)}")
        parts.append(outputs[0])
    return np.concatenate(parts)


def on_device(program: Program, device: str, images: Array) -> Array:
    """Outputs of a program on a device, one image at a time.

    Args:
        program: with one input and one output.
        device: its name.
        images: ``[N, ...]``.
    """
    with Session(program, device, threads=1) as session:
        (value,) = session.get_inputs()
        return session.run(None, {value.name: images})[0]


def _layers(model: ir.Model, name: str) -> tuple[Layer, ...]:
    found = []
    for node, cost in layer_costs(model).items():
        if cost.macs is None:
            raise UserError("the work of a layer is unknown", where=f"{name}, {node}", why="its map has no fixed size")
        found.append(Layer(node, cost.op, cost.inputs, cost.outputs, cost.parameters, cost.macs, cost.nonzero))
    return tuple(found)


def _hardware(built: Built, exam: Exam, device: str | None) -> Hardware:
    totals = compilation_json(built.program, "")["totals"]
    accuracy = judge(on_device(built.program, device, exam.images), exam.targets) if device is not None else None
    return Hardware(
        profile=built.program.profile.name,
        cycles=totals["predicted_cycles"],
        ideal_cycles=totals["ideal_cycles"],
        lanes_used=totals["lanes_used"],
        fpga_share=totals["fpga_share"],
        weight_bytes=totals["weight_bytes"],
        activation_bytes=totals["activation_bytes"],
        accuracy=accuracy,
        device=device or "",
        notes=(*built.notes, *filter(None, [caveat(built.program.profile)])),
    )
