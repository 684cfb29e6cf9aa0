"""The cycle model against the clock log of the simulated kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sliceflow.build import integer_options
from sliceflow.devices.registers import LayerClocks
from sliceflow.devices.rtl.device import RtlDevice
from sliceflow.frontend import load_model
from sliceflow.graph.descriptor import Descriptor, Op, PoolMode
from sliceflow.graph.program import Program
from sliceflow.hardware.cycles import CycleEstimate, predict, predict_launch
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, quantize
from tests.csim.support import profile_of
from tests.rtl.test_device import PROFILES, Bench
from tests.support.random_program import Case, random_program

MODEL = Path(__file__).resolve().parents[2] / "models" / "mnist_vgg_pruned.onnx"
ERROR = 0.02
SHORT = 150
"""Clocks of a layer below which SHORT * ERROR clocks are allowed."""


def misses(estimates: Sequence[CycleEstimate], clocks: Sequence[LayerClocks]) -> list[str]:
    """Layers whose prediction is off by more than is allowed."""
    assert len(estimates) == len(clocks) > 0
    return [
        f"layer {number}: {measured.cycles} clocks, {measured}; predicted {estimate}"
        for number, (estimate, measured) in enumerate(zip(estimates, clocks, strict=True))
        if abs(estimate.predicted - measured.cycles) > ERROR * max(SHORT, measured.cycles)
    ]


def measure(bench: Bench, case: Case) -> list[LayerClocks]:
    return bench.launch(bench.place(case, case.activations.copy()), case)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_layer_of_random_launches_is_predicted(profile):
    bench, made, seen = Bench(profile), profile_of(profile), list[Descriptor]()
    for seed in range(120):
        case = random_program(seed, made, layers=1 + 2 * (seed % 2))
        estimates, clocks = predict_launch(case.descriptors, made), measure(bench, case)
        assert not misses(estimates, clocks), case.describe()
        begin = 0
        for estimate, layer in zip(estimates, clocks, strict=True):
            assert abs(layer.begin - begin - estimate.gap) <= 3, case.describe()
            begin = layer.end
        seen += case.descriptors
    assert {layer.op for layer in seen} == set(Op)
    assert {layer.pool_mode for layer in seen} == set(PoolMode)
    assert any(layer.strips > 4 for layer in seen)
    assert any(layer.upsample_y > 1 for layer in seen)


@pytest.fixture(scope="module")
def mnist() -> Program:
    profile = Profile.load("int8-4x4")
    images = np.random.default_rng(5).random((16, 1, 28, 28), np.float32)
    model = quantize(load_model(MODEL), CalibrationData({"input": images}), integer_options(profile)).model
    return compile_model(model, profile, name="mnist", source_sha256="0" * 64)


def test_every_layer_of_a_network_is_predicted(mnist):
    device = RtlDevice(1)
    device.load(mnist)
    device.launch(0, len(mnist.descriptors))
    assert not misses(predict_launch(mnist.descriptors, mnist.profile), device.clocks)
    shown = [layer.predicted_cycles for layer in mnist.fpga_layers]
    assert shown == [estimate.predicted for estimate in predict_launch(mnist.descriptors, mnist.profile)]
    total, measured = sum(shown), sum(layer.cycles for layer in device.clocks)
    assert total == pytest.approx(measured, rel=0.005)
    device.close()


def test_a_layer_that_the_model_has_wrong_is_noticed(mnist):
    bench = Bench("int8-4x4")
    case = random_program(0, mnist.profile, op=Op.CONV, layers=1)
    clocks = measure(bench, case)
    wider = dataclasses.replace(case.descriptor, conv_width=case.descriptor.conv_width + 2)
    assert misses([predict(wider, mnist.profile)], clocks)
    assert not misses([predict(case.descriptor, mnist.profile)], clocks)
