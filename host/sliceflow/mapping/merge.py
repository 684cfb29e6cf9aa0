"""Merge: grow accelerator layers along the graph's edges, through tensors with one reader, while the next stage fits.

The stages are those of the stream pipeline, in its order: requantize (with clamp), table, residual add (with clamp),
table, pool, upsample. ``EXTENSIONS`` is the table of what can follow; a layer takes the longest chain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Set
from typing import Any

import numpy as np
import onnx_ir as ir

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, PoolMode, TableMode
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import tables
from sliceflow.mapping.groups import is_depthwise
from sliceflow.mapping.onnx_view import Quant, chw
from sliceflow.mapping.operators import POOLS, averaging_kernel, nearest_factors, pool_shape, read_kernel
from sliceflow.mapping.plan import Add, ConcatPlan, Core, Kernel, LayerPlan, Pool, Refusal, Stage, TensorSpec
from sliceflow.mapping.refusals import not_a_tensor, unsupported, weights_too_wide
from sliceflow.mapping.strips import estimated_shape, strip_rows
from sliceflow.mapping.values import Result, Values, slope_of
from sliceflow.passes.sign import clamp_of
from sliceflow.passes.view import attribute, constant, input_at, is_op, only_consumer, static_shape

Outcome = LayerPlan | Refusal


class Merger:
    """Builds the layer that starts at a given node.

    Args:
        values: which values are tensors.
        profile: the accelerator.
        order: position of every node in execution order.
        taken: nodes that must stay on the CPU or belong to a layer already; the caller adds to it.
    """

    def __init__(self, values: Values, profile: Profile, order: dict[ir.Node, int], taken: Set[ir.Node]) -> None:
        self._values = values
        self._profile = profile
        self._order = order
        self._taken = taken

    def build(self, root: ir.Node) -> Outcome:
        """The longest layer that starts at ``root``, or why there is none."""
        plan = self._start(root)
        while isinstance(plan, LayerPlan):
            longer = self._extend(plan)
            if longer is None:
                return plan
            plan = longer
        return plan

    def concat(self, node: ir.Node) -> ConcatPlan | Refusal:
        """A concatenation along the channels whose parts are tensors on one grid."""
        result = self._values.result(node.outputs[0], clamps=False)
        if isinstance(result, Refusal):
            return result
        parts = [self._values.tensor(value) for value in node.inputs]
        if attribute(node, "axis", 1) not in (1, 1 - len(static_shape(node.outputs[0]) or ())):
            return Refusal("it does not concatenate channels", "keep it on the CPU")
        if any(part is None for part in parts):
            return Refusal(
                "not all of its inputs are quantized tensors", "quantize the model with `sliceflow quantize`", "input"
            )
        found = tuple(part for part in parts if part is not None)
        if any(part.quant != result.tensor.quant for part in found):
            return Refusal(
                "its inputs and output do not share one scale", "quantize the model with `sliceflow quantize`"
            )
        return ConcatPlan(name=str(node.name), nodes=(node, *result.nodes), parts=found, output=result.tensor)

    # roots ------------------------------------------------------------------------------------------------------

    def _start(self, root: ir.Node) -> Outcome:
        if is_op(root, "Conv", "Gemm"):
            return self._start_weighted(root)
        region = self._region_of(root)
        if region is not None:
            source = self._values.spec(region.source)
            if source is not None:
                return self._checked(self._with_table(_bare(root, source), region))
        if self._is_clamp(root):
            return self._clamp(root)
        if is_op(root, "Add", "Resize", *POOLS):
            source = self._values.tensor(root.inputs[0])
            if source is None:
                return not_a_tensor(root, self._profile)
            plan = EXTENSIONS[root.op_type](self, _bare(root, source), root)
            kernel = averaging_kernel(root, source) if isinstance(plan, Refusal) else None
            return plan if kernel is None else self._weighted(root, source, kernel)
        return unsupported(root, self._profile)

    def _is_clamp(self, root: ir.Node) -> bool:
        """Whether the requantizer does this node by itself. Where there are tables, they do, and need no rounding."""
        if self._values.is_float:
            return clamp_of(root) is not None or slope_of(root) is not None
        return not self._profile.has_tables and (is_op(root, "QuantizeLinear") or clamp_of(root) is not None)

    def _clamp(self, root: ir.Node) -> Outcome:
        """A clamp or leaky ReLU, or a change of scale, as a layer."""
        source = self._values.tensor(root.inputs[0])
        if source is None:
            return not_a_tensor(root, self._profile)
        result = self._values.result(source.value, leaky_allowed=True, first=root)
        if isinstance(result, Refusal):
            return result
        return self._checked(
            dataclasses.replace(
                _bare(root, source),
                nodes=(*self._values.glue(source), *result.nodes),
                output=result.tensor,
                main=result.tensor.quant,
                low=result.low,
                high=result.high,
                leaky=result.leaky,
                label=result.labels or ("rescale",),
            )
        )

    def _region_of(self, root: ir.Node) -> tables.Region | None:
        if not self._profile.has_tables:
            return None
        for value in root.inputs:
            source = self._values.tensor(value)
            region = tables.find_region(source.value, self._order, root) if source is not None else None
            if region is not None and self._taken.isdisjoint(region.nodes):
                return region
        return None

    def _start_weighted(self, root: ir.Node) -> Outcome:
        if constant(input_at(root, 1)) is None and not is_op(_producer(root, 1), "DequantizeLinear"):
            return Refusal("its weights are not constant", "export the model with constant weights")
        source = self._values.tensor(input_at(root, 0))
        if source is None:
            return not_a_tensor(root, self._profile)
        kernel = read_kernel(root, source, is_float=self._values.is_float)
        if isinstance(kernel, Refusal):
            return kernel
        wide = weights_too_wide(kernel.weights, self._profile)
        if wide is not None:
            return wide
        source, flatten = self._source_of(root, source)
        return self._weighted(root, source, kernel, flatten=flatten)

    def _weighted(self, root: ir.Node, source: TensorSpec, kernel: Kernel, *, flatten: bool = False) -> Outcome:
        output = chw(static_shape(root.outputs[0]))
        if output is None:
            return Refusal(
                f"its output of shape {static_shape(root.outputs[0])} is not a batch-1 feature map",
                "give the input's shape with --shape",
            )
        depthwise = is_depthwise(kernel.group, source.channels, kernel.weights.shape[0])
        core = Core.FULLY_CONNECTED if root.op_type == "Gemm" else Core.DEPTHWISE if depthwise else Core.CONV
        plan = LayerPlan(
            name=str(root.name),
            nodes=(root,),
            core=core,
            input=source,
            output=source,
            array_size=output[1:],
            kernel=kernel,
            flatten_input=flatten,
            label=(_kernel_label(root, core, kernel),),
        )
        fused = self._accumulator_add(plan, root.outputs[0])
        if fused is not None:
            return self._checked(fused)
        result = self._values.result(root.outputs[0], leaky_allowed=True)
        if isinstance(result, Refusal):
            return result
        return self._checked(
            dataclasses.replace(
                plan,
                nodes=plan.nodes + result.nodes,
                output=result.tensor,
                main=result.tensor.quant,
                low=result.low,
                high=result.high,
                leaky=result.leaky,
                label=plan.label + result.labels,
            )
        )

    def _source_of(self, root: ir.Node, source: TensorSpec) -> tuple[TensorSpec, bool]:
        """A fully connected layer reads a feature map as it lies in memory; the flattening costs nothing."""
        flatten = False
        while root.op_type == "Gemm" and (view := self._values.view_source(source)) is not None:
            if math.prod(view.size) != math.prod(source.size):
                break
            source, flatten = view, True
        return source, flatten and source.size[1:] != (1, 1)

    def _accumulator_add(self, plan: LayerPlan, value: ir.Value) -> LayerPlan | None:
        """Conv -> Add without a quantization between: the add takes the accumulator."""
        node = only_consumer(value)
        if self._values.is_float or node is None or not is_op(node, "Add") or node in self._taken:
            return None
        other = self._values.tensor(node.inputs[1] if node.inputs[0] is value else node.inputs[0])
        result = self._values.result(node.outputs[0])
        if other is None or isinstance(result, Refusal) or other.size != result.tensor.size:
            return None
        return self._grown(plan, Stage.ADD, node, result, add=_added(AddMode.ACCUMULATOR, other, None, result))

    # extensions -------------------------------------------------------------------------------------------------

    def _extend(self, plan: LayerPlan) -> LayerPlan | None:
        readers = self._values.readers(plan.output)
        if not readers:
            return None
        if self._profile.has_tables and plan.table_mode is TableMode.OFF and plan.stage <= Stage.ADD:
            region = tables.find_region(plan.output.value, self._order)
            if region is not None and region.closed and self._taken.isdisjoint(region.nodes):
                longer = self._checked(self._with_table(plan, region))
                if isinstance(longer, LayerPlan):
                    return longer
        if len(readers) != 1 or readers[0] in self._taken or readers[0].op_type not in EXTENSIONS:
            return None
        node = readers[0]
        if node.domain not in ("", "ai.onnx"):
            return None
        longer = EXTENSIONS[node.op_type](self, plan, node)
        return longer if isinstance(longer, LayerPlan) and self._worthwhile(plan, longer) else None

    def _with_table(self, plan: LayerPlan, region: tables.Region) -> Outcome:
        spec = self._values.spec(region.result)
        if spec is None:
            return Refusal("its output is not a batch-1 feature map", "give the input's shape with --shape")
        after = plan.add is not None
        return dataclasses.replace(
            plan,
            nodes=plan.nodes + tuple(node for node in region.nodes if node not in plan.nodes),
            output=spec,
            table=tables.tabulate(region),
            table_mode=TableMode.AFTER_ADD if after else TableMode.BEFORE_ADD,
            stage=Stage.TABLE_AFTER_ADD if after else Stage.TABLE_BEFORE_ADD,
            label=plan.label
            + tuple(n.op_type for n in region.nodes if not is_op(n, "QuantizeLinear", "DequantizeLinear")),
        )

    def _add(self, plan: LayerPlan, node: ir.Node) -> Outcome:
        operands = [self._values.tensor(value) for value in node.inputs]
        if None in operands or plan.stage >= Stage.ADD:
            return not_a_tensor(node, self._profile)
        first, second = (operand for operand in operands if operand is not None)
        other = second if first.value is plan.output.value else first
        if other.value is plan.output.value and plan.input.value is not plan.output.value:
            return Refusal("both operands are the same tensor", "")
        result = self._values.result(node.outputs[0])
        if isinstance(result, Refusal):
            return result
        if not first.size == second.size == result.tensor.size:
            return Refusal(
                f"it broadcasts {first.size} and {second.size}", "only tensors of one shape are added on the FPGA"
            )
        add = _added(AddMode.REQUANTIZED, other, plan.output.quant, result)
        return self._checked(self._grown(plan, Stage.ADD, node, result, add=add))

    def _pool(self, plan: LayerPlan, node: ir.Node) -> Outcome:
        if plan.stage >= Stage.POOL:
            return Refusal("the layer has pooled already", "")
        source = self._values.tensor(node.inputs[0])
        if source is None:
            return not_a_tensor(node, self._profile)
        found = pool_shape(node, source, self._profile)
        if isinstance(found, Refusal):
            return found
        maximum = found.mode in (PoolMode.MAX, PoolMode.GLOBAL_MAX)
        result = self._values.result(node.outputs[0], clamps=not maximum)
        if isinstance(result, Refusal):
            return result
        if maximum and result.tensor.quant != source.quant:
            return Refusal("its output has another scale than its input", "give both one scale")
        pool = Pool(
            mode=found.mode,
            window=found.window,
            stride=found.stride,
            pad=found.pad,
            count=found.count,
            out_size=found.out_size,
            source=source.quant,
            quant=result.tensor.quant,
            low=result.low,
            high=result.high,
        )
        return self._checked(self._grown(plan, Stage.POOL, node, result, pool=pool))

    def _resize(self, plan: LayerPlan, node: ir.Node) -> Outcome:
        if plan.stage >= Stage.UPSAMPLE:
            return Refusal("the layer has resized already", "")
        source = self._values.tensor(node.inputs[0])
        if source is None:
            return not_a_tensor(node, self._profile)
        factors = nearest_factors(node, source)
        if isinstance(factors, Refusal):
            return factors
        result = self._values.result(node.outputs[0], clamps=False)
        if isinstance(result, Refusal):
            return result
        if result.tensor.quant != source.quant:
            return Refusal("its output has another scale than its input", "give both one scale")
        return self._checked(self._grown(plan, Stage.UPSAMPLE, node, result, upsample=factors))

    def _grown(self, plan: LayerPlan, stage: Stage, node: ir.Node, result: Result, **changes: Any) -> LayerPlan:
        """The layer with one more stage: what ``node``, and what follows it to the next tensor, does."""
        # A weighted layer that has no output tensor yet is not read through DequantizeLinear.
        glue = () if plan.output is plan.input and plan.kernel is not None else self._values.glue(plan.output)
        return dataclasses.replace(
            plan,
            nodes=(*plan.nodes, *glue, node, *result.nodes),
            output=result.tensor,
            stage=stage,
            label=(*plan.label, node.op_type, *result.labels),
            **changes,
        )

    # does it fit, is it worth it --------------------------------------------------------------------------------

    def _checked(self, plan: Outcome) -> Outcome:
        if isinstance(plan, Refusal):
            return plan
        if strip_rows(estimated_shape(plan, self._profile), self._profile) is None:
            row = f"{plan.input.channels} x {plan.input.width}"
            return Refusal(
                f"one row of {row} does not fit the on-chip buffers of {self._profile.name}",
                "use a profile with larger bank_words or accumulator_pixels",
            )
        return plan

    def _worthwhile(self, plan: LayerPlan, longer: LayerPlan) -> bool:
        """Whether a pool whose windows overlap the strips' borders saves more than the rows computed twice cost."""
        if longer.pool is plan.pool or plan.kernel is None:
            return True
        rows = self._computed_rows(longer)
        again = (rows - longer.array_size[0]) * longer.array_size[1]
        shape_ = estimated_shape(longer, self._profile)
        groups = geometry.output_groups(shape_, self._profile) * shape_.groups
        alone = math.prod(plan.array_size) * math.ceil(plan.output.channels / self._profile.cpi)
        return again * groups * geometry.passes(shape_) <= alone

    def _computed_rows(self, plan: LayerPlan) -> int:
        layer = estimated_shape(plan, self._profile)
        layer.strip_rows = strip_rows(layer, self._profile) or 1
        return sum(np.subtract(*geometry.array_rows(layer, s)[::-1]) for s in range(layer.strips))


def _producer(node: ir.Node, index: int) -> ir.Node | None:
    value = input_at(node, index)
    return value.producer() if value is not None else None


def _bare(root: ir.Node, source: TensorSpec) -> LayerPlan:
    return LayerPlan(
        name=str(root.name),
        nodes=(),
        core=Core.PASS,
        input=source,
        output=source,
        array_size=(source.height, source.width),
        main=source.quant,
    )


def _added(mode: AddMode, other: TensorSpec, main: Quant | None, result: Result) -> Add:
    return Add(mode=mode, other=other, main=main, quant=result.tensor.quant, low=result.low, high=result.high)


def _kernel_label(root: ir.Node, core: Core, kernel: Kernel) -> str:
    if core is Core.FULLY_CONNECTED:
        return "Gemm"
    size = f"{kernel.size[0]}x{kernel.size[1]}"
    kind = root.op_type if root.op_type in POOLS else core.value
    return f"{kind} {size}" + (f" /{kernel.stride[0]}" if kernel.stride != (1, 1) else "")


EXTENSIONS: dict[str, Callable[[Merger, LayerPlan, ir.Node], Outcome]] = {
    "Add": Merger._add,
    "MaxPool": Merger._pool,
    "AveragePool": Merger._pool,
    "GlobalMaxPool": Merger._pool,
    "GlobalAveragePool": Merger._pool,
    "Resize": Merger._resize,
}
"""What can follow a layer, and how: operator -> stage."""
