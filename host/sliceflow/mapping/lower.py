"""Adjust: from a layer plan, lanes and addresses to a descriptor with its constants in memory."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, PoolMode
from sliceflow.graph.program import lane_index
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.groups import blocks_of
from sliceflow.mapping.layout import Home, Layout
from sliceflow.mapping.onnx_view import Quant
from sliceflow.mapping.pack import Memory, Splitter, pack_lanes
from sliceflow.mapping.plan import Add, Core, Kernel, LayerPlan, Pool, TensorSpec
from sliceflow.mapping.refusals import planes_of
from sliceflow.mapping.strips import cover_whole, shape_descriptor
from sliceflow.mapping.sums import Product, align_products
from sliceflow.passes.sign import never_negative
from sliceflow.reference.numerics import fixed_point


class DoesNotFitError(Exception):
    """A layer cannot run on the profile after all; the caller moves its nodes to the CPU."""

    def __init__(self, plan: LayerPlan, reason: str, fix: str = "use a profile with larger buffers") -> None:
        super().__init__(reason)
        self.plan = plan
        self.reason = reason
        self.fix = fix


@dataclasses.dataclass(frozen=True)
class Placement:
    """Lanes and addresses of all tensors."""

    layouts: dict[ir.Value, Layout]
    homes: dict[ir.Value, Home]
    bases: dict[ir.Value, int]
    """First word of each root buffer."""

    def base(self, tensor: TensorSpec) -> int:
        """First word of a tensor."""
        home = self.homes[tensor.value]
        return self.bases[home.root] + home.slice * tensor.height * tensor.width


def size_layer(plan: LayerPlan, layouts: dict[ir.Value, Layout], profile: Profile) -> Descriptor:
    """The layer's descriptor with all sizes and strips; raises ``DoesNotFitError``."""
    in_slices, out_slices = layouts[plan.input.value].slices, layouts[plan.output.value].slices
    if plan.core in (Core.DEPTHWISE, Core.PASS):
        layer = shape_descriptor(plan, groups=in_slices, in_slices=1, out_slices=1)
    else:
        count = blocks_of(plan, profile).count
        if plan.flatten_input:
            in_slices *= plan.input.height * plan.input.width
        layer = shape_descriptor(plan, groups=count, in_slices=in_slices // count, out_slices=out_slices // count)
    if not cover_whole(layer, profile):
        raise DoesNotFitError(plan, "one row of it does not fit the on-chip buffers")
    return layer


class Lowering:
    """Fills descriptors and the memories they refer to.

    Args:
        profile: the accelerator.
        placement: lanes and addresses.
        count: descriptors that will stand at the start of the program memory.
    """

    def __init__(self, profile: Profile, placement: Placement, count: int) -> None:
        self._profile = profile
        self._placement = placement
        self.program = Memory(profile.beat_bytes, reserved=count * 512 // profile.beat_bytes)
        self.weights = Memory(profile.beat_bytes)

    def lower(self, plan: LayerPlan, number: int) -> Descriptor:
        """The complete descriptor of a layer; its constants get their places in the memories.

        Raises:
            DoesNotFitError: the layer cannot run on this profile after all.
        """
        layer = size_layer(plan, self._placement.layouts, self._profile)
        layer.layer = number
        layer.in_base = self._placement.base(plan.input)
        layer.out_base = self._placement.base(plan.output)
        splitter = self._splitter(plan, layer)
        values: dict[str, NDArray[Any]] = {}
        if plan.kernel is not None and splitter is not None:
            if not self._profile.is_float:
                layer.weight_planes = planes_of(plan.kernel.weights, self._profile.weight_bits)
            layer.weights_base = self.weights.append(geometry.weight_bytes(layer, self._profile), splitter.packed)
            values = self._main(plan, plan.kernel, layer)
        elif self._profile.is_float and (plan.low, plan.high, plan.leaky) != (-math.inf, math.inf, 1.0):
            self._clamp(plan, layer)
        elif not self._profile.is_float and (plan.main, plan.low, plan.high) != (plan.input.quant, -math.inf, math.inf):
            values = self._rescale(plan, layer)
        else:
            layer.requantize = 0
        if plan.table is not None:
            layer.table_mode = plan.table_mode
            table = plan.table.view(np.uint8)
            layer.table_base = self.program.append(table.size, lambda: table)
        if plan.add is not None:
            self._add(plan, plan.add, layer, values)
        if plan.pool is not None:
            self._pool(plan, plan.pool, layer)
        layer.lanes_base = self.program.append(
            geometry.lane_bytes(layer, self._profile), lambda: pack_lanes(splitter, layer, self._profile, values)
        )
        return layer

    def _splitter(self, plan: LayerPlan, layer: Descriptor) -> Splitter | None:
        if plan.kernel is None:
            return None
        layouts, cpi = self._placement.layouts, self._profile.cpi
        inputs = lane_index(layouts[plan.input.value].runs, cpi)
        if plan.flatten_input:
            pixels = plan.input.height * plan.input.width
            word = (inputs // cpi)[:, None] * pixels + np.arange(pixels)[None, :]
            inputs = (word * cpi + (inputs % cpi)[:, None]).reshape(-1)
        outputs = lane_index(layouts[plan.output.value].runs, cpi)
        return Splitter(plan.kernel, layer, self._profile, inputs, outputs)

    @staticmethod
    def _clamp(plan: LayerPlan, layer: Descriptor) -> None:
        layer.out_low, layer.out_high, layer.leaky_slope = plan.low, plan.high, plan.leaky  # type: ignore[assignment]

    # convolution and requantization -----------------------------------------------------------------------------

    def _main(self, plan: LayerPlan, kernel: Kernel, layer: Descriptor) -> dict[str, NDArray[Any]]:
        if self._profile.is_float:
            self._clamp(plan, layer)
            return {"bias": kernel.bias.astype("<f4").view("<i4")}
        source = plan.input.quant
        if source is None:
            raise ValueError("an integer layer reads a quantized tensor")
        layer.pad_value = source.stored_zero
        sums = kernel.weights.sum(axis=(1, 2, 3), dtype=np.int64)
        bias = kernel.bias - source.stored_zero * sums
        largest = _largest_sums(kernel, source, nonnegative=never_negative(plan.input.value))
        reached = np.maximum(largest, np.abs(bias))
        if (reached >= 2**31).any():
            worst = int(reached.argmax())
            raise DoesNotFitError(
                plan,
                f"output channel {worst} can reach {int(reached[worst])}, more than an int32 accumulator holds",
                "quantize its input or its weights to fewer bits (--activations, --weights)",
            )
        accumulator = source.scale * kernel.scale
        target = plan.main if plan.main is not None else plan.add.quant if plan.add is not None else None
        if target is None:
            raise ValueError("an integer layer has a quantized output")
        multiplier, shift = _fixed(plan, accumulator / target.scale)
        if plan.main is not None:
            layer.out_zero = plan.main.stored_zero
            layer.out_low, layer.out_high = clamp(plan.main, plan.low, plan.high)
        else:
            layer.out_low, layer.out_high = clamp(target, -math.inf, math.inf)
        self._largest = largest
        return {"bias": bias.astype(np.int32), "multiplier": multiplier, "shift": shift}

    @staticmethod
    def _rescale(plan: LayerPlan, layer: Descriptor) -> dict[str, NDArray[Any]]:
        """PASS with another scale or a clamp: every lane has the same parameters."""
        if plan.input.quant is None or plan.main is None:
            raise ValueError("an integer layer has quantized tensors")
        layer.out_zero = plan.main.stored_zero
        layer.out_low, layer.out_high = clamp(plan.main, plan.low, plan.high)
        multiplier, shift = _fixed(plan, np.array([plan.input.quant.scale / plan.main.scale]))
        return {"bias": np.array([-plan.input.quant.stored_zero]), "multiplier": multiplier, "shift": shift}

    # residual add -----------------------------------------------------------------------------------------------

    def _add(self, plan: LayerPlan, add: Add, layer: Descriptor, values: dict[str, NDArray[Any]]) -> None:
        layer.add_mode = add.mode
        layer.add_base = self._placement.base(add.other)
        if self._profile.is_float:
            layer.add_low, layer.add_high = add.low, add.high  # type: ignore[assignment]
            return
        if add.quant is None or add.other.quant is None:
            raise ValueError("an integer add has quantized operands")
        layer.add_zero = add.quant.stored_zero
        layer.add_low, layer.add_high = clamp(add.quant, add.low, add.high)
        layer.add_other_zero = add.other.quant.stored_zero
        other = _product(plan, (1 << add.other.quant.bits) - 1, add.other.quant.scale / add.quant.scale)
        if add.mode is AddMode.ACCUMULATOR:
            wanted = Product(self._largest, values["multiplier"].astype(np.int64), values["shift"].astype(np.int64))
        elif add.main is not None:
            layer.add_main_zero = add.main.stored_zero
            wanted = _product(plan, (1 << add.main.bits) - 1, add.main.scale / add.quant.scale)
        else:
            raise ValueError("a requantized add has a quantized main operand")
        aligned = align_products(wanted, other)
        if aligned is None:
            raise DoesNotFitError(
                plan, "the scales of its residual add lie too far apart for 64-bit sums", "check its operands' scales"
            )
        main, other = aligned
        common = np.maximum(main.shift, other.shift)
        main_left, other_left = common - main.shift, common - other.shift
        layer.add_other_multiplier = int(other.multiplier[0])
        if add.mode is AddMode.ACCUMULATOR:
            values["multiplier"] = main.multiplier.astype(np.int32)
            values |= {"main_left": main_left, "other_left": other_left, "right": common}
            return
        layer.add_main_multiplier = int(main.multiplier[0])
        layer.add_main_shift, layer.add_other_shift = int(main_left[0]), int(other_left[0])
        layer.add_shift = int(common[0])

    # pool -------------------------------------------------------------------------------------------------------

    def _pool(self, plan: LayerPlan, pool: Pool, layer: Descriptor) -> None:
        if pool.mode not in (PoolMode.AVERAGE, PoolMode.GLOBAL_AVERAGE):
            return
        if layer.pool_is_global:
            counts = np.array([layer.conv_height * layer.conv_width])
        else:
            counts = np.arange(pool.window[0] * pool.window[1] + 1)
        share = 1.0 / np.maximum(counts, 1)
        record = np.zeros((counts.size, 2), "<u4")
        if self._profile.is_float:
            layer.pool_low, layer.pool_high = pool.low, pool.high  # type: ignore[assignment]
            record[:, 0] = share.astype("<f4").view("<u4")
        else:
            if pool.source is None or pool.quant is None:
                raise ValueError("an integer pool has quantized tensors")
            layer.pool_in_zero, layer.pool_out_zero = pool.source.stored_zero, pool.quant.stored_zero
            layer.pool_low, layer.pool_high = clamp(pool.quant, pool.low, pool.high)
            multiplier, shift = _fixed(plan, pool.source.scale / pool.quant.scale * share)
            record[:, 0], record[:, 1] = multiplier.view(np.uint32), shift
        if not layer.pool_is_global:
            record[0] = 0
        packed = record.reshape(-1).view(np.uint8)
        layer.pool_scales_base = self.program.append(packed.size, lambda: packed)


def clamp(quant: Quant, low: float, high: float) -> tuple[int, int]:
    """Bounds of the stored values that correspond to a clamp of the real ones."""
    return (
        quant.low - quant.offset if low == -math.inf else quant.quantize(low),
        quant.high - quant.offset if high == math.inf else quant.quantize(high),
    )


def _largest_sums(kernel: Kernel, source: Quant, *, nonnegative: bool) -> NDArray[np.int64]:
    """The largest magnitude of each output channel's sum, ``bias + sum(w * (q - zero_point))``: ``[O]``.

    Sums on the way may wrap; it is the whole sum that must not.
    """
    positive = np.maximum(kernel.weights, 0).sum(axis=(1, 2, 3), dtype=np.int64)
    negative = np.maximum(-kernel.weights, 0).sum(axis=(1, 2, 3), dtype=np.int64)
    low, high = 0 if nonnegative else source.low - source.zero_point, source.high - source.zero_point
    largest: NDArray[np.int64] = np.maximum(
        np.abs(kernel.bias + positive * high - negative * low), np.abs(kernel.bias + positive * low - negative * high)
    )
    return largest


def _fixed(plan: LayerPlan, scales: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    with np.errstate(over="ignore"):
        ratios = scales.astype(np.float32)
    if not (ratios < 2.0**31).all():
        raise DoesNotFitError(
            plan,
            f"its output's scale is {float(ratios.max()):g} times finer than its input's, more than 2^31",
            "check the scales of its output",
        )
    return fixed_point(ratios)


def _product(plan: LayerPlan, largest: int, scale: float) -> Product:
    multiplier, shift = _fixed(plan, np.array([scale]))
    return Product(np.array([largest]), multiplier.astype(np.int64), shift.astype(np.int64))
