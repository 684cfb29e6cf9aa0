"""Models written by somebody with bad intentions: bombs, deep nesting, files outside. Each writes ``model.onnx``."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

Hostile = Callable[[Path, random.Random], str]
_FLOAT = TensorProto.FLOAT


def _constant(name: str, array: object, dtype: str = "int64") -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def _write(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: list[TensorProto],
    shape: object = (1, 3, 8, 8),
    functions: list[onnx.FunctionProto] | None = None,
) -> None:
    """A model x -> ... -> y; a convolution in front if the nodes read ``c``."""
    if any("c" in node.input for node in nodes):
        weights = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "weights")
        nodes, constants = [helper.make_node("Conv", ["x", "weights"], ["c"]), *nodes], [*constants, weights]
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", _FLOAT, shape)],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        constants,
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8, functions=functions or [])
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def constant_bomb(folder: Path, chance: random.Random) -> str:
    """A few bytes that fold into a huge constant."""
    shape = chance.choice([[1 << 31], [1 << 40], [65536, 65536], [1 << 62, 4], [30000, 30000], [1 << 29], [-1, 5]])
    fill = helper.make_node("ConstantOfShape", ["shape"], ["big"])
    then, extra = chance.choice(
        [
            ([helper.make_node("Add", ["x", "big"], ["y"])], []),
            ([helper.make_node("Mul", ["big", "big"], ["sq"]), helper.make_node("Add", ["c", "sq"], ["y"])], []),
            ([helper.make_node("Conv", ["x", "big"], ["y"])], []),
            ([helper.make_node("Cast", ["big"], ["d"], to=11), helper.make_node("Cast", ["d"], ["y"], to=1)], []),
            ([helper.make_node("Exp", ["big"], ["e"]), helper.make_node("Add", ["c", "e"], ["y"])], []),
            ([helper.make_node("Reshape", ["big", "flat"], ["e"]), helper.make_node("Add", ["c", "e"], ["y"])],
             [_constant("flat", [-1])]),
        ]
    )  # fmt: skip
    _write(folder, [fill, *then], [_constant("shape", shape), *extra])
    return f"ConstantOfShape {shape}, {then[0].op_type}"


def size_bomb(folder: Path, chance: random.Random) -> str:
    """An operator that makes a huge tensor from a small one at run time."""
    big = chance.choice([100, 20_000, 100_000, 1 << 31, 1 << 45])
    nodes, extra = chance.choice(
        [
            ([helper.make_node("Tile", ["c", "n"], ["y"])], [_constant("n", [1, 1, big, big])]),
            ([helper.make_node("Expand", ["x", "n"], ["y"])], [_constant("n", [big, 3, 8, 8])]),
            ([helper.make_node("Pad", ["c", "n"], ["y"])], [_constant("n", [0, 0, big, big, 0, 0, big, big])]),
            ([helper.make_node("Resize", ["c", "", "n"], ["y"], mode="nearest")],
             [_constant("n", [1, 1, big, big], "float32")]),
            ([helper.make_node("Resize", ["c", "", "", "n"], ["y"], mode="linear")],
             [_constant("n", [1, 4, big, big])]),
            ([helper.make_node("Conv", ["x", "weights"], ["y"], pads=[big] * 4)],
             [_constant("weights", np.ones((2, 3, 3, 3)), "float32")]),
            ([helper.make_node("ConvTranspose", ["c", "w2"], ["y"], strides=[big, big])],
             [_constant("w2", np.ones((4, 1, 1, 1)), "float32")]),
            ([helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[big, big], auto_pad="SAME_UPPER")], []),
            ([helper.make_node("RandomNormal", [], ["r"], shape=[big, big]),
              helper.make_node("Add", ["c", "r"], ["y"])], []),
            ([helper.make_node("Range", ["a", "b", "d"], ["r"]), helper.make_node("Cast", ["r"], ["f"], to=1),
              helper.make_node("Add", ["c", "f"], ["y"])],
             [_constant("a", 0), _constant("b", big), _constant("d", 1)]),
            ([helper.make_node("OneHot", ["i", "b", "v"], ["o"]), helper.make_node("MatMul", ["c", "o"], ["y"])],
             [_constant("i", [[1] * 6] * 6), _constant("b", big), _constant("v", [0, 1], "float32")]),
        ]
    )  # fmt: skip
    _write(folder, nodes, extra)
    return f"{nodes[0].op_type} by {big}"


def doubling(folder: Path, chance: random.Random) -> str:
    """Each node doubles what the one before made."""
    steps, kind = chance.choice([10, 30, 62]), chance.choice(["Concat", "Add", "constants", "Resize"])
    nodes, name, extra = [], "c", []
    if kind == "constants":
        name, extra = "k", [_constant("k", np.ones((1, 4, 6, 6)), "float32")]
    for step in range(steps):
        made = f"d{step}"
        if kind == "Add":
            nodes.append(helper.make_node("Add", [name, name], [made]))
        elif kind == "Resize":
            nodes.append(helper.make_node("Resize", [name, "", "twice"], [made], mode="nearest"))
        else:
            nodes.append(helper.make_node("Concat", [name, name], [made], axis=chance.choice([0, 1])))
        name = made
    extra.append(_constant("twice", [1, 1, 2, 2], "float32"))
    nodes.append(helper.make_node("Add", ["c", name], ["y"]))
    _write(folder, nodes, extra)
    return f"{steps} times {kind}"


def huge_input(folder: Path, chance: random.Random) -> str:
    """An input whose declared size is beyond reason, with a sound convolution behind."""
    shape = chance.choice(
        [
            (1, 3, 65536, 65536),
            (1, 3, 2**31 - 1, 8),
            (1 << 20, 3, 8, 8),
            (1, 3, 20000, 20000),
            (1, 3, 0, 0),
            (1, 3, 700, 700),
        ]
    )
    _write(folder, [helper.make_node("Relu", ["c"], ["y"])], [], shape)
    return f"input {shape}"


def nested(folder: Path, chance: random.Random) -> str:
    """Subgraphs within subgraphs."""
    depth, kind = chance.choice([5, 12, 20, 45, 200]), chance.choice(["If", "Loop"])
    try:
        node = _nested_node(depth, kind)
        _write(folder, [node], [_constant("yes", True, "bool"), _constant("times", 1 << chance.choice([1, 62]))])
    except DecodeError:  # protobuf copies no message deeper than it reads: the bytes below do not ask
        (folder / "model.onnx").write_bytes(deep_bytes(depth))
    return f"{depth} levels of {kind}"


def _nested_node(depth: int, kind: str) -> onnx.NodeProto:
    node = helper.make_node("Relu", ["c"], ["r"])
    for level in range(depth):
        output = [helper.make_tensor_value_info(node.output[0], _FLOAT, None)]
        name = f"r{level}" if level < depth - 1 else "y"
        if kind == "If":
            body = helper.make_graph([node], "g", [], output)
            node = helper.make_node("If", ["yes"], [name], then_branch=body)
            if level < 3:
                node.attribute.append(helper.make_attribute("else_branch", body))
            continue
        inputs = [helper.make_tensor_value_info(f"i{level}", 7, []), helper.make_tensor_value_info(f"k{level}", 9, [])]
        again = helper.make_node("Identity", [f"k{level}"], [f"go{level}"])
        output.insert(0, helper.make_tensor_value_info(f"go{level}", 9, []))
        node = helper.make_node(
            "Loop", ["times", "yes"], [name], body=helper.make_graph([node, again], "g", inputs, output)
        )
    return node


def deep_bytes(depth: int) -> bytes:
    """ModelProto bytes of graphs in attributes in nodes, ``depth`` levels."""
    graph = b""
    for _ in range(depth):
        attribute = b"\x0a\x01g\xa0\x01\x05" + _field(6, graph)
        graph = _field(1, _field(4, b"If") + _field(5, attribute))
    return b"\x08\x08" + _field(7, graph)


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def deep_message(folder: Path, chance: random.Random) -> str:
    """Messages nested deeper than parsers like."""
    depth = chance.choice([20, 33, 60, 100, 1000, 20_000])
    (folder / "model.onnx").write_bytes(deep_bytes(depth))
    return f"{depth} levels of bytes"


def endless_loop(folder: Path, chance: random.Random) -> str:
    """A Loop that runs 2^62 times, on constants or on data."""
    output = [helper.make_tensor_value_info("go", 9, []), helper.make_tensor_value_info("v2", _FLOAT, None)]
    inputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", 7), ("k", 9))]
    inputs.append(helper.make_tensor_value_info("v", _FLOAT, None))
    body = [helper.make_node("Identity", ["k"], ["go"]), helper.make_node("Relu", ["v"], ["v2"])]
    source = chance.choice(["c", "one"])
    loop = helper.make_node("Loop", ["n", "yes", source], ["l"], body=helper.make_graph(body, "b", inputs, output))
    constants = [_constant("n", 1 << 62), _constant("yes", True, "bool"), _constant("one", [1], "float32")]
    _write(folder, [loop, helper.make_node("Add", ["c", "l"], ["y"])], constants)
    return f"endless loop over {source}"


def functions(folder: Path, chance: random.Random) -> str:
    """Functions that call each other in a circle, or each the next one twice or more."""
    count, calls = chance.choice([(2, 1), (25, 2), (40, 2), (6, 30), (150, 1)])
    circle = chance.random() < 0.3
    made = []
    for index in range(count):
        last = index == count - 1
        kind, domain = ("Relu", "") if last and not circle else (f"f{(index + 1) % count}", "own")
        body = [
            helper.make_node(kind, ["a" if i == 0 else f"t{i}"], [f"t{i + 1}"], domain=domain) for i in range(calls)
        ]
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        made.append(helper.make_function("own", f"f{index}", ["a"], [f"t{calls}"], body, imports))
    _write(folder, [helper.make_node("f0", ["c"], ["y"], domain="own")], [], functions=made)
    return f"{count} functions of {calls} calls{', in a circle' if circle else ''}"


def crowd(folder: Path, chance: random.Random) -> str:
    """Very many nodes, names, inputs or dimensions."""
    kind = chance.choice(["nodes", "many nodes", "inputs", "names", "dims"])
    extra: list[TensorProto] = []
    shape: object = (1, 3, 8, 8)
    if kind in ("nodes", "many nodes"):
        count = 2000 if kind == "nodes" else 210_000
        nodes = [helper.make_node("Relu", ["c" if i == 0 else f"n{i}"], [f"n{i + 1}"]) for i in range(count)]
        nodes[-1].output[0] = "y"
    elif kind == "inputs":
        nodes = [helper.make_node("Concat", ["x"] * 5_000, ["k"], axis=1), helper.make_node("Relu", ["k"], ["y"])]
    elif kind == "names":
        nodes = [helper.make_node("Relu", ["c"], ["r" * 5_000_000]), helper.make_node("Relu", ["r" * 5_000_000], ["y"])]
    else:
        nodes, shape = [helper.make_node("Relu", ["x"], ["y"])], (1,) * chance.choice([9, 33, 65, 10_000])
    _write(folder, nodes, extra, shape)
    return f"crowd of {kind}"


def external(folder: Path, chance: random.Random) -> str:
    """Weights in files that are none of the model's business."""
    (folder / "weights.bin").write_bytes(bytes(4 * 4 * 3 * 9))
    (folder / "loop").symlink_to("loop")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("/etc", target_is_directory=True)
    os.mkfifo(folder / "pipe")
    places = [
        "weights.bin",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "loop",
        "outside",
        "pipe",
        ".",
        "",
        "a\0b",
        "x" * 5000,
    ]
    places += [
        "folder/passwd",
        "..\\..\\secret",
        "C:\\secret",
        "/dev/zero",
        "./weights.bin",
        "weights.bin/",
        "~/x",
        "\x1b[2J",
    ]
    entries = {"location": chance.choice(places)}
    if chance.random() < 0.5:
        entries["location"] = "weights.bin"
        key = chance.choice(["offset", "length", "checksum", "odd"])
        entries[key] = chance.choice(["-1", "1", "9" * 18, "9" * 30, "x", "", "0x10", "1e3", "432", "²", "4294967296"])
    tensor = TensorProto(
        name="w", data_type=_FLOAT, dims=chance.choice([[4, 3, 3, 3]] * 3 + [[4, 3, 3, 1 << 35], [0, 3, 3, 3]])
    )
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    if chance.random() < 0.2:
        node = onnx.NodeProto(op_type="Constant", output=["w"])
        node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
        _write(folder, [node, helper.make_node("Conv", ["x", "w"], ["y"])], [])
    else:
        _write(folder, [helper.make_node("Conv", ["x", "w"], ["y"])], [tensor])
    return f"external {str(entries)[:150]}"


def no_model(folder: Path, chance: random.Random) -> str:
    """Something else under the name of a model."""
    path, kind = (
        folder / "model.onnx",
        chance.choice(["text", "empty", "folder", "pipe", "missing", "link", "zeros", "json"]),
    )
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("model.onnx")
    elif kind != "missing":
        contents = {"text": b"not a model\n", "empty": b"", "zeros": bytes(100_000), "json": b'{"graph": {}}'}
        path.write_bytes(contents[kind])
    return f"model is {kind}"


HOSTILE_MODELS: tuple[Hostile, ...] = (
    constant_bomb,
    constant_bomb,
    size_bomb,
    size_bomb,
    doubling,
    huge_input,
    nested,
    deep_message,
    endless_loop,
    functions,
    crowd,
    external,
    external,
    external,
    no_model,
)
