"""The compiled program as plain data: tensors, layers, steps. No ONNX, no torch, only NumPy.

The mapper makes a ``Program``; ``sliceflow.graph.artifact`` saves and loads it; the runtime executes its steps in
order.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.descriptor import BYTES, Descriptor
from sliceflow.hardware.profile import Profile

FORMAT = "sliceflow-program"
FORMAT_VERSION = 4
MAX_UNROLLED_CHANNELS = 4096
"""Most channels of an unrolled tensor: the host writes them one by one."""
_OFFSETS = {"uint8": 1 << 7, "uint16": 1 << 15}


def tensor_types(profile: Profile) -> tuple[str, ...]:
    """The model's types that a tensor in the accelerator's memory may have."""
    if profile.is_float:
        return ("float32",)
    return ("int8", "uint8") if profile.activation_bits == 8 else ("int8", "uint8", "int16", "uint16")


def stored_offset(dtype: str) -> int:
    """What is subtracted from a value of the model to store it as a signed number."""
    return _OFFSETS.get(dtype, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Channels of a tensor that stand in consecutive lanes, from lane 0 of a slice on."""

    channel: int
    """First channel of the run."""
    count: int
    """Channels in the run."""
    slice: int
    """First slice of the run, counted from the tensor's first slice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor in the accelerator's activation memory, one image: ``[slices][height][width][CPI]``.

    Attributes:
        name: the value's name in the model.
        channels, height, width: logical size (C, H, W).
        runs: where the channels stand.
        slices: slices that the tensor occupies.
        base: first word in the activation memory.
        dtype: the model's type: ``float32``, or an integer type of at most the profile's width. Unsigned integers are
            stored minus half their range.
        scale, zero_point: ``real = scale * (q - zero_point)`` with q of type ``dtype``; 1 and 0 for floats.
    """

    name: str
    channels: int
    height: int
    width: int
    runs: tuple[Run, ...]
    slices: int
    base: int
    dtype: str
    scale: float = 1.0
    zero_point: int = 0

    @property
    def words(self) -> int:
        """Words that the tensor occupies."""
        return self.slices * self.height * self.width

    @property
    def stored_offset(self) -> int:
        """What the stored value lacks to be the model's."""
        return stored_offset(self.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unrolling:
    """How the host rearranges an image (C, H, W): taps of a kernel become channels of the device tensor.

    Channel ``(i*columns + j)*C + c`` of the tensor holds at row y, column x the image's channel c at row
    ``y*stride_y + i*dilation_y - pad_top``, column ``x*stride_x + j*dilation_x - pad_left``; outside the image, the
    tensor's zero point.

    Attributes:
        rows, columns: taps that become channels.
        stride_y, stride_x: image rows (columns) from one of the tensor to the next.
        dilation_y, dilation_x: image rows (columns) from one tap to the next.
        pad_top, pad_left: rows (columns) in front of the image.
    """

    rows: int
    columns: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    pad_top: int
    pad_left: int

    @property
    def taps(self) -> int:
        """Channels of the tensor for each of the image."""
        return self.rows * self.columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformStep:
    """A tensor crosses between host and accelerator: layout, and quantization where the host value is float.

    Attributes:
        direction: ``to_device`` or ``to_host``.
        value: name of the host value.
        tensor: name of the device tensor.
        shape: shape of the host value with batch 1, ``(1, C, H, W)`` or any shape with the same elements in order.
        dtype: type of the host value; ``float32`` is quantized or dequantized on the way, the tensor's own type is not.
        unrolling: only ``to_device``: the value, whose shape is (1, C, H, W), is rearranged on the way.
    """

    direction: str
    value: str
    tensor: str
    shape: tuple[int, ...]
    dtype: str
    unrolling: Unrolling | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuStep:
    """A sub-model that ONNX Runtime executes on host values.

    Attributes:
        layer: name of the layer in the report.
        model: key of the serialized ONNX model in ``Program.cpu_models``.
        inputs, outputs: names of host values, in the sub-model's order (and under the same names there).
    """

    layer: str
    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FpgaStep:
    """One launch: descriptors ``first .. first + count``."""

    first: int
    count: int


Step = TransformStep | CpuStep | FpgaStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer as reports show it. FPGA layers stand in the order of their descriptors.

    Attributes:
        name: unique; the name of the main node.
        placement: ``fpga``, ``cpu`` or ``transform``.
        op: what it is, e.g. ``Conv 3x3 + Relu + MaxPool``.
        reason: why it is placed there.
        nodes: names of the model's nodes that it executes.
        inputs, outputs: names of device tensors (fpga) or host values (cpu); a transform has one of each.
        macs: useful multiply-accumulates of one image; None if their number is not known (CPU only).
        ideal_cycles, predicted_cycles: clocks of the accelerator (0 elsewhere).
        channels_in, channels_out: channels kept.
        channels_in_computed, channels_out_computed: channels that the array works on, idle lanes included.
        lanes_used: share of the array's products that are useful, 0..1.
    """

    name: str
    placement: str
    op: str
    reason: str
    nodes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    macs: int | None = 0
    ideal_cycles: int = 0
    predicted_cycles: int = 0
    channels_in: int = 0
    channels_out: int = 0
    channels_in_computed: int = 0
    channels_out_computed: int = 0
    lanes_used: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """An input or output of the whole model.

    Attributes:
        name: its name in the model.
        shape: 0 for the axis that counts images, if there is one (``sliceflow.graph.images``).
        dtype: NumPy's name of its type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled model.

    Attributes:
        name: name of the model.
        source_sha256: checksum of the model file it came from.
        profile: the accelerator that it is for.
        inputs, outputs: the model's interface.
        tensors: every device tensor, by name.
        layers: the report, in order of execution.
        steps: what the runtime does, in order, for one image.
        descriptors: the descriptor list.
        program: the program memory, uint8, beginning with the descriptors.
        weights: the weight memory, uint8.
        activation_words: words of activation memory needed.
        cpu_models: serialized ONNX sub-models by key.
    """

    name: str
    source_sha256: str
    profile: Profile
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    tensors: dict[str, Tensor]
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    descriptors: tuple[Descriptor, ...]
    program: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    activation_words: int
    cpu_models: dict[str, bytes]

    @property
    def activation_bytes(self) -> int:
        """Bytes of activation memory needed."""
        return self.activation_words * self.profile.word_bytes

    @property
    def fpga_layers(self) -> list[Layer]:
        """The layers on the accelerator; number i belongs to descriptor i."""
        return [layer for layer in self.layers if layer.placement == "fpga"]


def encode_descriptors(descriptors: Sequence[Descriptor], profile: Profile) -> bytes:
    """The descriptor list as it stands at the start of the program memory."""
    return b"".join(descriptor.encode(is_float=profile.is_float) for descriptor in descriptors)


def decode_descriptors(program: NDArray[np.uint8], count: int, profile: Profile) -> tuple[Descriptor, ...]:
    """Read ``count`` descriptors from the start of the program memory."""
    return tuple(
        Descriptor.decode(
            program[i * BYTES : (i + 1) * BYTES].tobytes(), is_float=profile.is_float, where=f"descriptor {i}"
        )
        for i in range(count)
    )


def contiguous_runs(channels: int, cpi: int, cuts: Sequence[int] = ()) -> tuple[tuple[Run, ...], int]:
    """Runs of a tensor whose channels start a new slice at each cut.

    Args:
        channels: channels of the tensor.
        cpi: lanes of a slice.
        cuts: channel indices, 0 < cut < channels, at which a new slice begins.

    Returns:
        The runs, and the number of slices.
    """
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < channels}), channels]
    runs, used = [], 0
    for low, high in itertools.pairwise(borders):
        runs.append(Run(channel=low, count=high - low, slice=used))
        used += math.ceil((high - low) / cpi)
    return tuple(runs), used


def lane_index(runs: Sequence[Run], cpi: int) -> NDArray[np.int64]:
    """For each channel, the index ``slice*CPI + lane`` at which it stands."""
    return np.concatenate([run.slice * cpi + np.arange(run.count, dtype=np.int64) for run in runs])
