"""Calibration: histograms and ranges on known distributions, data files, hostile input."""

import io
import zipfile

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
    least, greatest = (0, 255) if chosen.dtype == "uint8" else (-128, 127)
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


# options and data


@pytest.mark.parametrize(
    "bad", [{"method": "kl"}, {"activations": "int4"}, {"percentile": 50.0}, {"percentile": 101.0}]
)
def test_options_are_checked(bad):
    with pytest.raises(UserError, match="must be"):
        QuantizationOptions(**bad)


def value(*dims, name="x", dtype=ir.DataType.FLOAT):
    return ir.Value(name=name, shape=ir.Shape(dims), type=ir.TensorType(dtype))


X = value("n", 3, 8, 8)
SAMPLES = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "named.npz", x=SAMPLES)
    np.savez_compressed(tmp_path / "single.npz", SAMPLES.astype(np.float64))
    np.save(tmp_path / "plain.npy", SAMPLES)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(SAMPLES))
    np.savez(tmp_path / "fortran.npz", x=np.asfortranarray(SAMPLES))
    for name in ("named.npz", "single.npz", "plain.npy", "fortran.npy", "fortran.npz"):
        for limit in (None, 2, 50):
            data = CalibrationData.load(tmp_path / name, [X], limit=limit)
            assert data.count == min(5, limit or 5)
            batch = data.batch(0, data.count)["x"]
            assert batch.dtype == np.float32
            np.testing.assert_array_equal(batch, SAMPLES[:limit])
            data.check([X])


def test_several_inputs(tmp_path):
    other = value("n", 4, name="z", dtype=ir.DataType.INT64)
    np.savez(tmp_path / "a.npz", x=SAMPLES, z=np.arange(20, dtype=np.int32).reshape(5, 4))
    data = CalibrationData.load(tmp_path / "a.npz", [X, other])
    data.check([X, other])
    assert data.batch(3, 5)["z"].dtype == np.int64
    np.testing.assert_array_equal(data.batch(4, 5, fill=3)["z"][:, 0], [16, 0, 4])


def test_integers_need_a_scale(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    with pytest.raises(UserError, match="uint8"):
        CalibrationData.load(tmp_path / "p.npy", [X])
    data = CalibrationData.load(tmp_path / "p.npy", [X], scale=1 / 255, mean=[0.1, 0.2, 0.3], std=0.5)
    expected = (pixels / 255 - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)) / 0.5
    np.testing.assert_allclose(data.batch(0, 5)["x"], expected, atol=1e-5)


def save_npz(path, name="x.npy", content=None, **kwargs):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content(**kwargs) if callable(content) else content)


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def broken_files(folder):
    np.savez(folder / "objects.npz", x=np.array([{"a": 1}, None], object))
    np.save(folder / "objects.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.savez(folder / "empty.npz", x=SAMPLES[:0])
    np.savez(folder / "nothing.npz")
    np.savez(folder / "name.npz", a=SAMPLES, b=SAMPLES)
    np.savez(folder / "shape.npz", x=SAMPLES[:, :2])
    np.savez(folder / "rank.npz", x=SAMPLES[0])
    np.savez(folder / "text.npz", x=np.full((5, 3, 8, 8), "a"))
    np.savez(folder / "complex.npz", x=SAMPLES.astype(np.complex64))
    np.savez(folder / "nan.npz", x=np.where(SAMPLES[3, 1, 2, 2] == SAMPLES, np.nan, SAMPLES))
    np.savez(folder / "overflow.npz", x=SAMPLES.astype(np.float64) * 1e300)
    np.save(folder / "scalar.npy", np.float32(3))
    save_npz(folder / "bomb.npz", content=header((1 << 40, 3, 8, 8)) + bytes(1000))
    save_npz(folder / "short.npz", content=header((5, 3, 8, 8)) + bytes(100))
    save_npz(folder / "garbage.npz", content=b"not an array")
    (folder / "huge.npy").write_bytes(header((1 << 40, 3, 8, 8)) + bytes(100))
    (folder / "garbage.npy").write_bytes(b"\x93NUMPY\x01\x00\xff")
    (folder / "zero.npz").write_bytes(b"")
    (folder / "data.txt").write_text("1 2 3")
    np.savez(folder / "cut.npz", x=SAMPLES)
    (folder / "cut.npz").write_bytes((folder / "cut.npz").read_bytes()[:-200])
    (folder / "pictures").mkdir()
    return [*(path.name for path in folder.iterdir()), "missing.npz", "missing"]


def test_bad_files_are_refused_by_name(tmp_path):
    names = broken_files(tmp_path)
    assert len(names) == 23
    for name in names:
        with pytest.raises(UserError) as caught:
            CalibrationData.load(tmp_path / name, [X])
        assert name in caught.value.where, name
    with pytest.raises(UserError, match="limit"):
        CalibrationData.load(tmp_path / "shape.npz", [X], limit=0)


def test_nan_is_located(tmp_path):
    broken_files(tmp_path)
    with pytest.raises(UserError) as caught:
        CalibrationData.load(tmp_path / "nan.npz", [X])
    assert "sample 3" in caught.value.where


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    save_npz(tmp_path / "b.npz", content=header((1 << 20, 3, 8, 8)) + bytes(3 * 64 * 4 * 100_000))
    data = CalibrationData.load(tmp_path / "b.npz", [X], limit=2)  # reads two samples, whatever the rest says
    assert data.count == 2


def test_folder_of_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    colours = [(255, 0, 0), (0, 128, 255)]
    for index, colour in enumerate(colours):
        image.new("RGB", (20 + index, 13), colour).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("no image")
    data = CalibrationData.load(tmp_path, [X])
    assert data.count == 2
    expected = np.broadcast_to(np.array(colours).reshape(2, 3, 1, 1) / 255, (2, 3, 8, 8))
    np.testing.assert_allclose(data.batch(0, 2)["x"], expected, atol=1e-6)
    data = CalibrationData.load(tmp_path, [X], mean=(1, 2, 3), std=2, scale=1.0, limit=1)
    np.testing.assert_allclose(data.batch(0, 1)["x"][0, :, 0, 0], [127, -1, -1.5], atol=1e-5)
    grey = CalibrationData.load(tmp_path, [value(1, 1, 4, 6)])
    assert grey.batch(0, 1)["x"].shape == (1, 1, 4, 6)
    for bad in (
        value("n", 4, 8, 8),
        value("n", 3, "h", "w"),
        value("n", 3),
        value("n", 3, 8, 8, dtype=ir.DataType.INT64),
    ):
        with pytest.raises(UserError, match="images need"):
            CalibrationData.load(tmp_path, [bad])
    with pytest.raises(UserError, match="mean has 2"):
        CalibrationData.load(tmp_path, [X], mean=(1, 2)).batch(0, 1)
    (tmp_path / "2.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        CalibrationData.load(tmp_path, [X]).batch(0, 3)


@pytest.mark.parametrize("bad", [{"std": 0.0}, {"mean": float("nan")}, {"scale": -1.0}, {"mean": []}, {"std": "ab"}])
def test_normalization_is_checked(tmp_path, bad):
    np.save(tmp_path / "a.npy", SAMPLES)
    with pytest.raises(UserError):
        CalibrationData.load(tmp_path / "a.npy", [X], **bad)


# running


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
    original = calibration._run
    monkeypatch.setattr(
        calibration, "_run", lambda s, names, feed: fetched.append(list(names)) or original(s, names, feed)
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


def test_samples_must_agree_in_number():
    with pytest.raises(UserError, match="same number"):
        CalibrationData({"x": SAMPLES, "z": SAMPLES[:2]})
    with pytest.raises(UserError, match="same number"):
        CalibrationData({})
