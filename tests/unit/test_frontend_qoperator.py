"""Operator-oriented quantization (QLinearConv, QGemm ...), against the operators' definitions in NumPy.

ONNX Runtime's own kernels are no oracle: on some processors they saturate.
"""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from onnx import TensorProto, helper

from sliceflow.errors import UserError
from sliceflow.frontend import load_model, notes_of
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import check
from tests.support.models import Graph, operators, run_model
from tests.support.qoperators import Grid, assert_rounded, conv

CONTRIB = "com.microsoft"
TENSOR = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}
PROFILE = Profile.load("int8-8x8")
SEEDS = range(4)


class Case:
    """One operator over integer inputs, and what its definition gives."""

    def __init__(self, seed: int, opset: int = 13) -> None:
        self.g = Graph(seed, opset=opset, ir_version=8)
        self.g.domains[CONTRIB] = 1
        self.rng, self.seed = self.g.rng, seed
        self.kind = "uint8" if seed % 2 else "int8"
        self.feeds: dict[str, np.ndarray] = {}
        self.result = Grid.random(self.rng, self.kind)

    def operand(self, *shape: int) -> tuple[list[str], np.ndarray, Grid]:
        """The three inputs that stand for a tensor, its integers and their grid."""
        grid = Grid.random(self.rng, self.kind)
        stored = grid.values(self.rng, *shape)
        name = self.g.input(*shape, dtype=TENSOR[self.kind])
        self.feeds[name] = stored
        return [name, *grid.names(self.g, vector=bool(self.rng.integers(2)))], stored, grid

    def results(self) -> list[str]:
        return list(self.result.names(self.g))

    def verify(
        self, op: str, inputs: list[str], real: np.ndarray, *, contrib: bool = True, maps: bool = True, **attributes
    ):
        """Compare the rewritten model with the real numbers of the definition, and look whether all of it maps."""
        domain = {"domain": CONTRIB} if contrib else {}
        self.g.output(self.g.node(op, *inputs, **domain, **attributes), None, TENSOR[self.kind])
        after = load_model(self.g.model())
        assert {node.domain for node in after.graph} == {""}
        assert not [name for name in operators(after) if name.startswith(("QLinear", "QGemm"))]
        assert any("became QuantizeLinear" in note for note in notes_of(after))
        (found,) = run_model(after, self.feeds)
        assert_rounded(found, self.result.steps(real), self.kind, f"{op}, seed {self.seed}")
        assert not maps or check(after, PROFILE)[0] == []
        return after


def weights(
    case: Case, shape: tuple[int, ...], axis: int, *, channels: bool, zero: bool
) -> tuple[list[str], Grid, np.ndarray]:
    count = shape[axis] if channels else 1
    scale = case.rng.uniform(0.001, 0.004, count).astype(np.float32)
    zeros = case.rng.integers(-20, 20, count) if zero else np.zeros(count, int)
    grid = Grid(scale, zeros if zero else 0, "int8") if channels else Grid(scale[0], int(zeros[0]), "int8")
    stored = grid.values(case.rng, *shape)
    return [case.g.constant(stored, "int8"), *grid.names(case.g)], grid, stored


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize("contrib", [True, False])
def test_conv(seed, channels, contrib):
    case = Case(seed)
    group, stride = (3, 2) if seed == 2 else (1, 1)
    x, stored, grid = case.operand(1, 6, 9, 9)
    w, w_grid, values = weights(case, (9, 6 // group, 3, 3), 0, channels=channels, zero=seed == 3)
    bias = case.rng.integers(-3000, 3000, 9)
    b = [case.g.constant(bias, "int32")] if seed else []
    zeros = np.reshape(w_grid.zero, (-1, 1, 1, 1))
    sums = conv(stored.astype(int) - grid.zero, values.astype(int) - zeros, pads=1, stride=stride, group=group)
    sums += bias.reshape(1, -1, 1, 1) if seed else 0
    real = sums * float(grid.scale) * np.reshape(w_grid.scale, (-1, 1, 1)).astype(np.float64)
    attributes = {"pads": [1, 1, 1, 1], "strides": [stride] * 2, "group": group}
    case.verify("QLinearConv", [*x, *w, *case.results(), *b], real, contrib=contrib, **attributes)


@pytest.mark.parametrize("seed", SEEDS)
def test_conv_with_the_channels_last(seed):
    case = Case(seed)
    x, stored, grid = case.operand(1, 9, 9, 6)
    w, w_grid, values = weights(case, (8, 6, 3, 3), 0, channels=True, zero=False)
    sums = conv(np.moveaxis(stored.astype(int) - grid.zero, -1, 1), values)
    real = sums * float(grid.scale) * w_grid.scale.reshape(-1, 1, 1).astype(np.float64)
    inputs = [*x, *w, *case.results()]
    case.verify("QLinearConv", inputs, np.moveaxis(real, 1, -1), channels_last=1, maps=False)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("columns", [True, False])
def test_matmul(seed, columns):
    case = Case(seed)
    x, stored, grid = case.operand(1, 20)
    w, w_grid, values = weights(case, (20, 7), 1, channels=columns, zero=seed == 3)
    real = grid.real(stored) @ w_grid.real(values, 1 if columns else None)
    case.verify("QLinearMatMul", [*x, *w, *case.results()], real, contrib=False)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(seed, transposed):
    case, alpha = Case(seed), [1.0, 0.5, 2.0, 1.0][seed]
    x, stored, grid = case.operand(1, 20)
    shape = (7, 20) if transposed else (20, 7)
    axis = 0 if transposed else 1
    w, w_grid, values = weights(case, shape, axis, channels=seed > 1, zero=False)
    bias = case.rng.integers(-3000, 3000, (1, 7) if seed == 3 else 7)
    c = case.g.constant(bias, "int32") if seed else ""
    matrix = w_grid.real(values, axis if seed > 1 else None)
    product = grid.real(stored) @ (matrix.T if transposed else matrix)
    real = alpha * (product + (bias * np.float64(grid.scale) * w_grid.scale if seed else 0))
    case.verify("QGemm", [*x, *w, c, *case.results()], real, alpha=alpha, transB=transposed)


def test_gemm_with_a_float_result():
    case = Case(5)
    x, stored, grid = case.operand(1, 20)
    w, w_grid, values = weights(case, (7, 20), 0, channels=False, zero=False)
    case.g.output(case.g.node("QGemm", *x, *w, domain=CONTRIB, transB=1), None)
    (found,) = run_model(load_model(case.g.model()), case.feeds)
    np.testing.assert_allclose(found, grid.real(stored) @ w_grid.real(values).T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_add_and_mul(seed, op):
    case = Case(seed)
    (a, first, one), (b, second, other) = case.operand(1, 5, 6, 6), case.operand(1, 5, 6, 6)
    real = (np.add if op == "Add" else np.multiply)(one.real(first), other.real(second))
    case.verify(f"QLinear{op}", [*a, *b, *case.results()], real, maps=op == "Add")


@pytest.mark.parametrize("seed", SEEDS)
def test_concat(seed):
    case = Case(seed)
    parts = [case.operand(1, channels, 5, 5) for channels in (3, 8, 2)]
    real = np.concatenate([grid.real(stored) for _, stored, grid in parts], axis=1)
    inputs = [*case.results(), *(name for names, _, _ in parts for name in names)]
    case.verify("QLinearConcat", inputs, real, axis=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("last", [0, 1])
def test_pools(seed, last):
    case = Case(seed)
    x, stored, grid = case.operand(1, 8, 8, 4) if last else case.operand(1, 4, 8, 8)
    real = grid.real(stored)
    real = np.moveaxis(real, -1, 1) if last else real
    if seed < 2:
        op, attributes, real = "QLinearGlobalAveragePool", {}, real.mean((2, 3), keepdims=True)
    else:
        op, attributes = "QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}
        real = real.reshape(1, 4, 4, 2, 4, 2).mean((3, 5))
    real = np.moveaxis(real, 1, -1) if last else real
    case.verify(op, [*x, *case.results()], real, maps=not last, channels_last=last, **attributes)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("op", ["LeakyRelu", "Sigmoid", "Softmax", "ReduceMean"])
def test_functions(seed, op):
    case = Case(seed)
    shape = (1, 6) if op == "Softmax" else (1, 4, 5, 5)
    x, stored, grid = case.operand(*shape)
    if op in ("Sigmoid", "Softmax"):
        case.result = Grid(np.float32(1 / 256), -128 if case.kind == "int8" else 0, case.kind)
    real, attributes = grid.real(stored), {}
    if op == "LeakyRelu":
        attributes, real = {"alpha": 0.1}, np.where(real < 0, np.float32(0.1) * real, real)
    elif op == "Sigmoid":
        real = 1 / (1 + np.exp(-real))
    elif op == "Softmax":
        power = np.exp(real - real.max())
        attributes, real = {"axis": -1, "opset": 11 + seed}, power / power.sum(-1, keepdims=True)
    else:
        attributes, real = {"axes": [2, 3], "keepdims": 1}, real.mean((2, 3), keepdims=True)
    case.verify(f"QLinear{op}", [*x, *case.results()], real, maps=op != "Softmax", **attributes)


@pytest.mark.parametrize("seed", SEEDS)
def test_where(seed):
    case = Case(seed)
    (a, first, one), (b, second, other) = case.operand(1, 5, 6), case.operand(1, 5, 6)
    chosen = case.rng.random((1, 5, 6)) < 0.5
    condition = case.g.constant(chosen, "bool")
    real = np.where(chosen, one.real(first), other.real(second))
    case.verify("QLinearWhere", [condition, *a, *b, *case.results()], real, maps=False)


def test_a_missing_zero_point_is_zero_of_the_operands_type():
    case = Case(2)
    case.result = Grid(np.float32(0.07), 0, "int8")
    name = case.g.input(1, 4, dtype=TensorProto.INT8)
    case.feeds[name] = np.array([[-128, 3, 77, 127]], np.int8)
    real = Grid(np.float32(0.05), 0, "int8").real(case.feeds[name])
    inputs = [name, case.g.constant(0.05), "", case.g.constant(0.07)]
    case.verify("QLinearLeakyRelu", inputs, np.where(real < 0, np.float32(0.01) * real, real))


@pytest.mark.parametrize("broken", ["rows", "computed"])
def test_what_has_no_standard_form_stays_and_is_named(broken):
    case = Case(1)
    x, _, _ = case.operand(1, 20) if broken == "computed" else case.operand(2, 20)
    w, _, _ = weights(case, (20, 7), 1, channels=False, zero=False)
    if broken == "rows":
        x[1:] = [case.g.constant([0.1, 0.2]), case.g.constant([3, 4], "uint8")]
        op = "QLinearMatMul"
    else:
        w[1] = case.g.input(1, name="scale")
        op = "QGemm"
    tail = ["", *case.results()] if op == "QGemm" else case.results()
    domain = {"domain": CONTRIB} if op == "QGemm" else {}
    case.g.output(case.g.node(op, *x, *w, *tail, **domain), None, TensorProto.UINT8)
    after = load_model(case.g.model())
    assert op in operators(after)
    (finding,) = check(after, PROFILE)[0]
    assert op in finding.reason


def test_a_network_of_them_maps_as_a_whole():
    """What ONNX Runtime's quantizer writes: pools, reshapes and concatenations work on integers in between."""
    case = Case(1)
    g, rng = case.g, case.rng
    g.inputs, g.initializers = [], []
    grid = [Grid.random(rng) for _ in range(4)]
    names = [each.names(g) for each in grid]
    y = g.node("QuantizeLinear", g.input("N", 3, 12, 12), *names[0])
    w, _, _ = weights(case, (8, 3, 3, 3), 0, channels=True, zero=False)
    y = g.node("QLinearConv", y, *names[0], *w, *names[1], g.constant(rng.integers(-99, 99, 8), "int32"))
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = g.node("Pad", y, g.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64"), g.constant(grid[1].zero, "uint8"))
    w, _, _ = weights(case, (8, 8, 3, 3), 0, channels=False, zero=False)
    z = g.node("QLinearConv", y, *names[1], *w, *names[2])
    y = g.node("QLinearAdd", z, *names[2], z, *names[2], *names[2], domain=CONTRIB)
    y = g.node("QLinearConcat", *names[3], y, *names[2], z, *names[2], axis=1, domain=CONTRIB)
    y = g.node("QLinearGlobalAveragePool", y, *names[3], *names[3], domain=CONTRIB)
    y = g.node("Flatten", y)
    w, _, _ = weights(case, (5, 16), 0, channels=False, zero=False)
    y = g.node("QGemm", y, *names[3], *w, "", *names[3], domain=CONTRIB, transB=1)
    model = g.model(g.node("DequantizeLinear", y, *names[3]))
    after = load_model(model)
    findings, macs = check(after, PROFILE)
    assert findings == []
    assert macs == 8 * 27 * 100 + 8 * 72 * 25 + 80
    assert [value.name for value in after.graph.outputs] == [value.name for value in model.graph.output]


def test_moves_of_integers_by_several_outputs_and_readers():
    g = Graph(3)
    stored = g.input(2, 6, 4, 4, dtype=TensorProto.INT8)
    first = g.node("Split", stored, outputs=["a", "b"], axis=1, num_outputs=2)
    second = g.node("Slice", "b", *(g.constant([number], "int64") for number in (0, 2, 0)))
    parameters = [g.constant(0.1), g.constant(3, "int8")]
    g.output(g.node("DequantizeLinear", g.node("Transpose", first, perm=[0, 2, 3, 1]), *parameters))
    g.output(g.node("DequantizeLinear", g.node("DepthToSpace", second, blocksize=1), *parameters))
    model = g.model()
    feeds = {stored: np.random.default_rng(1).integers(-128, 128, (2, 6, 4, 4), dtype=np.int8)}
    for expected, found in zip(run_model(model, feeds), run_model(load_model(model), feeds), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("inputs", [["x"], ["x", "s"], ["s", "x", "x"], ["", "x", "x", "s", "x"]])
@pytest.mark.parametrize(
    "op", ["QLinearConcat", "QLinearAdd", "QLinearConv", "QGemm", "QLinearSigmoid", "QLinearWhere"]
)
def test_a_damaged_node_is_refused_or_left(op, inputs):
    nodes = [helper.make_node(op, inputs, ["y"], domain=CONTRIB)]
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 4])
    s = helper.make_tensor_value_info("s", TensorProto.FLOAT, [])
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, None)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x, s], [y]), opset_imports=imports, ir_version=8)
    with contextlib.suppress(UserError):
        assert operators(load_model(model)) == [op]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("channels", [True, False])
@pytest.mark.parametrize("made", [True, False])
def test_integer_convolution_with_constant_scales(seed, channels, made):
    """Cast and Mul behind ConvInteger; its data from a QuantizeLinear, or fed as integers."""
    case = Case(seed)
    g, factor = case.g, case.rng.uniform(0.0001, 0.0004, 6 if channels else 1).astype(np.float32)
    x, stored, grid = case.operand(1, 4, 8, 8)
    if made:
        g.inputs.clear()
        x[0] = g.node("QuantizeLinear", g.input(1, 4, 8, 8, name="real"), *x[1:])
        case.feeds = {"real": grid.real(stored).astype(np.float32)}
    w = case.rng.integers(-128, 128, (6, 4, 3, 3))
    zeros = [] if seed == 0 else [x[2], g.constant(5, "int8")]
    sums = g.node("ConvInteger", x[0], g.constant(w, "int8"), *zeros)
    scaled = g.node("Mul", g.node("Cast", sums, to=1), g.constant(factor.reshape((1, 6, 1, 1) if channels else ())))
    g.output(g.node("QuantizeLinear", scaled, *case.results()), None, TENSOR[case.kind])
    after = load_model(g.model())
    centred = (stored.astype(int), w) if seed == 0 else (stored.astype(int) - grid.zero, w - 5)
    if seed == 0 and made:
        case.feeds = {"real": grid.real(stored).astype(np.float32)}
    (found,) = run_model(after, case.feeds)
    real = conv(*centred) * factor.reshape(-1, 1, 1).astype(np.float64)
    assert_rounded(found, case.result.steps(real), case.kind, f"seed {seed}")
    assert "ConvInteger" not in operators(after)
    assert seed == 0 or check(after, PROFILE)[0] == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("columns", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_integer_matrix_with_constant_scales(seed, columns, fused):
    case = Case(seed)
    g, scale = case.g, case.rng.uniform(0.001, 0.004, 7 if columns else 1).astype(np.float32)
    x, stored, grid = case.operand(1, 20)
    w, bias = case.rng.integers(-128, 128, (20, 7)), case.rng.uniform(-1, 1, 7).astype(np.float32)
    weights, zero = g.constant(w, "int8"), g.constant(np.full(7, 3) if columns else 3, "int8")
    if fused:
        own = g.constant(scale if columns else scale[0])
        inputs = [x[0], weights, x[1], own, x[2], zero, g.constant(bias)]
        y = g.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB)
    else:
        sums = g.node("Cast", g.node("MatMulInteger", x[0], weights, x[2], zero), to=1)
        y = g.node("Add", g.node("Mul", g.constant(scale * grid.scale), sums), g.constant(bias))
    g.output(g.node("QuantizeLinear", y, *case.results()), None, TENSOR[case.kind])
    after = load_model(g.model())
    (found,) = run_model(after, case.feeds)
    real = grid.real(stored) @ ((w - 3) * scale.astype(np.float64)) + bias
    assert_rounded(found, case.result.steps(real), case.kind, f"seed {seed}")
    assert check(after, PROFILE)[0] == []
