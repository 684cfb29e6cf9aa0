"""Whole samples and inputs for all images on csim, beside ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from sliceflow.hardware.profile import Profile
from sliceflow.runtime import Session
from tests.support.models import run_model
from tests.unit.test_batch_runs import channels_last, noise, program_of, sides, with_sides


def near(found, expected):
    assert found.shape == expected.shape
    assert ((found - expected) ** 2).sum() < 10**-2.5 * (expected**2).sum()


@pytest.mark.parametrize("profile", ["int8-8x8", "fp32-4x4"])
def test_whole_samples(profile):
    accelerator, model, x = Profile.load(profile), channels_last(), noise(3, 8, 8, 4)
    program = program_of(model, accelerator, None if accelerator.is_float else {"x": x})
    expected = np.stack([run_model(model, {"x": sample})[0] for sample in x])
    with Session(program, device="csim", threads=2) as session:
        for index in range(3):
            near(session.run(None, {"x": x[index]})[0], expected[index])
        near(session.run(None, {"x": x})[0], expected)


@pytest.mark.parametrize("profile", ["int8-8x8", "fp32-4x4"])
def test_inputs_for_all_images(profile):
    accelerator, model = Profile.load(profile), with_sides()
    feed = {"x": noise(4, 3, 8, 8), **sides()}
    program = program_of(model, accelerator, None if accelerator.is_float else feed)
    with Session(program, device="csim", threads=2) as session:
        for found, expected in zip(session.run(None, feed), run_model(model, feed), strict=True):
            near(found, expected)
