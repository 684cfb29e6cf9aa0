"""What runs where is decided once: check and deploy say the same, and only what runs on the FPGA is quantized."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sliceflow.build import Built, Target, build, check, quantize_for
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import FpgaStep
from sliceflow.hardware.profile import Profile
from sliceflow.quantization import CalibrationData, QuantizationOptions
from sliceflow.runtime.session import Session
from tests.support.mixed_network import mixed_network
from tests.support.models import Graph, run_model

GLUE = ("QuantizeLinear", "DequantizeLinear", "Flatten", "Reshape")
SMALL = Profile(**{**Profile.load("int8-8x8").to_json(), "name": "small", "bank_words": 64, "accumulator_pixels": 64})
PROFILES = [*(Profile.load(name) for name in ("int8-8x8", "w8a16-8x8", "w4a8-8x8", "int8-4x4")), SMALL]


def target(profile: Profile = PROFILES[0], **options) -> Target:
    widths = {"activation_bits": profile.activation_bits, "weight_bits": profile.weight_bits}
    chosen = QuantizationOptions.for_widths(
        **widths, method="minmax", threads=1, exclude=options.pop("exclude", frozenset())
    )
    return Target(profile=profile, options=chosen, **options)


def samples(model: onnx.ModelProto, count: int = 3, seed: int = 0) -> np.ndarray:
    sizes = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return np.random.default_rng(seed).standard_normal((count, *sizes)).astype(np.float32)


def sqnr(expected: np.ndarray, got: np.ndarray) -> float:
    noise = float(np.square(expected.astype(np.float64) - got).sum())
    return 10 * np.log10(float(np.square(expected.astype(np.float64)).sum()) / noise) if noise else np.inf


def answers(built: Built, x: np.ndarray) -> list[np.ndarray]:
    with Session(built.program, device="reference") as session:
        return session.run(None, {"x": x})


def deployed(model: onnx.ModelProto, wanted: Target | None = None, seed: int = 0) -> tuple[Built, np.ndarray]:
    x = samples(model, 8, seed)
    return build(load_model(model), wanted or target(), CalibrationData({"x": x}), name="m"), x


def reasons(built: Built) -> dict[str, str]:
    """Why each computing node of the program runs on the CPU."""
    return {
        layer.name: layer.reason for layer in built.program.layers if layer.placement == "cpu" and layer.op not in GLUE
    }


def launches(built: Built) -> int:
    return sum(isinstance(step, FpgaStep) for step in built.program.steps)


def assert_float_on_the_cpu(model: ir.Model, cpu: set[str]) -> None:
    """A CPU node has float weights, and reads a quantized tensor only if an accelerator layer made it."""
    for node in model.graph:
        for value in node.inputs if node.name in cpu else ():
            producer = value.producer() if value is not None else None
            if producer is not None and producer.op_type == "DequantizeLinear":
                maker = producer.inputs[0].producer()
                source = None if maker is None else maker.inputs[0].producer()
                assert source is not None, f"{node.name} reads {value.name}"
                assert source.name not in cpu, f"{node.name} reads {value.name}"


@pytest.mark.parametrize("seed", range(12))
def test_check_promises_what_deploy_keeps(seed: int) -> None:
    proto = mixed_network(np.random.default_rng(seed), 6 + seed % 9)
    model, wanted = load_model(proto), target(PROFILES[seed % len(PROFILES)])
    found, macs = check(model, wanted)
    if not any(node.op_type not in GLUE and node.name not in {f.node for f in found} for node in model.graph):
        with pytest.raises(UserError, match="no layer of the model can run"):
            deployed(proto, wanted, seed)
        return
    built, x = deployed(proto, wanted, seed)
    assert {f.node: f.reason for f in found} == reasons(built), seed
    assert macs == sum(layer.macs or 0 for layer in built.program.fpga_layers), seed
    on_cpu = [layer for layer in built.program.layers if layer.placement == "cpu"]
    assert not [layer.name for layer in on_cpu if layer.op in ("QuantizeLinear", "DequantizeLinear")], seed
    assert_float_on_the_cpu(built.model, {f.node for f in found})
    for expected, got in zip(run_model(built.model, {"x": x}), answers(built, x), strict=True):
        assert sqnr(expected, got) > 30, seed
    again, macs_again = check(built.model, wanted)  # quantize, then deploy what it wrote
    assert ({f.node for f in again}, macs_again) == ({f.node for f in found}, macs), seed


def convolution(g: Graph, source: str, inputs: int, outputs: int, kernel: int = 3) -> str:
    weights = g.rng.standard_normal((outputs, inputs, kernel, kernel)) / np.sqrt(inputs * kernel * kernel)
    return g.node("Conv", source, g.constant(weights), g.random(outputs), pads=[kernel // 2] * 4)


def test_check_needs_no_samples() -> None:
    """Random ones would be below zero, and make NaN of a square root."""
    g = Graph()
    middle = g.node("Sqrt", convolution(g, g.input(1, 8, 16, 16), 8, 16))
    model = g.model(convolution(g, middle, 16, 16))
    assert check(load_model(model), target())[0] == []


@pytest.mark.parametrize("joined", ["early", "late"])
def test_boxes_and_scores_keep_their_own_ranges(joined: str) -> None:
    """A detector's tail on the CPU: pixels and probabilities in one output."""
    g = Graph(3)
    body = g.node("Relu", convolution(g, g.input("n", 8, 12, 12), 8, 32))
    heads = [convolution(g, body, 32, size, kernel=1) for size in (4, 6)]
    heads[1] = g.node("Sigmoid", heads[1])

    def rows(source: str, size: int) -> str:
        return g.node("Transpose", g.node("Reshape", source, g.constant([0, size, -1], "int64")), perm=[0, 2, 1])

    if joined == "early":  # on maps that the accelerator has made, as its own layer could do it
        together = rows(g.node("Concat", *heads, axis=1), 10)
        parts = [
            g.node("Slice", together, g.constant([a], "int64"), g.constant([b], "int64"), g.constant([2], "int64"))
            for a, b in ((0, 4), (4, 10))
        ]
    else:
        parts = [rows(heads[0], 4), rows(heads[1], 6)]
    boxes = g.node("Mul", g.node("Exp", parts[0]), g.constant(400.0))
    model = g.model(g.node("Concat", boxes, parts[1], axis=2))
    built, x = deployed(model)
    if joined == "early":
        scales = [step.tensor for step in built.program.steps if getattr(step, "direction", "") == "to_host"]
        assert len({built.program.tensors[name].scale for name in scales}) == 2
    (exact,), (got,) = run_model(model, {"x": x}), answers(built, x)
    assert sqnr(exact[..., :4], got[..., :4]) > 30
    assert sqnr(exact[..., 4:], got[..., 4:]) > 30


def test_a_view_in_front_of_both_sides_is_read_in_float_by_the_cpu() -> None:
    g = Graph()
    turned = g.node("Transpose", g.input("n", 16, 16, 16), perm=[0, 1, 3, 2])
    view = g.node("Reshape", turned, g.constant([0, 16, 8, 32], "int64"))
    on_cpu = g.node("Softmax", view, axis=1)
    model = g.model(convolution(g, view, 16, 16), on_cpu)
    built, x = deployed(model)
    np.testing.assert_allclose(answers(built, x)[1], run_model(model, {"x": x})[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["Transpose", "MaxPool"])
def test_what_the_cpu_only_moves_is_rounded_once(kind: str) -> None:
    g = Graph()
    first = convolution(g, g.input("n", 16, 32, 32), 16, 32)
    attributes = {"perm": [0, 1, 3, 2]} if kind == "Transpose" else {"kernel_shape": [11, 11], "pads": [5] * 4}
    moved = g.node(kind, first, **attributes)
    model = g.model(convolution(g, moved, 32, 16))
    built, _ = deployed(model)
    assert list(reasons(built)) == [moved]
    assert launches(built) == 2
    crossing = [built.program.tensors[step.tensor] for step in built.program.steps if hasattr(step, "tensor")]
    assert crossing[1].scale == crossing[2].scale
    assert crossing[1].zero_point == crossing[2].zero_point


def test_nodes_that_the_user_keeps_off_the_fpga_stay_float() -> None:
    g = Graph()
    names = [convolution(g, g.input("n", 8, 32, 32), 8, 32)]
    for _ in range(3):
        names.append(convolution(g, names[-1], 32, 32))
    wanted = target(cpu_nodes=[names[1]], exclude=frozenset({names[2]}))
    model = g.model(names[-1])
    built, _ = deployed(model, wanted)
    assert reasons(built) == {names[1]: "you asked for the CPU (--cpu)", names[2]: "you left it in float (--exclude)"}
    assert_float_on_the_cpu(built.model, set(names[1:3]))
    assert [f.node for f in check(load_model(model), wanted)[0]] == names[1:3]


@pytest.mark.parametrize("seed", range(4))
def test_nearly_dead_channels_of_a_residual_block_map(seed: int) -> None:
    """As folded batch normalization and pruning leave them: weights that hardly count, a bias that may."""
    rng = np.random.default_rng(seed)
    profile = PROFILES[seed % len(PROFILES[:4])]
    g = Graph(seed)
    x = g.node("Relu", convolution(g, g.input("n", 8, 16, 16), 8, 16))
    weights = rng.standard_normal((16, 16, 3, 3)) / 12 * 10.0 ** rng.choice([0, 0, -6, -9, -20, -40], (16, 1, 1, 1))
    bias = rng.standard_normal(16) * 10.0 ** rng.integers(-8, 1, 16)
    branch = g.node("Conv", x, g.constant(weights), g.constant(bias), pads=[1] * 4)
    y = g.node("Relu", g.node("Add", branch, x))
    model = g.model(convolution(g, y, 16, 16))
    assert check(load_model(model), target(profile))[0] == []
    built, images = deployed(model, target(profile), seed)
    assert reasons(built) == {}
    assert launches(built) == 1
    (exact,), (got,) = run_model(built.model, {"x": images}), answers(built, images)
    step = next(
        iter(t.scale for name, t in built.program.tensors.items() if name == built.program.layers[-1].inputs[0])
    )
    assert np.abs(exact - got).max() <= (1.01 if profile.activation_bits == 8 else 8) * step


def test_what_no_descriptor_holds_goes_to_the_cpu_in_both() -> None:
    g = Graph()
    long = convolution_1d(g, g.input("n", 1, 70000), 1)
    model = g.model(convolution_1d(g, g.node("MaxPool", long, kernel_shape=[8], strides=[700]), 8))
    found, _ = check(load_model(model), target())
    built, _ = deployed(model)
    assert {f.node: f.reason for f in found} == reasons(built)


def convolution_1d(g: Graph, source: str, inputs: int) -> str:
    return g.node("Conv", source, g.constant(g.rng.standard_normal((8, inputs, 3))), pads=[1, 1])


def test_a_float_profile_has_nothing_to_quantize() -> None:
    g = Graph()
    model = load_model(g.model(convolution(g, g.input("n", 8, 8, 8), 8, 8)))
    with pytest.raises(UserError, match="floating point"):
        quantize_for(model, Target(profile=Profile.load("fp32-4x4")), CalibrationData({"x": np.zeros((1, 8, 8, 8))}))
    assert check(model, Target(profile=Profile.load("fp32-4x4")))[0] == []


def test_samples_are_needed_to_deploy() -> None:
    g = Graph()
    model = load_model(g.model(convolution(g, g.input("n", 8, 8, 8), 8, 8)))
    with pytest.raises(UserError, match="no samples"):
        build(model, target(), name="m")
