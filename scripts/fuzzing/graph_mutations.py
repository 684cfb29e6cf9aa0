"""Mutations that know what a graph is: plausible models with one thing wrong."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scripts.fuzzing.field_mutations import FLOATS, INTEGERS, TEXTS

GraphMutation = Callable[[onnx.ModelProto, random.Random], str]
_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain})
_DTYPES = ("float16", "float64", "int8", "uint8", "int32", "int64", "bool", "complex64")
_SIZES = (0, 1, 2, 3, 17, 1000, 65536, 2**31 - 1, 2**31, 2**40 - 1)


def _values(graph: onnx.GraphProto) -> list[str]:
    names = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
    return names + [name for node in graph.node for name in node.output]


def rewire(model: onnx.ModelProto, chance: random.Random) -> str:
    """Make a node read another value, which may close a cycle."""
    node = chance.choice(list(model.graph.node))
    name = chance.choice([*_values(model.graph), "", "nowhere"])
    if not node.input or chance.random() < 0.1:
        node.input.append(name)
        return f"{node.op_type} reads {name} too"
    node.input[chance.randrange(len(node.input))] = name
    return f"{node.op_type} reads {name}"


def close_cycle(model: onnx.ModelProto, chance: random.Random) -> str:
    """Feed the last node's result to the first."""
    first, last = model.graph.node[0], model.graph.node[-1]
    if first.input:
        first.input[0] = last.output[0]
    return f"{first.op_type} reads the result of {last.op_type}"


def change_operator(model: onnx.ModelProto, chance: random.Random) -> str:
    """Give a node another operator or domain."""
    node = chance.choice(list(model.graph.node))
    old = node.op_type
    if chance.random() < 0.15:
        node.domain = chance.choice(["com.microsoft", "ai.onnx.ml", "own", "ai.onnx"])
        return f"domain of {old}: {node.domain}"
    node.op_type = chance.choice(_OPERATORS)
    if chance.random() < 0.5:
        del node.attribute[:]
    return f"{old} became {node.op_type}"


def add_node(model: onnx.ModelProto, chance: random.Random) -> str:
    """Put a random operator behind a value that others read."""
    values = _values(model.graph)
    source, kind = chance.choice(values), chance.choice(_OPERATORS)
    inputs = [source, *chance.sample(values, min(len(values), chance.randint(0, 2)))]
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == source and chance.random() < 0.7:
                node.input[index] = "inserted"
    model.graph.node.append(helper.make_node(kind, inputs, ["inserted"]))
    return f"{kind} behind {source}"


def edit_nodes(model: onnx.ModelProto, chance: random.Random) -> str:
    """Delete, double or shuffle nodes."""
    nodes = list(model.graph.node)
    action = chance.choice(["delete", "double", "shuffle", "same output"])
    picked = chance.choice(nodes)
    if action == "delete":
        model.graph.node.remove(picked)
    elif action == "double":
        model.graph.node.append(picked)
    elif action == "shuffle":
        chance.shuffle(nodes)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    elif picked.output:
        picked.output[0] = chance.choice(_values(model.graph))
    return f"{action}: {picked.op_type}"


def change_attribute(model: onnx.ModelProto, chance: random.Random) -> str:
    """Set an attribute of a node to an extreme value, or to one of another type."""
    nodes = [node for node in model.graph.node if node.attribute] or list(model.graph.node)
    node = chance.choice(nodes)
    if not node.attribute:
        node.attribute.append(helper.make_attribute(chance.choice(["axis", "pads", "strides", "group"]), 1))
    item = chance.choice(list(node.attribute))
    name, kind = item.name, item.type
    if kind == onnx.AttributeProto.INTS and item.ints and chance.random() < 0.6:
        item.ints[chance.randrange(len(item.ints))] = chance.choice(INTEGERS)
    elif kind == onnx.AttributeProto.INT and chance.random() < 0.6:
        item.i = chance.choice([*INTEGERS, -5, 5, 3])
    elif kind == onnx.AttributeProto.FLOAT and chance.random() < 0.6:
        item.f = chance.choice(FLOATS)
    else:
        values = [chance.choice(INTEGERS), chance.choice(FLOATS), "text", [1, 2], [0.5], ["a", "b"], [0] * 9, [3] * 400]
        item.CopyFrom(helper.make_attribute(name, chance.choice(values)))
    return f"{name} of {node.op_type}: {helper.printable_attribute(item)[:80]}"


def change_input(model: onnx.ModelProto, chance: random.Random) -> str:
    """Change the declared shape or type of an input or output."""
    value = chance.choice([*model.graph.input, *model.graph.input, *model.graph.output])
    kind = value.type.tensor_type
    if chance.random() < 0.25:
        kind.elem_type = chance.choice([*range(20), 99, -1])
        return f"type of {value.name}: {kind.elem_type}"
    action = chance.random()
    if action < 0.2 and kind.shape.dim:
        del kind.shape.dim[chance.randrange(len(kind.shape.dim))]
    elif action < 0.3:
        kind.shape.dim.add().dim_value = chance.choice(_SIZES)
    elif action < 0.4:
        kind.ClearField("shape")
    elif kind.shape.dim:
        dim = chance.choice(list(kind.shape.dim))
        if chance.random() < 0.2:
            dim.dim_param = chance.choice(TEXTS)
        else:
            dim.dim_value = chance.choice([*_SIZES, -1, 2**62])
    return f"shape of {value.name}: {[dim.dim_value or dim.dim_param[:20] for dim in kind.shape.dim]}"


def change_tensor(model: onnx.ModelProto, chance: random.Random) -> str:
    """Change shape, type or size of an initializer, consistently."""
    if not model.graph.initializer:
        return change_input(model, chance)
    tensor = chance.choice(list(model.graph.initializer))
    array = numpy_helper.to_array(tensor)
    action = chance.choice(["shape", "type", "size"])
    if action == "shape":
        shapes = [array.reshape(-1), array.reshape(1, -1), array[None], array.T, array.reshape(*array.shape, 1)]
        array = chance.choice(shapes)
    elif action == "type":
        with np.errstate(all="ignore"):
            array = array.astype(chance.choice(_DTYPES))
    else:
        array = np.resize(array, [max(0, size + chance.choice([-1, 0, 0, 1, 2])) for size in array.shape])
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), tensor.name))
    return f"{action} of {tensor.name}: {array.dtype}{list(array.shape)}"


def change_values(model: onnx.ModelProto, chance: random.Random) -> str:
    """Change values of initializers (weights, biases, scales, zero points, shapes), not their sizes or types."""
    done = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        if not model.graph.initializer:
            return change_input(model, chance)
        tensor = chance.choice(list(model.graph.initializer))
        array = numpy_helper.to_array(tensor).copy()
        if array.dtype.kind not in "fiu" or not array.size:
            continue
        place = chance.choice([slice(None), slice(0, 1), slice(chance.randrange(array.size), None)])
        array.reshape(-1)[place] = _new_values(array.reshape(-1)[place], chance)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        done.append(f"{tensor.name}: {array.reshape(-1)[place][:1]}")
    return "; ".join(done)


def _new_values(old: np.ndarray, chance: random.Random) -> object:
    """Extreme, random or scaled values of the same type."""
    with np.errstate(all="ignore"):
        if old.dtype.kind == "f":
            random_values = np.random.default_rng(chance.randrange(1 << 30)).normal(0, 10, old.shape)
            return chance.choice([chance.choice(FLOATS), old * 10.0 ** chance.randint(-30, 30), -old, random_values])
        info = np.iinfo(old.dtype)
        extreme = chance.choice([info.min, info.max, 0, 1, min(info.max, 2**31), max(info.min, -1)])
        return chance.choice([extreme, extreme, old[::-1], old + old.dtype.type(1)])


def change_versions(model: onnx.ModelProto, chance: random.Random) -> str:
    """Change IR version or opset."""
    if chance.random() < 0.3:
        model.ir_version = chance.choice([0, 1, 2, 3, 8, 12, 13, 99, 2**62, -1])
        return f"IR version {model.ir_version}"
    if chance.random() < 0.1:
        model.opset_import.add().version = chance.choice([1, 7, 99])
        return "another opset"
    model.opset_import[0].version = chance.choice([*range(26), 99, 2**62, -1, 7, 9, 11, 13])
    return f"opset {model.opset_import[0].version}"


def change_interface(model: onnx.ModelProto, chance: random.Random) -> str:
    """Turn initializers into inputs, remove inputs, expose other values as outputs."""
    action = chance.choice(["to input", "drop", "expose", "no outputs", "both"])
    graph = model.graph
    if action in ("to input", "drop", "both") and graph.initializer:
        tensor = chance.choice(list(graph.initializer))
        if action != "drop":
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        if action != "both":
            graph.initializer.remove(tensor)
        return f"{action}: {tensor.name}"
    if action == "no outputs":
        del graph.output[:]
        return action
    name = chance.choice(_values(graph))
    graph.output.append(helper.make_tensor_value_info(name, chance.choice([TensorProto.FLOAT, 2, 7]), None))
    return f"expose {name}"


def rename(model: onnx.ModelProto, chance: random.Random) -> str:
    """Give a value or node an awkward name, consistently."""
    old, new = chance.choice(_values(model.graph)), chance.choice(TEXTS)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new
        if chance.random() < 0.3:
            node.name = new
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        if value.name == old:
            value.name = new
    model.graph.name = new
    return f"{old[:20]!r} is called {new[:30]!a}"


GRAPH_MUTATIONS: tuple[GraphMutation, ...] = (
    rewire,
    close_cycle,
    change_operator,
    add_node,
    edit_nodes,
    change_attribute,
    change_attribute,
    change_input,
    change_tensor,
    change_values,
    change_versions,
    change_interface,
    rename,
)
