"""Calibration data: arrays and images from files, and hostile files."""

import io
import zipfile

import numpy as np
import onnx_ir as ir
import pytest

from sliceflow.errors import UserError
from sliceflow.quantization import CalibrationData


def value(*dims, name="x", dtype=ir.DataType.FLOAT):
    return ir.Value(name=name, shape=ir.Shape(dims), type=ir.TensorType(dtype))


def model_of(*inputs):
    return ir.Model(ir.Graph(inputs, [], nodes=[], opset_imports={"": 21}), ir_version=10)


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


def test_samples_must_agree_in_number():
    with pytest.raises(UserError, match="same number"):
        CalibrationData({"x": SAMPLES, "z": SAMPLES[:2]}).of(model_of(X, value("n", 3, 8, 8, name="z")))
    with pytest.raises(UserError, match="at least one sample"):
        CalibrationData({})


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_damaged_files_end_in_data_or_one_message(tmp_path, suffix):
    stream = io.BytesIO()
    if suffix == "npy":
        np.save(stream, SAMPLES[:2])
    else:
        np.savez_compressed(stream, x=SAMPLES[:2])
    original, rng, refused = stream.getvalue(), np.random.default_rng(11), 0
    for round_number in range(600):
        content = bytearray(original)
        for _ in range(int(rng.integers(1, 5))):
            # Half of the hits fall on the headers, where they do most harm.
            content[int(rng.integers(0, len(content) if rng.random() < 0.5 else 140))] = int(rng.integers(0, 256))
        path = tmp_path / f"{round_number}.{suffix}"
        path.write_bytes(content[: int(rng.integers(1, len(content) + 1))] if rng.random() < 0.3 else content)
        try:
            CalibrationData.load(path, [X])
        except UserError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("shape", [(-1, 3, 8, 8), (2, -3, -8, 8), (1 << 62, 3, 8, 8), (True, 3, 8, 8), (2.0, 3, 8, 8)])
def test_impossible_shapes_are_refused(tmp_path, shape):
    content = header((2, 3, 8, 8)).replace(b"(2, 3, 8, 8)", str(shape).encode())
    save_npz(tmp_path / "a.npz", content=content[:128].ljust(127) + b"\n" + bytes(8000))
    (tmp_path / "a.npy").write_bytes(content[:128].ljust(127) + b"\n" + bytes(8000))
    for name in ("a.npz", "a.npy"):
        with pytest.raises(UserError):
            CalibrationData.load(tmp_path / name, [X])
