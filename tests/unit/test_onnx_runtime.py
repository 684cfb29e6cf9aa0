"""Sessions that compute what the model means, whatever this processor's integer kernels do."""

import tempfile
from collections.abc import Callable

import numpy as np
import pytest
from onnx import helper

from sliceflow.bench.answers import compare_answers
from sliceflow.errors import UserError
from sliceflow.kernel_probe import probe_kernels
from sliceflow.onnx_runtime import OnnxSession, exact_session, user_session
from tests.support.random_network import quantize_with_onnxruntime, random_network
from tests.support.saturating import layer, model, pair


@pytest.mark.parametrize("opened", [exact_session, user_session])
def test_a_pool_behind_an_int8_pair_runs(opened: Callable[..., OnnxSession]) -> None:
    """ONNX Runtime 1.31 moves the pair behind the pool with a zero point of the wrong type, and then refuses it."""
    shape = [1, 3, 4, 4]
    nodes = [
        *pair("x", "s", "z", "d"),
        helper.make_node("MaxPool", ["d"], ["y"], kernel_shape=[1, 2], strides=[2, 2]),
    ]
    data = model(nodes, shape, s=np.float32(0.5), z=np.int8(-1))
    x = np.arange(-24, 24, dtype=np.float32).reshape(shape)
    (got,) = opened(data, 1, where="test").run(None, {"x": x})
    want = np.maximum(x[:, :, ::2, 0::2], x[:, :, ::2, 1::2])
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm"])
@pytest.mark.parametrize("zero", [np.uint8(0), np.uint8(1), np.int8(-128)])
def test_pairs_of_large_products_do_not_saturate(op: str, zero: np.integer) -> None:
    """u8 x s8: 255 * 127 + 255 * 127 is above 2^15, where some processors' integer kernels stop."""
    data, x, expected = layer(op, zero)
    (got,) = exact_session(data, 1, where="test").run(None, {"x": x})
    np.testing.assert_array_equal(got, np.full_like(got, expected))


@pytest.mark.parametrize("op", ["Conv", "MatMul"])
def test_the_probe_says_what_this_processor_does(op: str) -> None:
    data, x, expected = layer(op, np.uint8(0))
    (got,) = user_session(data, 1, where="test").run(None, {"x": x})
    probe = probe_kernels()
    assert probe.exact == bool((got == expected).all())
    assert probe.told().startswith("exact" if probe.exact else "NOT exact")
    (precise,) = user_session(data, 1, where="test", precise=True).run(None, {"x": x})
    np.testing.assert_array_equal(precise, np.full_like(got, expected))


def test_the_worth_of_timed_answers() -> None:
    """They differ where, and only where, the processor's kernels do."""
    data, x, _ = layer("Conv", np.uint8(0), batch=1)
    images = [{"x": x}, {"x": x / 2}, {"x": x}]
    labels = np.zeros(3, np.int64)
    found = compare_answers({"int8": data, "fp32": data}, images, labels, 1)
    assert found is not None
    assert (found.images, found.differ) == (3, not probe_kernels().exact)
    assert (found.sqnr_db is None) == (found.max_error == 0)
    assert (found.timed_db, found.exact_db) == (found.sqnr_db, None)
    assert found.accuracy is not None
    assert found.accuracy["exact"] == found.accuracy["fp32"] == 1
    assert compare_answers({"fp32": data}, images, None, 1) is None


def test_two_quantizers_in_a_row_round_twice() -> None:
    """ONNX Runtime takes the first of them away by default."""
    nodes = [*pair("x", "coarse", "z", "d"), *pair("d", "fine", "z", "e"), helper.make_node("Relu", ["e"], ["y"])]
    data = model(nodes, [100], coarse=np.float32(0.7), fine=np.float32(0.5), z=np.uint8(0))
    x = np.linspace(0, 60, 100, dtype=np.float32)
    (got,) = exact_session(data, 1, where="test").run(None, {"x": x})
    np.testing.assert_array_equal(got, np.round(np.round(x / np.float32(0.7)) * np.float32(0.7) / 0.5) * 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_rewrites_that_remain_change_no_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = {"unsigned": seed % 2 == 0, "per_channel": seed % 3 == 0, "symmetric": seed % 4 < 2}
    with tempfile.TemporaryDirectory() as folder:
        network = quantize_with_onnxruntime(random_network(rng), rng, folder, **options)
    shape = [d.dim_value or 2 for d in network.graph.input[0].type.tensor_type.shape.dim]
    x = rng.standard_normal(shape).astype(np.float32)
    data = network.SerializeToString()
    plain, rewritten = (
        exact_session(data, 1, where="test", level=level).run(None, {"x": x})[0] for level in ("none", None)
    )
    np.testing.assert_array_equal(rewritten, plain)


def test_what_is_no_model_is_refused(tmp_path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    for source in (b"no model", tmp_path / "empty.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(UserError, match="refuses the model") as caught:
            exact_session(source, 1, where="here")
        assert caught.value.where == "here"
        assert caught.value.why
