"""Damaged and malicious models: one clear error each, in bounded time and memory, never a crash."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import onnx
import pytest
from onnx import helper

from sliceflow.errors import UserError
from sliceflow.frontend import bind_shapes, inference, load_model
from tests.support.models import Graph, mutate_bytes, mutate_structure, random_cnn

CONV = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
LIMIT = 60.0


def refusal(source):
    """The error of loading, which must come soon and say something."""
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_model(source)
    assert time.monotonic() - start < LIMIT
    assert caught.value.what
    assert len(str(caught.value)) < 2000
    return caught.value


def small():
    return random_cnn(21)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("garbage.onnx", bytes(range(256)) * 4),
        ("text.onnx", b"not a model\n" * 50),
        ("zeros.onnx", bytes(1000)),
        ("truncated.onnx", small().SerializeToString()[:-30]),
        ("header.onnx", b"\x08\x08"),
        ("model.pt", b"PK\3\4"),
        ("model.pth", b"\x80\2"),
        ("model.pb", b"x"),
    ],
)
def test_files_that_are_no_models(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    error = refusal(tmp_path / name)
    assert name in error.where
    if name.startswith("model.pt"):
        assert "export" in error.fix


def test_things_that_are_no_files(tmp_path):
    assert "folder" in refusal(tmp_path).what
    assert "no such file" in refusal(tmp_path / "missing.onnx").why
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "no regular file" in refusal(tmp_path / "pipe.onnx").why
    refusal("nul\0byte.onnx")
    refusal(Path("x" * 400))
    refusal(3)


def two_nodes(second_input="a", second_output="y"):
    g = Graph(1)
    g.node("Relu", g.input("N", 3), outputs=["a"])
    g.node("Relu", second_input, outputs=[second_output])
    return g


STRUCTURE = {
    "cycle": lambda: _cycle(),
    "undefined input": lambda: two_nodes("nowhere").model("y"),
    "duplicate output": lambda: two_nodes("x", "a").model("a"),
    "redefined input": lambda: two_nodes("x", "x").model("a"),
    "undefined result": lambda: two_nodes().model("z"),
    "same result twice": lambda: two_nodes().model("y", "y"),
    "no results": lambda: two_nodes().model(),
    "sparse": lambda: _sparse(),
    "sequence input": lambda: _sequence_input(),
    "subgraph with an undefined input": lambda: _branches("nowhere"),
}


def _cycle():
    g = Graph(1)
    g.node("Add", g.input("N", 3), "b", outputs=["a"])
    g.node("Relu", "a", outputs=["b"])
    return g.model("b")


def _sparse():
    model = two_nodes().model("y")
    values = helper.make_tensor("s", 1, [1], [1.0])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0]), [1 << 40])
    )
    return model


def _sequence_input():
    model = two_nodes().model("y")
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", 1, [1]))
    return model


def _branches(name):
    g = Graph(1)
    g.input("N", 3)
    body = helper.make_graph(
        [helper.make_node("Relu", [name], ["r"])], "b", [], [helper.make_empty_tensor_value_info("r")]
    )
    return g.model(g.node("If", g.constant(True, "bool"), then_branch=body, else_branch=body))


@pytest.mark.parametrize("kind", STRUCTURE)
def test_structure(kind):
    refusal(STRUCTURE[kind]())


def weights_case(change):
    g = Graph(2)
    model = g.model(g.node("Conv", g.input("N", 3, 8, 8), g.random(2, 3, 3, 3), **CONV))
    change(model.graph.initializer[0])
    return model


TENSORS = {
    "short data": lambda t: setattr(t, "raw_data", t.raw_data[:-1]),
    "long data": lambda t: setattr(t, "raw_data", t.raw_data + b"0000"),
    "no data": lambda t: t.ClearField("raw_data"),
    "negative size": lambda t: t.dims.__setitem__(0, -2),
    "huge size": lambda t: t.dims.__setitem__(0, 1 << 62),
    "overflowing sizes": lambda t: t.dims.extend([1 << 33, 1 << 33]),
    "many dimensions": lambda t: t.dims.extend([1] * 1000),
    "unknown type": lambda t: setattr(t, "data_type", 99),
    "no type": lambda t: setattr(t, "data_type", 0),
    "segment": lambda t: setattr(t.segment, "end", 3),
    "other rank": lambda t: t.dims.__delitem__(0) or t.dims.__setitem__(0, 6),
    "other channels": lambda t: (t.dims.__setitem__(0, 3), t.dims.__setitem__(1, 2)),
    "no name": lambda t: t.ClearField("name"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors(kind):
    refusal(weights_case(TENSORS[kind]))


ATTRIBUTES = [
    ("strides", [0, 1]),
    ("strides", [1, -1]),
    ("dilations", [0, 0]),
    ("pads", [-1, 0, 0, 0]),
    ("pads", [1, 1]),
    ("pads", [1, 1, 1]),
    ("kernel_shape", [3, 4]),
    ("kernel_shape", [0, 0]),
    ("kernel_shape", [3]),
    ("kernel_shape", 3),
    ("strides", [1.5, 1.5]),
    ("strides", [1 << 62, 1]),
    ("dilations", [9, 9]),
    ("group", 0),
    ("group", 2),
    ("group", -(1 << 63)),
    ("group", "1"),
    ("auto_pad", "SAME"),
]


@pytest.mark.parametrize(("name", "value"), ATTRIBUTES)
def test_attributes_of_a_convolution(name, value):
    g = Graph(3)
    error = refusal(g.model(g.node("Conv", g.input("N", 3, 8, 8), g.random(2, 3, 3, 3), **{**CONV, name: value})))
    assert "Conv" in error.where


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize(
    ("name", "value"), [("pads", [1, 2]), ("pads", [1] * 6), ("strides", [1]), ("dilations", [1] * 3)]
)
def test_the_only_attribute_of_a_convolution_fits_its_weights(op, name, value):
    g = Graph(5)
    refusal(g.model(g.node(op, g.input("N", 3, 8, 8), g.random(3, 3, 3, 3), **{name: value})))


@pytest.mark.parametrize("axis", [5, 7, -5, 1 << 40])
@pytest.mark.parametrize("op", ["Concat", "Softmax", "ArgMax", "Split", "Flatten", "LogSoftmax", "TopK"])
def test_an_axis_that_the_input_does_not_have(op, axis):
    g = Graph(6)
    x = g.input("N", 3, 8, 8)
    others = {"Concat": [x], "TopK": [g.constant([2], "int64")]}.get(op, [])
    outputs = ["a", "b"] if op in ("TopK", "Split") else ()
    made = g.node(op, x, *others, outputs=outputs, axis=axis, **({"num_outputs": 2} if op == "Split" else {}))
    refusal(g.model(made))


@pytest.mark.parametrize("axis", [4, -5, 1 << 40])
@pytest.mark.parametrize("op", ["Squeeze", "ReduceMean", "ReduceMax"])
def test_axes_that_the_input_does_not_have(op, axis):
    g = Graph(7)
    refusal(g.model(g.node(op, g.input("N", 3, 8, 1), g.constant([axis], "int64"))))


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool", "LpPool"])
def test_a_window_that_would_never_be_done(op):
    g = Graph(8)
    options = {"kernel_shape": [(1 << 31) - 1, 2], "auto_pad": "SAME_UPPER"}
    assert "window" in refusal(g.model(g.node(op, g.input("N", 3, 8, 8), **options))).what


def test_a_kernel_larger_than_the_map():
    g = Graph(4)
    error = refusal(g.model(g.node("MaxPool", g.input("N", 3, 4, 4), kernel_shape=[5, 2])))
    assert "covers 5 cells" in error.what


@pytest.mark.parametrize("inputs", [0, 1, 9])
def test_arity(inputs):
    g = Graph(5)
    names = [g.input("N", 3, 8, 8), *(g.random(2, 3, 3, 3) for _ in range(8))][:inputs]
    refusal(g.model(g.node("Conv", *names)))


@pytest.mark.parametrize("size", [-1, 1 << 41, -(1 << 63)])
def test_sizes_of_inputs(size):
    g = Graph(6)
    refusal(g.model(g.node("Relu", g.input("N", size, 3))))


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("../secret", {}),
        ("a/../../secret", {}),
        ("/etc/hostname", {}),
        ("C:\\secret", {}),
        ("..\\secret", {}),
        ("", {}),
        ("missing.bin", {}),
        ("short.bin", {}),
        ("folder", {}),
        ("link.bin", {}),
        ("loop.bin", {}),
        ("good.bin", {"offset": "100"}),
        ("good.bin", {"offset": "-4"}),
        ("good.bin", {"offset": "9" * 30}),
        ("good.bin", {"length": "4"}),
        ("good.bin", {"length": "many"}),
    ],
)
def test_external_data(tmp_path, location, entries):
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(24))
    (folder / "good.bin").write_bytes(bytes(24))
    (folder / "short.bin").write_bytes(bytes(23))
    (folder / "link.bin").symlink_to("../secret")
    (folder / "loop.bin").symlink_to("loop.bin")
    g = Graph(7)
    model = g.model(g.node("Add", g.input("N", 2, 3), "w"))
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[2, 3], data_location=1)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    refusal(folder / "model.onnx")
    refusal(model)


def test_versions():
    for field in (0, -1, 999):
        model = small()
        model.ir_version = field
        assert "IR version" in refusal(model).what
    model = small()
    del model.opset_import[:]
    refusal(model)
    model.opset_import.extend([helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx", 14)])
    assert "two opsets" in refusal(model).what


def test_names_that_are_no_text():
    data = small().SerializeToString()
    assert "not text" in refusal(data.replace(b"Conv", b"Con\xff")).what


def test_function_bombs():
    g = Graph(8)
    g.domains["mine"] = 1
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("mine", 1)]
    for level in range(40):
        op = f"F{level + 1}" if level < 39 else "Relu"
        domain = "mine" if level < 39 else ""
        body = [helper.make_node(op, ["a"], ["b"], domain=domain), helper.make_node(op, ["b"], ["c"], domain=domain)]
        g.functions.append(helper.make_function("mine", f"F{level}", ["a"], ["c"], body, imports))
    model = g.model(g.node("F0", g.input("N", 3), domain="mine"))
    assert "too large" in refusal(model).what
    model.functions[5].node[0].op_type = "F2"
    assert "circle" in refusal(model).what


def test_subgraph_bombs():
    body = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"])], "b", [], [helper.make_empty_tensor_value_info("r")]
    )
    for level in range(15):
        node = helper.make_node("If", ["c"], [f"r{level}"], then_branch=body, else_branch=body)
        body = helper.make_graph([node], "b", [], [helper.make_empty_tensor_value_info(f"r{level}")])
    g = Graph(9)
    g.input("N", 3)
    g.constant(True, "bool", name="c")
    model = g.model(g.node("If", "c", then_branch=body, else_branch=body))
    start = time.monotonic()
    assert "too large" in refusal(model).what
    assert time.monotonic() - start < LIMIT


def test_shape_vectors_of_exponential_length():
    g = Graph(10)
    x = g.input("N", 3)
    y = g.node("Shape", x)
    for _ in range(60):
        y = g.node("Concat", y, y, axis=0)
    start = time.monotonic()
    with contextlib.suppress(UserError):
        load_model(g.model(g.node("Reshape", x, y)))
    assert time.monotonic() - start < LIMIT


def test_a_crash_of_inference_is_an_error_and_the_next_model_loads():
    g = Graph(11)
    x = g.input(2, 3)
    crash = g.model(g.node("LayerNormalization", x, g.random(3), outputs=["y", "m", "d"], axis=1 << 31))
    assert "crashed" in refusal(crash).why
    assert load_model(small())


def test_inference_that_hangs_is_stopped(monkeypatch):
    monkeypatch.setattr(inference, "TIMEOUT", 0.0)
    assert "longer than" in refusal(small()).why
    monkeypatch.undo()
    assert load_model(small())


def attempt(data):
    try:
        bind_shapes(load_model(data))
    except UserError as error:
        return "refused" if error.what else "refused without a word"
    except Exception as error:
        return repr(error)
    return "loaded"


@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_structure])
@pytest.mark.parametrize("block", range(4))
def test_mutated_models(mutate, block):
    """Every mutant loads, or is refused in one message; anything else fails the test and shows the seed."""
    originals = [random_cnn(seed, quantized=bool(seed % 2)).SerializeToString() for seed in range(4)]
    refused = 0
    for seed in range(block * 60, block * 60 + 60):
        data = mutate(originals[seed % 4], seed)
        start = time.monotonic()
        outcome = attempt(data)
        refused += outcome == "refused"
        assert outcome in ("loaded", "refused"), f"seed {seed}"
        assert time.monotonic() - start < LIMIT, f"seed {seed}"
    assert refused > 5, "the mutants are too tame to show anything"


def refers(holder, *, target="p", kind=onnx.AttributeProto.FLOAT):
    """A node whose attribute is a reference, put at the place of a LeakyRelu's alpha."""
    node = onnx.helper.make_node("LeakyRelu", ["a"], ["b"], name="leaky")
    node.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name=target, type=kind))
    nothing = onnx.TensorProto.FLOAT, [1, 3]
    io = [onnx.helper.make_tensor_value_info(name, *nothing) for name in ("a", "b", "x", "y", "c")]
    nodes, functions, imports = [node], [], [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("d", 1)]
    if holder == "branch":
        branch = onnx.helper.make_graph([node], "then", [], [io[1]])
        otherwise = onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["a"], ["e"])],
            "else",
            [],
            [onnx.helper.make_tensor_value_info("e", *nothing)],
        )
        condition = onnx.helper.make_tensor("t", onnx.TensorProto.BOOL, [], [True])
        nodes = [
            onnx.helper.make_node("Constant", [], ["t"], value=condition),
            onnx.helper.make_node("If", ["t"], ["y"], then_branch=branch, else_branch=otherwise),
        ]
    elif holder == "function":
        functions = [onnx.helper.make_function("d", "F", ["a"], ["b"], [node], imports[:1], attributes=["q"])]
        nodes = [onnx.helper.make_node("F", ["a"], ["y"], domain="d", q=0.5)]
    graph = onnx.helper.make_graph(nodes, "g", [io[0]], [io[1] if holder == "graph" else io[3]])
    return onnx.helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=9)


@pytest.mark.parametrize("holder", ["graph", "branch", "function"])
def test_references_to_attributes_that_nobody_declares(holder):
    error = refusal(refers(holder))
    assert "'alpha' refers to 'p'" in error.what
    assert "leaky" in error.where


def test_references_of_functions_are_resolved():
    model = load_model(refers("function", target="q"))
    assert [node.attributes.get_float("alpha") for node in model.graph] == [0.5]
