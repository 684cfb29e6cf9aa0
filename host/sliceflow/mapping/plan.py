"""What the mapper decides about one layer, before lanes, addresses and descriptors exist.

Plans are immutable: a merge step makes a new plan, and a step that does not fit leaves the old one as it was.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.graph.descriptor import AddMode, PoolMode, TableMode
from sliceflow.graph.program import Unrolling
from sliceflow.mapping.onnx_view import Quant


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A tensor for the accelerator's memory: the value that holds it, its size (C, H, W), its quantization.

    With an ``unrolling`` the size is that of the unrolled tensor, which the host makes of the value.
    """

    value: ir.Value
    channels: int
    height: int
    width: int
    quant: Quant | None
    unrolling: Unrolling | None = None

    @property
    def name(self) -> str:
        """Name of the value."""
        return str(self.value.name)

    @property
    def size(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


class Core(enum.Enum):
    """What the array does."""

    CONV = "Conv"
    DEPTHWISE = "depthwise Conv"
    FULLY_CONNECTED = "Gemm"
    PASS = "pass"


class Stage(enum.IntEnum):
    """The stages of the stream pipeline; a layer uses each at most once, in this order."""

    REQUANTIZE = 0
    TABLE_BEFORE_ADD = 1
    ADD = 2
    TABLE_AFTER_ADD = 3
    POOL = 4
    UPSAMPLE = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kernel:
    """The weighted part of a layer.

    Attributes:
        weights: ``[O, I/group, KH, KW]`` int16 or float32, zero point subtracted.
        scale: ``[O]`` scale of the weights.
        bias: ``[O]`` at the accumulator's scale (int64), or float32. Without the zero point's share.
        stride, dilation: (rows, columns).
        pad: (top, left, bottom, right).
        group: channel groups.
        filling: weights that are zero because the model has no such taps.
    """

    weights: NDArray[Any]
    scale: NDArray[np.float64]
    bias: NDArray[Any]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    filling: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(KH, KW)."""
        return int(self.weights.shape[2]), int(self.weights.shape[3])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Add:
    """The residual add: the other operand, the main operand's quantization, and the sum's with its clamp."""

    mode: AddMode
    other: TensorSpec
    main: Quant | None
    quant: Quant | None
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """The streaming pool. ``count`` is the padding (top, left, bottom, right) that an average counts as values.

    ``source`` and ``quant`` are the quantization before and after.
    """

    mode: PoolMode
    window: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    count: tuple[int, int, int, int]
    out_size: tuple[int, int]
    source: Quant | None
    quant: Quant | None
    low: float
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LayerPlan:
    """One accelerator layer.

    Attributes:
        name: of the node that it started from.
        nodes: all nodes that it executes.
        core: what the array does; ``kernel`` holds its weights (None for PASS).
        input, output: tensors read and written.
        flatten_input: the input's C x H x W are read as channels of a 1x1 map.
        array_size: (rows, columns) that the array produces.
        main: quantization after requantization, and its clamp. For float: the clamp; ``leaky`` is the negative slope.
        table, table_mode: the function table.
        add, pool, upsample: the later stages.
        stage: the last stage in use.
        label: the operators, for reports.
    """

    name: str
    nodes: tuple[ir.Node, ...]
    core: Core
    input: TensorSpec
    output: TensorSpec
    array_size: tuple[int, int]
    kernel: Kernel | None = None
    flatten_input: bool = False
    main: Quant | None = None
    low: float = -math.inf
    high: float = math.inf
    leaky: float = 1.0
    table: NDArray[np.int8] | None = None
    table_mode: TableMode = TableMode.OFF
    add: Add | None = None
    pool: Pool | None = None
    upsample: tuple[int, int] = (1, 1)
    stage: Stage = Stage.REQUANTIZE
    label: tuple[str, ...] = ()

    @property
    def pooled_size(self) -> tuple[int, int]:
        """(rows, columns) after the pool."""
        return self.pool.out_size if self.pool else self.array_size

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All tensors read."""
        return (self.input, self.add.other) if self.add else (self.input,)

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates of one image."""
        if self.kernel is None:
            return 0
        return (int(self.kernel.weights.size) - self.kernel.filling) * self.array_size[0] * self.array_size[1]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ConcatPlan:
    """A concatenation along the channels that copies nothing: the parts are written into one buffer."""

    name: str
    nodes: tuple[ir.Node, ...]
    parts: tuple[TensorSpec, ...]
    output: TensorSpec


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a node does not run on the accelerator, and what its owner can do.

    Attributes:
        reason, fix: in words.
        unquantized: what of it the model computes in float, where that is the reason: ``"input"`` or ``"output"``.
    """

    reason: str
    fix: str
    unquantized: str = ""
