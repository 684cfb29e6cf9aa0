"""Calibration: histograms and ranges on known distributions, and running the float model."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantization_graphs import Net, quantized

from sliceflow.errors import UserError
from sliceflow.quantization import CalibrationData, QuantizationOptions, quantize
from sliceflow.quantization.histogram import BINS, Histogram
from sliceflow.quantization.ranges import find_range
from sliceflow.quantization.scales import LEAST_SCALE, affine


def histogram(*batches):
    found = Histogram()
    for batch in batches:
        assert found.add(np.asarray(batch, np.float32))
    return found


def rounded(values, low, high, activations):
    """What a tensor becomes: an independent float64 model of QuantizeLinear and DequantizeLinear."""
    chosen = affine(low, high, activations)
    least, greatest = {
        "uint8": (0, 255),
        "int8": (-128, 127),
        "uint16": (0, 65535),
        "int16": (-32768, 32767),
    }[chosen.dtype]
    q = np.clip(np.rint(np.asarray(values, np.float64) / chosen.scale) + chosen.zero_point, least, greatest)
    return (q - chosen.zero_point) * chosen.scale


# histograms


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_histogram_does_not_depend_on_batches_or_their_order(seed, order):
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(50).astype(np.float32) * np.float32(10.0**e) for e in (-6, 0, 2, 5)]
    parts[1][:7] = 0
    streamed, whole = histogram(*[parts[i] for i in order]), histogram(np.concatenate(parts))
    for field in ("low", "high", "zeros", "width", "total"):
        assert getattr(streamed, field) == getattr(whole, field)
    np.testing.assert_array_equal(streamed.positive, whole.positive)
    np.testing.assert_array_equal(streamed.negative, whole.negative)


def test_histogram_counts_like_numpy():
    values = np.random.default_rng(3).standard_normal(100_000).astype(np.float32)
    found = histogram(values)
    assert found.width == 8.0 / BINS
    expected, _ = np.histogram(values[values > 0].astype(np.float64), bins=BINS, range=(0, 8.0))
    np.testing.assert_array_equal(found.positive, expected)
    assert (found.low, found.high, found.total) == (values.min(), values.max(), 100_000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_histogram_refuses_what_is_not_finite(bad):
    found = histogram([1.0])
    assert not found.add(np.array([0.5, bad], np.float32))
    assert found.total == 1


def test_histogram_of_the_smallest_and_the_largest_numbers():
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    found = histogram([tiny, -tiny], [huge, -huge], [])
    assert (found.low, found.high, found.total) == (-huge, huge, 4)
    assert found.positive.sum() == found.negative.sum() == 2


# ranges


def test_minmax_is_what_was_seen():
    assert find_range(histogram([0.5, 3.0], [-2.0]), QuantizationOptions(method="minmax")) == (-2.0, 3.0)
    assert find_range(histogram([5.0, 5.0]), QuantizationOptions(method="minmax")) == (0.0, 5.0)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_a_tensor_of_zeros_has_no_range(method):
    assert find_range(histogram(np.zeros(9)), QuantizationOptions(method=method)) == (0.0, 0.0)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9])
def test_percentile_of_uniform_values(percentile):
    values = np.random.default_rng(1).uniform(0, 1, 200_000)
    options = QuantizationOptions(method="percentile", percentile=percentile)
    low, high = find_range(histogram(values), options)
    assert low == 0
    assert high == pytest.approx(np.percentile(values, percentile), abs=2e-4)
    low, high = find_range(histogram(2 * values - 1), options)
    assert (low, high) == pytest.approx((-percentile / 100, percentile / 100), abs=5e-3)


def test_percentile_keeps_sparse_tensors_alive():
    values = np.zeros(100_000)
    values[0] = 3.0
    assert find_range(histogram(values), QuantizationOptions(method="percentile")) == (0.0, 3.0)


@pytest.mark.parametrize("activations", ["auto", "thesis", "uint8", "int8"])
@pytest.mark.parametrize("sign", ["signed", "unsigned", "lopsided"])
def test_mse_beats_minmax_with_outliers(sign, activations):
    rng = np.random.default_rng(5)
    values = rng.standard_normal(400_000)
    values[0] = 12.0
    if sign == "unsigned":
        values = np.abs(values)
    elif sign == "lopsided":
        values = np.maximum(values, -0.4)
    errors = {}
    for method in ("minmax", "mse"):
        found = find_range(histogram(values), QuantizationOptions(method=method, activations=activations))
        errors[method] = np.square(values - rounded(values, *found, activations)).mean()
    assert errors["mse"] < 0.85 * errors["minmax"]


@pytest.mark.parametrize("activations", ["thesis", "uint8"])
def test_mse_is_near_the_best_of_an_exhaustive_search(activations):
    values = np.random.default_rng(6).laplace(size=40_000)
    found = find_range(histogram(values), QuantizationOptions(method="mse", activations=activations))
    error = np.square(values - rounded(values, *found, activations)).mean()
    ends = np.linspace(0.1, 1.0, 200)
    best = min(
        np.square(values - rounded(values, values.min() * e, values.max() * e, activations)).mean() for e in ends
    )
    assert error <= 1.05 * best


def test_mse_of_values_without_outliers_clips_nothing_much():
    values = np.random.default_rng(7).uniform(-1, 1, 50_000)
    low, high = find_range(histogram(values), QuantizationOptions(method="mse", activations="thesis"))
    assert high == -low == pytest.approx(1, abs=0.01)


# scales


@pytest.mark.parametrize(
    ("low", "high", "activations", "dtype", "zero"),
    [
        (0.0, 2.55, "auto", "uint8", 0),
        (1.0, 2.55, "thesis", "uint8", 0),
        (-1.27, 1.0, "auto", "int8", 0),
        (-0.375, 6.0, "auto", "uint8", 15),
        (-0.375, 6.0, "thesis", "int8", 0),
        (-1.0, 1.0, "uint8", "uint8", 127),
        (0.0, 1.0, "int8", "int8", 0),
        (-2.0, -1.0, "uint8", "uint8", 255),
        (0.0, 1.0, "int16", "int16", 0),
        (-1.0, 3.0, "int16", "int16", 0),
        (0.0, 1.0, "uint16", "uint16", 0),
        (-1.0, 3.0, "uint16", "uint16", 16384),
    ],
)
def test_scheme(low, high, activations, dtype, zero):
    found = affine(low, high, activations)
    assert (found.dtype, found.zero_point) == (dtype, zero)
    assert found.scale == float(np.float32(found.scale)) > 0
    for end in (low, high):
        assert abs(rounded(end, low, high, activations) - end) <= 0.5001 * found.scale


@settings(max_examples=200, deadline=None)
@given(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from(["auto", "thesis", "uint8", "int8"]),
)
def test_scale_is_always_a_normal_positive_float(a, b, activations):
    found = affine(min(a, b), max(a, b), activations)
    assert LEAST_SCALE <= found.scale < np.inf
    assert 0 <= found.zero_point <= 255
    assert rounded(0.0, min(a, b), max(a, b), activations) == 0


# options


@pytest.mark.parametrize(
    "bad",
    [{"method": "kl"}, {"activations": "int4"}, {"weights": "int16"}, {"percentile": 50.0}, {"percentile": 101.0}],
)
def test_options_are_checked(bad):
    with pytest.raises(UserError, match="must be"):
        QuantizationOptions(**bad)


# running

SAMPLES = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)


def small(batch="n"):
    net = Net(3, 8, 8, batch=batch)
    net.conv(net.op("Relu", net.conv("x", 6), out="a"), 4, out="y")
    return net


def ranges(result):
    return [(t.name, t.low, t.high) for t in result.report.tensors]


def test_memory_bound_and_batch_size_change_nothing():
    net = small()
    model, x = net.model("y"), net.samples(7)
    free, tight = quantized(model, x), quantized(model, x, batch_megabytes=1)
    assert ranges(free) == ranges(tight)
    net = small(batch=3)  # the last batch repeats samples, which minmax does not see
    assert ranges(quantized(net.model("y"), x, method="minmax")) == ranges(quantized(model, x, method="minmax"))


def test_a_sample_over_the_bound_is_fetched_in_parts(monkeypatch):
    from sliceflow.quantization import calibration

    fetched = []
    original = calibration.run
    monkeypatch.setattr(
        calibration, "run", lambda s, names, feed: fetched.append(list(names)) or original(s, names, feed)
    )
    net = Net(3, 256, 256)
    net.conv(net.op("Relu", net.conv("x", 6), out="a"), 4, out="y")
    x = net.samples(2)
    quantized(net.model("y"), x, batch_megabytes=1)
    assert fetched == [["x", "a", "y"], ["x"], ["a"], ["y"]]


def test_progress_is_reported():
    net, seen = small(), []
    data = CalibrationData({"x": net.samples(70)})
    quantize(ir.from_proto(net.model("y")), data, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 70), (33, 70), (65, 70), (70, 70)]


def test_nan_inside_the_network_names_the_tensor():
    net = Net(3, 8, 8)
    net.conv(net.op("Log", "x", out="logs"), 4, out="y")
    with pytest.raises(UserError) as caught:
        quantized(net.model("y"), -np.abs(net.samples()))
    assert "'logs'" in caught.value.where


@pytest.mark.parametrize(
    "arrays",
    [{"z": SAMPLES}, {"x": SAMPLES[:, :, :7]}, {"x": SAMPLES.astype(np.float64)}, {"x": SAMPLES, "z": SAMPLES}],
)
def test_data_that_does_not_fit_the_model(arrays):
    with pytest.raises(UserError):
        quantize(ir.from_proto(small().model("y")), CalibrationData(arrays))
