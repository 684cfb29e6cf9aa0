"""The rearrangement of an image by the host, against its definition, and artifacts that lie about it."""

import json
import time

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.graph.program import Tensor, TransformStep, Unrolling, contiguous_runs, tensor_types
from sliceflow.hardware.profile import Profile
from sliceflow.runtime import Session
from sliceflow.runtime.transform import stored_dtype, to_device
from tests.support import artifact_fuzz
from tests.support.random_stem import Stem, stem_model
from tests.unit.mapping.test_unroll import compiled

PROFILES = [Profile.load(name) for name in ("int8-4x4", "int8-8x8", "w8a16-8x8", "fp32-4x4")]


def naive(image: np.ndarray, unrolling: Unrolling, tensor: Tensor, profile: Profile) -> np.ndarray:
    """The definition in ``Unrolling``, value by value."""
    words = np.zeros(
        (tensor.slices, tensor.height, tensor.width, profile.cpi), np.int64 if image.dtype != "f4" else "f4"
    )
    channels, height, width = image.shape
    for run in tensor.runs:
        for lane in range(run.count):
            tap, c = divmod(run.channel + lane, channels)
            i, j = divmod(tap, unrolling.columns)
            for y, x in np.ndindex(tensor.height, tensor.width):
                row = y * unrolling.stride_y + i * unrolling.dilation_y - unrolling.pad_top
                column = x * unrolling.stride_x + j * unrolling.dilation_x - unrolling.pad_left
                inside = 0 <= row < height and 0 <= column < width
                value = image[c, row, column].item() if inside else tensor.zero_point
                words[run.slice + lane // profile.cpi, y, x, lane % profile.cpi] = value - tensor.stored_offset
    return words


@pytest.mark.parametrize("seed", range(60))
def test_every_value_stands_where_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    profile = PROFILES[seed % len(PROFILES)]
    rows, columns, channels, *source = (int(n) for n in rng.integers(1, 6, 5))
    sizes = [int(n) for n in rng.integers(1, 5, 4)] + [int(n) for n in rng.integers(0, 9, 2)]
    names = ("stride_y", "stride_x", "dilation_y", "dilation_x", "pad_top", "pad_left")
    unrolling = Unrolling(rows=rows, columns=columns, **dict(zip(names, sizes, strict=True)))
    count = unrolling.taps * channels
    runs, slices = contiguous_runs(count, profile.cpi, [int(cut) for cut in rng.integers(1, count + 1, 2)])
    dtype = str(rng.choice(tensor_types(profile)))
    zero = int(rng.integers(0, 100)) if dtype != "float32" else 0
    tensor = Tensor(
        name="t",
        channels=count,
        height=int(rng.integers(1, 9)),
        width=int(rng.integers(1, 9)),
        runs=runs,
        slices=slices,
        base=0,
        dtype=dtype,
        zero_point=zero,
    )
    image = (
        rng.standard_normal((channels, *source)) if dtype == "float32" else rng.integers(0, 120, (channels, *source))
    )
    image = image.astype(dtype)
    step = TransformStep(
        direction="to_device", value="x", tensor="t", shape=(1, *image.shape), dtype=dtype, unrolling=unrolling
    )
    got = np.frombuffer(to_device(image[None], step, tensor, profile), stored_dtype(profile))
    want = naive(image, unrolling, tensor, profile)
    np.testing.assert_array_equal(got.reshape(want.shape), want, err_msg=f"seed {seed}: {unrolling}")


STEM = Stem(channels=3, size=(40, 40), outputs=16, kernel=(7, 7), stride=(2, 2), pad=(3, 3, 3, 3), zero=114)


@pytest.fixture(scope="module")
def program():
    return compiled(stem_model(STEM, 0, quantized=True)[0], "int8-8x8")


def test_an_artifact_keeps_it(program, tmp_path) -> None:
    save_program(program, tmp_path / "a")
    loaded = load_program(tmp_path / "a")
    assert loaded.steps == program.steps
    images = stem_model(STEM, 0, quantized=True)[1]
    first, second = (Session(p, device="reference").run(None, {"x": images})[0] for p in (program, tmp_path / "a"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("unrolling", "rows"), 0, "rows and columns must be positive"),
        (("unrolling", "columns"), -7, "rows and columns must be positive"),
        (("unrolling", "rows"), 2**40, "is not the tensor's"),
        (("unrolling", "rows"), 3, "is not the tensor's"),
        (("unrolling", "stride_y"), 0, "strides and dilations must lie in"),
        (("unrolling", "stride_x"), 2**50, "strides and dilations must lie in"),
        (("unrolling", "dilation_y"), -1, "strides and dilations must lie in"),
        (("unrolling", "pad_top"), -1, "paddings must lie in"),
        (("unrolling", "pad_left"), 2**50, "paddings must lie in"),
        (("unrolling", "pad_left"), 1.5, "must stand here"),
        (("unrolling", "surprise"), 1, "unknown key 'surprise'"),
        (("unrolling",), None, "does not have the"),
        (("shape",), [1, 3, 1600], "is not the tensor's"),
        (("shape",), [3, 1, 40, 40], "is not the tensor's"),
        (("shape",), [1, 3, -40, -40], "the shape"),
        (("shape",), [1, 3, 20, 80], ""),  # as many values: the rows are other ones, but nothing leaves its bounds
        (("direction",), "to_host", "only a transform to_device"),
    ],
)
def test_a_manifest_that_lies_is_refused(program, tmp_path, where, value, message) -> None:
    save_program(program, tmp_path / "a")
    document = json.loads((tmp_path / "a/manifest.json").read_text())
    table = document["steps"][0]["transform"]
    for key in where[:-1]:
        table = table[key]
    table[where[-1]] = value
    artifact_fuzz.seal(document, tmp_path / "a")
    if not message:
        Session(tmp_path / "a", device="reference").run(None, {"x": stem_model(STEM, 0, quantized=True)[1]})
        return
    with pytest.raises(UserError) as caught:
        load_program(tmp_path / "a")
    assert message in str(caught.value)


def test_large_sizes_are_refused_before_they_cost_anything(program, tmp_path) -> None:
    save_program(program, tmp_path / "a")
    document = json.loads((tmp_path / "a/manifest.json").read_text())
    document["activation_words"] = 2**32
    channels = 3 * 2**20
    tensor, step = document["tensors"][0], document["steps"][0]["transform"]
    tensor |= {"channels": channels, "slices": channels // 8, "height": 1, "width": 1, "base": 0}
    tensor["runs"] = [{"channel": 0, "count": channels, "slice": 0}]
    step["unrolling"] |= {"rows": 2**20, "columns": 1}
    artifact_fuzz.seal(document, tmp_path / "a")
    begin = time.perf_counter()
    with pytest.raises(UserError, match="at most 4096 channels"):
        load_program(tmp_path / "a")
    assert time.perf_counter() - begin < 2


def test_random_damage_ends_in_one_message_or_a_program_that_runs(program, tmp_path) -> None:
    images = stem_model(STEM, 0, quantized=True)[1][:1]
    refused = 0
    for seed in range(60):
        folder = tmp_path / f"a{seed}"
        save_program(program, folder)
        document = json.loads((folder / "manifest.json").read_text())
        rng = np.random.default_rng(seed)
        step = document["steps"][0]["transform"]
        names = sorted(step["unrolling"])
        for name in rng.choice(names, int(rng.integers(1, 4)), replace=False):
            step["unrolling"][name] = int(rng.choice([-1, 0, 1, 2, 3, 5, 7, 65535, 65536, 2**31]))
        artifact_fuzz.seal(document, folder)
        try:
            Session(folder, device="reference").run(None, {"x": images})
        except UserError:
            refused += 1
    assert 10 < refused < 60
