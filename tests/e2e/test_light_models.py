"""The onnx package's classification networks: mapped almost whole, and two of them run against ONNX Runtime."""

import dataclasses

import numpy as np
import pytest

from sliceflow.devices.base import open_device
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor
from tests.support import light_models


@pytest.mark.parametrize("profile", ["fp32-4x4", "int8-8x8"])
@pytest.mark.parametrize("name", ["squeezenet", "resnet50", "inception_v1", "densenet121"])
def test_almost_all_products_run_on_the_accelerator(name: str, profile: str) -> None:
    found = light_models.measure(name, profile)
    assert found["totals"]["fpga_share"] > 0.99
    assert {group["op"] for group in found["cpu"]} <= {"Softmax", "LRN", "QuantizeLinear", "DequantizeLinear"}


def test_shufflenet_keeps_its_grouped_convolutions() -> None:
    found = light_models.measure("shufflenet", "int8-8x8")
    assert found["totals"]["fpga_share"] > 0.99
    left = {group["op"] for group in found["cpu"]}
    assert left == {"Transpose", "Reshape", "QuantizeLinear", "DequantizeLinear", "Softmax"}


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_csim_is_within_a_step_of_onnxruntime(name: str) -> None:
    found = light_models.difference(name, "csim")
    assert found.error <= 1.001
    assert len(found.program.fpga_layers) > 20


def test_flipped_weight_bit_is_caught() -> None:
    model = light_models.without_softmax(light_models.quantized(light_models.load("squeezenet", seed=1)))
    program = light_models.compiled(model, "squeezenet", "int8-8x8")
    weights = program.weights.copy()
    weights[int(np.flatnonzero(weights)[0])] ^= 0x40
    feed = light_models.images(model, 1, 2)
    answers = []
    for each in (program, dataclasses.replace(program, weights=weights)):
        device = open_device("csim", each, threads=1)
        answers.append(Executor(each, device, CpuLayers(each, 1)).run(feed)[program.outputs[0].name])
        device.close()
    assert not np.array_equal(*answers)
