"""Compares a device with the reference, layer by layer and end to end.

Layer by layer both start from the same memory (the reference's), so the first layer that differs is the one at fault,
and those behind it are judged by themselves. End to end the device runs whole segments, as it does in use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.devices.base import Device
from sliceflow.devices.reference import ReferenceDevice
from sliceflow.errors import UserError
from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor
from sliceflow.graph.program import FpgaStep, Layer, Program, Tensor, TransformStep, lane_index
from sliceflow.hardware.profile import Profile
from sliceflow.reference.statistics import LayerStatistics
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor
from sliceflow.runtime.transform import stored_dtype
from sliceflow.runtime.values import check_inputs

Array = NDArray[Any]
RELATIVE, ABSOLUTE = 1e-5, 1e-6
"""Tolerance of float profiles (docs/numerics.md)."""
_FAR = 1e9  # stands for infinity, which JSON does not have


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """One value that differs. Positions count from 0; ``slice`` and ``lane`` are those in memory, if it lies there."""

    layer: str
    tensor: str
    image: int
    channel: int
    row: int
    column: int
    slice: int | None
    lane: int | None
    expected: float
    got: float


@dataclasses.dataclass
class LayerResult:
    """Comparison of one layer, over all images.

    Attributes:
        name: the layer.
        match: whether all values agree (float profiles: within the tolerance).
        max_error_steps: largest difference, in integer steps; float profiles: in multiples of the tolerance.
        differing: values that do not agree.
        values: values compared.
        saturated: values that the number type's own limits cut off (a fused ReLU or Clip does not count).
    """

    name: str
    match: bool = True
    max_error_steps: float = 0
    differing: int = 0
    values: int = 0
    saturated: int = 0

    def add(self, steps: NDArray[np.float64], values: int, profile: Profile) -> tuple[int, ...] | None:
        """Count differences.

        Args:
            steps: difference of each value.
            values: how many of them are in use.
            profile: whose differences they are: a float may be off by one tolerance, an integer by nothing.

        Returns:
            Index of the first value that does not agree.
        """
        wrong = steps > (1 if profile.is_float else 0)
        differing = int(np.count_nonzero(wrong))
        self.values += values
        self.differing += differing
        self.match = self.match and not differing
        self.max_error_steps = max(self.max_error_steps, float(steps.max(initial=0)))
        return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape)) if differing else None


@dataclasses.dataclass
class VerifyReport:
    """What ``verify`` found. ``first_mismatch`` is ``None`` if everything agrees."""

    match: bool
    max_error_steps: float
    first_mismatch: Mismatch | None
    layers: list[LayerResult]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return dataclasses.asdict(self)


def verify(program: Program, device: Device, inputs: Mapping[str, Array]) -> VerifyReport:
    """Run images on a device and on the reference and compare every value of every layer.

    Args:
        program: what the device has loaded.
        device: the device on trial.
        inputs: an array for each input of the model, as ``Session.run`` takes them.

    Raises:
        UserError: the inputs do not fit the model, or it overflows float32 on them, and the device does so differently.
    """
    feed = check_inputs(program.inputs, inputs)
    run = _Verification(program, device)
    for image, arrays in enumerate(feed.images()):
        run.image(arrays, image)
    results = [*run.layers, run.outputs]
    return VerifyReport(
        match=all(result.match for result in results),
        max_error_steps=max(result.max_error_steps for result in results),
        first_mismatch=run.first,
        layers=run.layers if run.outputs.match else results,
    )


class _Verification:
    """State of one verification: the two devices and what was found so far."""

    def __init__(self, program: Program, device: Device) -> None:
        self._program, self._device = program, device
        self._reference = ReferenceDevice()
        self._reference.load(program)
        cpu = CpuLayers(program, None)
        self._expected = Executor(program, self._reference, cpu)
        self._got = Executor(program, device, cpu)
        self._fpga = program.fpga_layers
        self.layers = [LayerResult(layer.name) for layer in self._fpga]
        self.outputs = LayerResult("end to end")
        self.first: Mismatch | None = None

    def image(self, inputs: dict[str, Array], image: int) -> None:
        """Compare one image: layer by layer along the reference, then end to end."""
        expected = dict(inputs)
        for step in self._program.steps:
            if isinstance(step, FpgaStep):
                for index in range(step.first, step.first + step.count):
                    self._layer(index, image)
            else:
                self._expected.execute(step, expected)
        self._end_to_end(expected, self._got.run(inputs), image)

    def _layer(self, index: int, image: int) -> None:
        """Give both the reference's memory, launch one layer on each, compare what it wrote."""
        descriptor, layer = self._program.descriptors[index], self._fpga[index]
        word_bytes = self._program.profile.word_bytes
        regions = [
            (descriptor.in_base, geometry.input_words(descriptor)),
            (descriptor.out_base, geometry.output_words(descriptor)),
        ]
        if descriptor.add_mode != AddMode.OFF:
            regions.append((descriptor.add_base, geometry.addend_words(descriptor)))
        for base, words in regions:
            self._device.write(base, self._reference.read(base, words * word_bytes))
        self._reference.launch(index, 1)
        self._device.launch(index, 1)
        size = geometry.output_words(descriptor) * word_bytes
        expected, got = (device.read(descriptor.out_base, size) for device in (self._reference, self._device))
        self._compare_layer(index, layer, expected, got, image)

    def _compare_layer(self, index: int, layer: Layer, expected: bytes, got: bytes, image: int) -> None:
        descriptor, profile = self._program.descriptors[index], self._program.profile
        tensor, channels = channels_written(self._program, layer, descriptor)
        shape = (-1, descriptor.out_height, descriptor.out_width, profile.cpi)
        first, second = (np.frombuffer(data, stored_dtype(profile)).reshape(shape) for data in (expected, got))
        used = np.broadcast_to((channels >= 0)[:, None, None, :], first.shape)
        steps = _tolerances(first, second, 1) if profile.is_float else _steps(first, second, 1.0)
        result = self.layers[index]
        result.saturated += _saturated(descriptor, self._reference.statistics[0], profile)
        place = result.add(np.where(used, steps, 0), int(used.sum()), profile)
        if place is None or self.first is not None:
            return
        if profile.is_float:
            _check_finite(first[used], f"layer {layer.name!r}, image {image}")
        row, column, lane = place[1:]
        offset = tensor.stored_offset if tensor else 0
        below = (descriptor.out_base - tensor.base) // (tensor.height * tensor.width) if tensor else 0
        self.first = Mismatch(
            layer=layer.name,
            tensor=tensor.name if tensor else "",
            image=image,
            channel=int(channels[place[0], lane]),
            row=row,
            column=column,
            slice=below + place[0],
            lane=lane,
            expected=first[place].item() + offset,
            got=second[place].item() + offset,
        )

    def _end_to_end(self, expected: Mapping[str, Array], got: Mapping[str, Array], image: int) -> None:
        """Compare every host value; a float profile may be off by the tolerance of each layer on the way."""
        profile = self._program.profile
        scales = {
            step.value: self._program.tensors[step.tensor].scale
            for step in self._program.steps
            if isinstance(step, TransformStep) and step.direction == "to_host" and step.dtype == "float32"
        }
        for name, first in expected.items():
            second = got[name]
            if profile.is_float:
                steps = _tolerances(first, second, max(1, len(self._fpga)))
            else:
                steps = _steps(first, second, scales.get(name))
            place = self.outputs.add(steps, first.size, profile)
            if place is None or self.first is not None:
                continue
            if profile.is_float:
                _check_finite(first, f"value {name!r}, image {image}")
            channel, row, column = (*place[1:], 0, 0, 0)[:3]
            self.first = Mismatch(
                layer="end to end",
                tensor=name,
                image=image,
                channel=channel,
                row=row,
                column=column,
                slice=None,
                lane=None,
                expected=first[place].item(),
                got=second[place].item(),
            )


def channels_written(program: Program, layer: Layer, descriptor: Descriptor) -> tuple[Tensor | None, NDArray[np.int64]]:
    """The tensor that a layer writes into, and the channel of each ``[slice][lane]`` written; -1 for unused lanes."""
    cpi, slices = program.profile.cpi, descriptor.groups * descriptor.out_slices
    pixels = descriptor.out_height * descriptor.out_width
    for name in layer.outputs:
        tensor = program.tensors[name]
        below, rest = divmod(descriptor.out_base - tensor.base, tensor.height * tensor.width)
        same_map = rest == 0 and tensor.height * tensor.width == pixels
        if same_map and 0 <= below <= below + slices <= tensor.slices:
            channels = np.full(tensor.slices * cpi, -1, np.int64)
            channels[lane_index(tensor.runs, cpi)] = np.arange(tensor.channels)
            return tensor, channels.reshape(tensor.slices, cpi)[below : below + slices]
    return None, np.arange(slices * cpi).reshape(slices, cpi)


def _check_finite(expected: Array, where: str) -> None:
    """Refuse to call a difference a mismatch where the reference itself left the numbers.

    Raises:
        UserError: it has infinities or NaN. Which of them comes out depends on the order of the sums.
    """
    if not np.isfinite(expected).all():
        raise UserError(
            "the model overflows float32 on these inputs, and its results cannot be compared",
            where=where,
            why="the order of sums is not fixed, and with it whether infinity or NaN comes out",
            fix="check the model's weights, or verify with inputs that keep it finite",
        )


def _steps(expected: Array, got: Array, scale: float | None) -> NDArray[np.float64]:
    """Difference of each value in steps of its scale; 1 for any difference, if it has no scale."""
    same = (expected == got) | ((expected != expected) & (got != got))  # the second: NaN and NaN
    if scale is None or expected.dtype.kind not in "fiu":
        return np.where(same, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        steps = np.abs(expected.astype(np.float64) - got.astype(np.float64)) / scale
    return np.where(same, 0.0, np.nan_to_num(np.minimum(steps, _FAR), nan=_FAR))


def _tolerances(expected: Array, got: Array, layers: int) -> NDArray[np.float64]:
    """Difference of each value in multiples of the float tolerance of some layers in a row."""
    finite = expected[np.isfinite(expected)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    return _steps(expected, got, layers * (RELATIVE * largest + ABSOLUTE))


def _saturated(layer: Descriptor, statistics: LayerStatistics, profile: Profile) -> int:
    """Values that a clamp at the end of the number range changed; the limits of a ReLU or Clip do not count."""
    if profile.is_float:
        return 0
    top, bottom = 2 ** (profile.activation_bits - 1) - 1, -(2 ** (profile.activation_bits - 1))
    limits = {
        "requantize": (layer.out_low, layer.out_high, layer.out_zero),
        "add": (layer.add_low, layer.add_high, layer.add_zero),
        "pool": (layer.pool_low, layer.pool_high, layer.pool_out_zero),
    }
    count = 0
    for name, seen in statistics.saturation.items():
        low, high, zero = limits[name]
        count += seen.above * (high == top) + seen.below * (low == bottom != zero)
    return count
