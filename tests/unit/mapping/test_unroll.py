"""Stems whose kernel the host unrolls: the same integers as ONNX Runtime's, and as without."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sliceflow.frontend import load_model
from sliceflow.graph import geometry
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.graph.descriptor import Op
from sliceflow.graph.program import Program, TransformStep, Unrolling
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model, unroll
from sliceflow.quantization import CalibrationData, quantize
from sliceflow.runtime.session import Session
from tests.support.models import Graph
from tests.support.random_network import run_onnxruntime
from tests.support.random_stem import Stem, random_stem, stem_model

RESNET = Stem(channels=3, size=(64, 64), outputs=64, kernel=(7, 7), stride=(2, 2), pad=(3, 3, 3, 3), zero=114)
SEEDS = range(16)


def compiled(model, profile: str | Profile, **options) -> Program:
    if isinstance(profile, str):  # what pays depends on the clock
        profile = dataclasses.replace(Profile.load(profile), mhz=300.0)
    loaded = load_model(model)
    return compile_model(loaded, profile, name="stem", source_sha256="0" * 64, keep_islands=True, **options)


def unrolling_of(program: Program) -> Unrolling | None:
    return next(step.unrolling for step in program.steps if isinstance(step, TransformStep))


def answers(program: Program, images: np.ndarray) -> np.ndarray:
    with Session(program, device="reference") as session:
        return session.run(None, {"x": images})[0]


def expected(model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([run_onnxruntime(model, {"x": image[None]})[0] for image in images])


@pytest.mark.parametrize(
    ("profile", "dtypes"),
    [
        ("int8-4x4", ("uint8", "int8")),
        ("int8-8x8", ("uint8", "int8")),
        ("int8-16x16", ("uint8", "int8")),
        ("w8a16-8x8", ("uint8", "int8", "int16", "uint16")),
    ],
)
def test_equal_to_onnxruntime_and_to_the_plain_program(profile: str, dtypes: tuple[str, ...]) -> None:
    unrolled = 0
    for seed in SEEDS:
        model, images = stem_model(random_stem(seed, dtypes), seed, quantized=True)
        program, plain = compiled(model, profile), compiled(model, profile, unroll=False)
        unrolled += unrolling_of(program) is not None
        assert unrolling_of(plain) is None
        want = expected(model, images)
        np.testing.assert_array_equal(answers(program, images), want, err_msg=f"seed {seed}")
        np.testing.assert_array_equal(answers(plain, images), want, err_msg=f"seed {seed}, plain")
    assert unrolled >= len(SEEDS) // 2


def test_float_stems_are_close() -> None:
    unrolled = 0
    for seed in SEEDS:
        model, images = stem_model(random_stem(seed), seed, quantized=False)
        program = compiled(model, "fp32-4x4")
        unrolled += unrolling_of(program) is not None
        got, want = answers(program, images), expected(model, images)
        tolerance = 1e-5 * np.abs(want).max() + 1e-6
        assert np.abs(got - want).max() <= tolerance, f"seed {seed}"
        assert np.abs(got - answers(compiled(model, "fp32-4x4", unroll=False), images)).max() <= tolerance
    assert unrolled >= len(SEEDS) // 2


def test_flipped_bits_and_wrong_places_are_caught() -> None:
    model, images = stem_model(RESNET, 0, quantized=True)
    program, want = compiled(model, "int8-8x8"), expected(model, images)
    assert np.array_equal(answers(program, images), want)
    program.weights[int(np.flatnonzero(program.weights)[0])] ^= 0x40
    assert not np.array_equal(answers(program, images), want)
    program = compiled(model, "int8-8x8")
    for field in ("pad_top", "pad_left", "dilation_x", "stride_y"):
        step, *rest = program.steps
        unrolling = dataclasses.replace(step.unrolling, **{field: getattr(step.unrolling, field) + 1})
        wrong = dataclasses.replace(program, steps=(dataclasses.replace(step, unrolling=unrolling), *rest))
        assert not np.array_equal(answers(wrong, images), want), field


@pytest.mark.parametrize("profile", ["int8-8x8", "fp32-4x4"])
def test_a_row_is_a_map_too(tmp_path, profile: str) -> None:
    g = Graph(5)
    quantized = not profile.startswith("fp32")
    x = g.input(1, 5, 40, name="x")
    model = g.model(g.node("Conv", x, g.random(10, 5, 7), kernel_shape=[7], pads=[3, 3]))
    images = np.random.default_rng(6).uniform(-1, 1, (2, 5, 40)).astype(np.float32)
    loaded = load_model(model)
    if quantized:
        loaded = quantize(loaded, CalibrationData({"x": images})).model
    slow = dataclasses.replace(Profile.load(profile), mhz=1.0)  # so slow that it pays
    program = compile_model(loaded, slow, name="row", source_sha256="0" * 64, keep_islands=True)
    assert unrolling_of(program) is not None
    save_program(program, tmp_path / "a")  # which checks that its parts fit together
    want = expected(ir.to_proto(loaded), images)
    np.testing.assert_allclose(answers(load_program(tmp_path / "a"), images), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("stem", "profile", "before", "after"),
    [
        (RESNET, "int8-8x8", (Op.CONV, 9), (Op.POINTWISE, 4)),
        (RESNET, "int8-16x16", (Op.CONV, 9), (Op.CONV, 4)),
        (dataclasses.replace(RESNET, channels=1), "int8-16x16", (Op.CONV, 9), (Op.CONV, 1)),
        (dataclasses.replace(RESNET, kernel=(11, 11), stride=(4, 4)), "int8-16x16", (Op.CONV, 16), (Op.CONV, 3)),
        (dataclasses.replace(RESNET, channels=1, kernel=(5, 5)), "int8-8x8", (Op.CONV, 4), (Op.CONV, 1)),
        (dataclasses.replace(RESNET, dilation=(3, 3), pad=(9,) * 4), "int8-8x8", (Op.CONV, 49), (Op.POINTWISE, 4)),
    ],
)
def test_fewer_passes(stem: Stem, profile: str, before: tuple[Op, int], after: tuple[Op, int]) -> None:
    model, _ = stem_model(stem, 0, quantized=True)
    found = []
    for choice in (False, True):
        program = compiled(model, profile, unroll=choice)
        found.append((Op(program.descriptors[0].op), geometry.passes(program.descriptors[0])))
    assert found == [before, after]


def test_the_report_counts_the_models_products() -> None:
    model, _ = stem_model(RESNET, 0, quantized=True)
    program, plain = compiled(model, "int8-8x8"), compiled(model, "int8-8x8", unroll=False)
    transform, layer = program.layers[:2]
    unrolling = unrolling_of(program)
    assert unrolling is not None
    assert (transform.op, plain.layers[0].op) == ("quantize, unroll and slice", "quantize and slice")
    assert (transform.channels_in, transform.channels_out) == (3, 3 * unrolling.taps)
    assert layer.macs == plain.layers[1].macs == 64 * 3 * 49 * 32 * 32
    assert layer.channels_in == 3 * unrolling.taps
    assert layer.lanes_used == layer.macs / (layer.ideal_cycles * 9 * 64)
    assert list(program.tensors) == list(plain.tensors)


def two_layers(second_reads: str) -> onnx.ModelProto:
    graph = Graph(0)
    x = graph.quantize(graph.input(1, 3, 40, 40), 0.5)
    first = graph.quantize(graph.node("Conv", x, graph.dequantized((8, 3, 7, 7)), strides=[2, 2]), 0.5)
    source = x if second_reads == "the input" else first
    channels = 3 if second_reads == "the input" else 8
    second = graph.node("Conv", source, graph.dequantized((8, channels, 7, 7)), strides=[2, 2])
    return graph.model(first, graph.quantize(second, 0.5))


def test_a_tensor_with_two_readers_stays_as_it_is() -> None:
    chain, fork = (two_layers(reads) for reads in ("the first layer", "the input"))
    for model, unrolled in ((chain, True), (fork, False)):
        program = compiled(model, "int8-8x8")
        assert (unrolling_of(program) is not None) == unrolled
        assert len(program.descriptors) == 2


@pytest.mark.parametrize(
    "stem",
    [
        dataclasses.replace(RESNET, kernel=(3, 3)),  # one pass either way
        dataclasses.replace(RESNET, kernel=(1, 1)),
        dataclasses.replace(RESNET, channels=8, kernel=(3, 3), size=(20, 20)),
    ],
)
def test_what_gains_nothing_is_left_alone(stem: Stem) -> None:
    model, _ = stem_model(stem, 0, quantized=True)
    assert unrolling_of(compiled(model, "int8-8x8")) is None


def test_a_stem_that_waits_for_its_input_gains_without_fewer_passes() -> None:
    stem = dataclasses.replace(RESNET, kernel=(3, 3), size=(128, 128), outputs=32)
    model, _ = stem_model(stem, 0, quantized=True)
    program, plain = (compiled(model, "int8-32x32", unroll=choice) for choice in (True, False))
    assert geometry.passes(program.descriptors[0]) == geometry.passes(plain.descriptors[0]) == 1
    cycles = [p.fpga_layers[0].predicted_cycles for p in (program, plain)]
    assert cycles[0] <= 0.75 * cycles[1]


def test_the_hosts_work_and_the_link_count(monkeypatch) -> None:
    model, _ = stem_model(RESNET, 0, quantized=True)
    monkeypatch.setattr(unroll, "HOST_BYTES_PER_SECOND", 1e5)
    slow = compiled(model, "int8-4x4")
    monkeypatch.setattr(unroll, "HOST_BYTES_PER_SECOND", 1e15)
    fast = compiled(model, "int8-4x4")
    sizes = [program.tensors[program.steps[0].tensor].words for program in (slow, fast)]
    assert sizes[0] <= 64 * 64 < sizes[1]
    monkeypatch.setattr(unroll, "LEAST_SAVING", 0.95)
    assert unrolling_of(compiled(model, "int8-4x4")) is None
