"""Random networks that ONNX Runtime quantized, on the reference, against ONNX Runtime: equal, not close."""

import numpy as np
import onnx_ir as ir
import pytest

from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.runtime.session import Session
from tests.support.random_network import quantize_with_onnxruntime, random_network, round_scales, run_onnxruntime

WIDE = Profile(**{**Profile.load("int8-8x8").to_json(), "name": "int8-4x16", "cpi": 4, "cpo": 16})
PROFILES = [*(Profile.load(name) for name in ("int8-8x8", "int8-16x16", "int8-4x4")), WIDE]


def quantized_network(seed: int, folder: str, bits: tuple[int, int] = (8, 8)):
    rng = np.random.default_rng(seed)
    model = random_network(rng, int(rng.integers(3, 14)))
    options = {name: bool(rng.random() < 0.5) for name in ("unsigned", "per_channel", "symmetric")}
    quantized = round_scales(quantize_with_onnxruntime(model, rng, folder, bits=bits, **options))
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    return quantized, rng.standard_normal((2, *shape)).astype(np.float32)


def compiled(model, profile: Profile) -> Program:
    return compile_model(load_model(model), profile, name="random", source_sha256="0" * 64, keep_islands=True)


def answer(model, images: np.ndarray) -> np.ndarray:
    return np.concatenate([run_onnxruntime(model, {"x": image[None]})[0] for image in images])


@pytest.mark.parametrize("seed", range(48))
def test_equal_to_onnxruntime(seed: int, tmp_path) -> None:
    model, images = quantized_network(seed, str(tmp_path))
    program = compiled(model, PROFILES[seed % len(PROFILES)])
    got = Session(program, device="reference").run(None, {"x": images})[0]
    np.testing.assert_array_equal(got, answer(model, images), err_msg=f"seed {seed}")


@pytest.mark.parametrize(
    ("profile", "bits"),
    [
        ("w4a8-8x8", (8, 4)),
        ("w8a16-8x8", (16, 8)),
        ("w8a16-8x8", (16, 4)),
        ("w8a16-8x8", (8, 8)),
        ("int8-8x8", (8, 4)),
        ("int8-2x2", (8, 8)),
        ("int8-32x32", (8, 8)),
    ],
)
def test_other_widths_equal_onnxruntime(profile: str, bits: tuple[int, int], tmp_path) -> None:
    """A profile takes tensors and weights of up to its own widths."""
    for seed in range(100, 108):
        model, images = quantized_network(seed, str(tmp_path), bits)
        program = compiled(model, Profile.load(profile))
        got = Session(program, device="reference").run(None, {"x": images})[0]
        np.testing.assert_array_equal(got, answer(model, images), err_msg=f"seed {seed}")


def test_flipped_weight_bit_is_caught(tmp_path) -> None:
    model, images = quantized_network(3, str(tmp_path))
    program = compiled(model, PROFILES[0])
    first = int(np.flatnonzero(program.weights)[0])
    program.weights[first] ^= 0x40
    got = Session(program, device="reference").run(None, {"x": images})[0]
    assert not np.array_equal(got, answer(model, images))


def test_most_layers_run_on_the_accelerator(tmp_path) -> None:
    placements = []
    for seed in range(12):
        model, _ = quantized_network(seed, str(tmp_path))
        placements += [
            layer.placement for layer in compiled(model, PROFILES[0]).layers if layer.placement != "transform"
        ]
    assert placements.count("fpga") > 0.9 * len(placements)


def test_float_profile_is_close(tmp_path) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = random_network(rng, 8)
        shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
        images = rng.standard_normal((2, *shape)).astype(np.float32)
        program = compiled(model, Profile.load("fp32-4x4"))
        got = Session(program, device="reference").run(None, {"x": images})[0]
        want = answer(model, images)
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max() + 1e-6, f"seed {seed}"


def test_compiling_does_not_change_the_model(tmp_path) -> None:
    model, _ = quantized_network(1, str(tmp_path))
    loaded = load_model(model)
    before = ir.to_proto(loaded).SerializeToString(deterministic=True)
    compile_model(loaded, PROFILES[0], name="random", source_sha256="0" * 64)
    assert ir.to_proto(loaded).SerializeToString(deterministic=True) == before
