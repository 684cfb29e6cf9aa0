"""What each mapping step made, as plain data and as a drawing.

Four steps: ``merge`` (layers grown along the edges), ``place`` (where every node runs, and why), ``transform`` (the
order, with each crossing), ``adjust`` (lanes, addresses, strips, descriptors).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.graph.program import Program
from sliceflow.mapping.compiler import Trace
from sliceflow.mapping.partition import is_glue
from sliceflow.mapping.plan import ConcatPlan, LayerPlan, TensorSpec
from sliceflow.mapping.schedule import Action, CpuWork, ToDevice, ToHost
from sliceflow.passes.view import static_shape

_COLOURS = {"fpga": "#d5e8d4", "cpu": "#f8cecc", "transform": "#fff2cc", "concat": "#e1d5e7"}


def to_json(trace: Trace) -> dict[str, Any]:
    """The four steps, each as a list that can be read on its own."""
    return {
        "merge": [_merged(unit) for unit in trace.merged.units],
        "place": _placed(trace),
        "transform": [_action(action) for action in trace.actions],
        "adjust": _adjusted(trace.program),
    }


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    quant = dataclasses.asdict(tensor.quant) if tensor.quant else None
    return {"name": tensor.name, "size": list(tensor.size), "quantization": quant}


def _merged(unit: LayerPlan | ConcatPlan) -> dict[str, Any]:
    sources = unit.parts if isinstance(unit, ConcatPlan) else unit.inputs
    return {
        "name": unit.name,
        "stages": ["Concat"] if isinstance(unit, ConcatPlan) else list(unit.label),
        "nodes": [str(node.name) for node in unit.nodes],
        "inputs": [_tensor(tensor) for tensor in sources],
        "output": _tensor(unit.output),
    }


def _placed(trace: Trace) -> list[dict[str, Any]]:
    mapped = {node: unit.name for unit in trace.merged.units for node in unit.nodes}
    rows = []
    for node in trace.merged.order:
        refusal = trace.merged.refusals.get(node)
        rows.append(
            {
                "node": str(node.name),
                "op": node.op_type,
                "placement": "fpga" if node in mapped else "with its readers" if is_glue(node) else "cpu",
                "layer": mapped.get(node),
                "reason": refusal.reason if refusal and node not in mapped else None,
                "output": list(static_shape(node.outputs[0]) or ()),
            }
        )
    return rows


def _action(action: Action) -> dict[str, Any]:
    if isinstance(action, (ToDevice, ToHost)):
        kind = "to_device" if isinstance(action, ToDevice) else "to_host"
        unrolling = action.tensor.unrolling
        return {
            "do": kind,
            "value": str(action.value.name),
            "tensor": action.tensor.name,
            "unrolling": dataclasses.asdict(unrolling) if unrolling else None,
        }
    if isinstance(action, CpuWork):
        return {
            "do": "cpu",
            "nodes": [str(node.name) for node in action.nodes],
            "inputs": [str(value.name) for value in action.inputs],
            "outputs": [str(value.name) for value in action.outputs],
        }
    kind = "concat" if isinstance(action, ConcatPlan) else "fpga"
    return {"do": kind, "layer": action.name, "output": action.output.name}


def _adjusted(program: Program) -> dict[str, Any]:
    return {
        "activation_words": program.activation_words,
        "tensors": [dataclasses.asdict(tensor) for tensor in program.tensors.values()],
        "descriptors": [
            {"layer": layer.name, **_non_default(descriptor)}
            for layer, descriptor in zip(program.fpga_layers, program.descriptors, strict=True)
        ],
    }


def _non_default(descriptor: Descriptor) -> dict[str, Any]:
    default = dataclasses.asdict(Descriptor())
    fields = {name: value for name, value in dataclasses.asdict(descriptor).items() if value != default[name]}
    return {**fields, "op": Op(descriptor.op).name}


def to_dot(trace: Trace) -> str:
    """The schedule as a Graphviz drawing: accelerator layers, CPU nodes, and a transform at each crossing."""
    lines = ["digraph program {", "  rankdir=TB;", '  node [shape=box, style=filled, fontname="sans-serif"];']
    maker: dict[str, str] = {}
    for value in trace.program.inputs:
        lines.append(f"  {_quote(value.name)} [shape=ellipse, fillcolor=white];")
        maker[value.name] = value.name
    for number, action in enumerate(trace.actions):
        key = f"step {number}"
        sources, results, label, colour = _drawn(action)
        lines.append(f"  {_quote(key)} [label={_quote(label)}, fillcolor={_quote(colour)}];")
        lines += [f"  {_quote(maker[name])} -> {_quote(key)};" for name in sources if name in maker]
        maker.update(dict.fromkeys(results, key))
    for value in trace.program.outputs:
        lines.append(f"  {_quote('out ' + value.name)} [label={_quote(value.name)}, shape=ellipse, fillcolor=white];")
        if value.name in maker:
            lines.append(f"  {_quote(maker[value.name])} -> {_quote('out ' + value.name)};")
    return "\n".join([*lines, "}", ""])


def _drawn(action: Action) -> tuple[Sequence[str], Sequence[str], str, str]:
    if isinstance(action, ToDevice):
        label = "to device" if action.tensor.unrolling is None else "unrolled to device"
        return [str(action.value.name)], [_key(action.tensor)], label, _COLOURS["transform"]
    if isinstance(action, ToHost):
        return [_key(action.tensor)], [str(action.value.name)], "to host", _COLOURS["transform"]
    if isinstance(action, CpuWork):
        names = "\n".join(f"{node.name}: {node.op_type}" for node in action.nodes)
        inputs, outputs = ([str(v.name) for v in values] for values in (action.inputs, action.outputs))
        return inputs, outputs, names, _COLOURS["cpu"]
    size = "x".join(map(str, action.output.size))
    if isinstance(action, ConcatPlan):
        return (
            [_key(p) for p in action.parts],
            [_key(action.output)],
            f"{action.name}\nConcat\n{size}",
            _COLOURS["concat"],
        )
    label = f"{action.name}\n{' + '.join(action.label)}\n{size}"
    return [_key(t) for t in action.inputs], [_key(action.output)], label, _COLOURS["fpga"]


def _key(tensor: TensorSpec) -> str:
    # A host value and the device tensor made from it can have one name.
    return f"tensor {tensor.name}"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
