"""Multiply-accumulates of nodes, against counts written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from sliceflow.frontend import load_model
from sliceflow.passes.layer_costs import layer_costs
from sliceflow.passes.macs import macs_of, total
from sliceflow.report.shares import MacShare, share_text, uncounted_text
from tests.support.models import Graph

CONTRIB = "com.microsoft"


def w(g: Graph, *shape: int, dtype: str = "float32") -> str:
    return g.constant(g.rng.integers(-3, 4, shape), dtype)


def qlinear_conv(g: Graph, x: str) -> str:
    s, z = g.constant(0.1), g.constant(3, "uint8")
    stored = g.node("QuantizeLinear", x, s, z)
    return g.node(
        "QLinearConv", stored, s, z, w(g, 5, 4, 3, 3, dtype="int8"), g.node("Abs", s), w(g, dtype="int8"), s, z
    )


def recurrent(op: str, gates: int, count: int = 1, **options):
    def build(g: Graph, x: str) -> str:
        data = g.node("Squeeze", g.node("Slice", x, ints(g, 0), ints(g, 1), ints(g, 3)), ints(g, 3))  # 1 x 4 x 8
        return g.node(op, data, w(g, count, gates * 6, 8), w(g, count, gates * 6, 6), hidden_size=6, **options)

    return build


def ints(g: Graph, *numbers: int) -> str:
    return g.constant(list(numbers), "int64")


def attention(g: Graph, x: str) -> str:
    """1 x 4 x 8 x 6 as queries: 4 heads, 8 steps, 6 wide; keys of 9 steps, values 5 wide."""
    return g.node("Attention", x, w(g, 1, 4, 9, 6), w(g, 1, 4, 9, 5))


def multi_head(g: Graph, x: str) -> str:
    data = g.node("Squeeze", g.node("Slice", x, ints(g, 0), ints(g, 1), ints(g, 3)), ints(g, 3))  # 4 steps, 8 wide
    return g.node("MultiHeadAttention", data, w(g, 1, 9, 8), w(g, 1, 9, 8), num_heads=2, domain=CONTRIB)


def self_attention(g: Graph, x: str) -> str:
    data = g.node("Squeeze", g.node("Slice", x, ints(g, 0), ints(g, 1), ints(g, 3)), ints(g, 3))
    return g.node("Attention", data, w(g, 8, 18), w(g, 18), num_heads=2, domain=CONTRIB)


def loop(rounds: int | None, *, counted: bool = True, stops: bool = False):
    def build(g: Graph, x: str) -> str:
        infos = [helper.make_tensor_value_info(n, t, s) for n, t, s in (("i", 7, []), ("c", 9, []), ("s", 1, [4, 4]))]
        weights = [numpy_helper.from_array(np.ones((4, 4), "f4"), "m"), numpy_helper.from_array(np.int64(1), "one")]
        last = helper.make_node("Less", ["i", "one"], ["d"]) if stops else helper.make_node("Identity", ["c"], ["d"])
        product = helper.make_node("MatMul" if counted else "Add", ["s", "m"], ["r"])
        results = [helper.make_tensor_value_info("d", 9, []), helper.make_tensor_value_info("r", 1, [4, 4])]
        body = helper.make_graph([last, product], "body", infos, results, weights)
        if rounds is None:
            many = g.node("Cast", g.node("ReduceMax", x, keepdims=0), to=TensorProto.INT64)
        else:
            many = g.constant(rounds, "int64")
        return g.node("Loop", many, g.constant(True, "bool"), w(g, 4, 4), body=body)

    return build


def branches(*sizes: int):
    def build(g: Graph, x: str) -> str:
        found = {}
        for name, size in zip(("then_branch", "else_branch"), sizes, strict=True):
            tensor = numpy_helper.from_array(np.ones((5, size), "f4"), f"m{name}")
            other = numpy_helper.from_array(np.ones((size, 3), "f4"), f"n{name}")
            node = helper.make_node("MatMul", [tensor.name, other.name], [f"t{name}"])
            result = helper.make_tensor_value_info(f"t{name}", 1, [5, 3])
            inputs = [tensor, other] if size else []
            found[name] = helper.make_graph([node], name, [], [result], inputs)
        flag = g.node("Cast", g.node("ReduceMax", x, keepdims=0), to=TensorProto.BOOL)
        return g.node("If", flag, **found)

    return build


def scan(g: Graph, x: str) -> str:
    infos = [helper.make_tensor_value_info("s", 1, [1, 3]), helper.make_tensor_value_info("e", 1, [1, 3])]
    weights = [numpy_helper.from_array(np.ones((3, 3), "f4"), "m")]
    nodes = [helper.make_node("MatMul", ["s", "m"], ["p"]), helper.make_node("Add", ["p", "e"], ["r"])]
    nodes.append(helper.make_node("Identity", ["r"], ["o"]))
    results = [helper.make_tensor_value_info("r", 1, [1, 3]), helper.make_tensor_value_info("o", 1, [1, 3])]
    body = helper.make_graph(nodes, "body", infos, results, weights)
    return g.node("Scan", w(g, 1, 3), w(g, 7, 1, 3), outputs=["last", "all"], body=body, num_scan_inputs=1)


CASES = {
    "Conv": (lambda g, x: g.node("Conv", x, w(g, 5, 4, 3, 3), strides=[2, 2]), 5 * 3 * 2 * 4 * 9),
    "Conv, grouped": (lambda g, x: g.node("Conv", x, w(g, 8, 2, 3, 3), group=2), 8 * 6 * 4 * 2 * 9),
    "ConvTranspose": (lambda g, x: g.node("ConvTranspose", x, w(g, 4, 5, 3, 3)), 4 * 8 * 6 * 5 * 9),
    "QLinearConv": (qlinear_conv, 5 * 6 * 4 * 4 * 9),
    "MatMul of rows": (lambda g, x: g.node("MatMul", x, w(g, 6, 10)), 4 * 8 * 6 * 10),
    "MatMul of a vector": (lambda g, x: g.node("MatMul", x, w(g, 6)), 4 * 8 * 6),
    "FusedMatMul": (lambda g, x: g.node("FusedMatMul", x, w(g, 10, 6), transB=1, domain=CONTRIB), 4 * 8 * 6 * 10),
    "MatMulNBits": (lambda g, x: g.node("MatMulNBits", x, w(g, 10, 1, 16), K=6, N=10, domain=CONTRIB), 4 * 8 * 6 * 10),
    "MatMul of activations": (lambda g, x: g.node("MatMul", x, g.node("Transpose", x, perm=[0, 1, 3, 2])), 4 * 64 * 6),
    "LSTM": (recurrent("LSTM", 4), 4 * (24 * 8 + 24 * 6)),
    "GRU": (recurrent("GRU", 3, 2, direction="bidirectional"), 4 * 2 * (18 * 8 + 18 * 6)),
    "RNN": (recurrent("RNN", 1), 4 * (6 * 8 + 6 * 6)),
    "Attention": (attention, 4 * 8 * 9 * (6 + 5)),
    "MultiHeadAttention": (multi_head, 4 * 9 * (8 + 8)),
    "self-attention": (self_attention, 4 * 8 * 18 + 4 * 4 * (6 + 6)),
    "Einsum": (lambda g, x: g.node("Einsum", x, w(g, 4, 6, 2), equation="bchw,cwo->bcho"), 4 * 8 * 6 * 2),
    "Einsum of one": (lambda g, x: g.node("Einsum", x, equation="bchw->bc"), 0),
    "Loop": (loop(5), 5 * 64),
    "Loop, no products": (loop(None, counted=False), 0),
    "Loop, rounds unknown": (loop(None), None),
    "Loop, may stop": (loop(5, stops=True), None),
    "If": (branches(2, 2), 5 * 2 * 3),
    "If, unequal": (branches(2, 4), None),
    "Scan": (scan, 7 * 9),
    "Relu": (lambda g, x: g.node("Relu", x), 0),
    "AveragePool": (lambda g, x: g.node("AveragePool", x, kernel_shape=[2, 2]), 0),
    "Resize": (lambda g, x: g.node("Resize", x, "", g.constant([1, 1, 2, 2])), 0),
    "DFT": (lambda g, x: g.node("DFT", x, "", ints(g, 2)), None),
    "CDist": (lambda g, x: g.node("CDist", x, x, domain=CONTRIB), None),
    "FastGelu": (lambda g, x: g.node("FastGelu", x, domain=CONTRIB), 0),
    "foreign": (lambda g, x: g.node("Mystery", x, domain="somebody.else"), None),
}


@pytest.mark.parametrize("name", CASES)
def test_count(name):
    build, expected = CASES[name]
    g = Graph(1, opset=23 if name == "Attention" else 21)
    g.domains = {CONTRIB: 1, "somebody.else": 1}
    g.output(build(g, g.input(1, 4, 8, 6)))
    after = load_model(g.model())
    assert total(macs_of(node) for node in after.graph) == expected


def test_symbols_and_fixed_batches_count_once():
    for batch in ("N", 1, 8):
        g = Graph(2)
        y = g.node("Flatten", g.node("Conv", g.input(batch, 3, 8, 8), w(g, 4, 3, 3, 3)))
        after = load_model(g.model(g.node("Gemm", y, w(g, 144, 10))))
        assert [cost.macs for cost in layer_costs(after).values()] == [4 * 27 * 36, 1440], batch


def test_an_open_map_is_not_counted():
    g = Graph(3)
    after = load_model(g.model(g.node("Conv", g.input("N", 3, "H", "W"), w(g, 4, 3, 3, 3))))
    assert [macs_of(node) for node in after.graph] == [None]


def test_a_share_promises_no_more_than_is_known():
    known = MacShare.of(750, [("a", 250), ("b", 0)])
    assert known.to_json() == {"fpga_macs": 750, "fpga_share": 0.75, "uncounted": []}
    assert share_text(known.value, []) + uncounted_text([]) == "75.0 %"
    names = [f"n{index}" for index in range(5)]
    open_ended = MacShare.of(750, [("a", 0), *((name, None) for name in names)])
    assert open_ended.value == 1.0
    assert share_text(open_ended.value, names) == "an unknown share"
    assert share_text(0.71, names) == "at most 71.0 %"
    assert uncounted_text(names) == "; how many MACs n0, n1, n2 and 2 more take on the CPU is not known"
    assert MacShare.of(0, []).value == 0.0
