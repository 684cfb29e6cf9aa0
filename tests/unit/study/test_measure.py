"""Measurements against torch, against counts by hand, and against the compiled program."""

import numpy as np
import pytest
import torch
from torch import nn

from models import digits
from sliceflow.errors import UserError
from sliceflow.frontend import serialize
from sliceflow.frontend.torch import export_module
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.recipes.recipe import DataSection, ModelSection, Recipe
from sliceflow.pruning.recipes.sources import build_task
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.masks import Masks
from sliceflow.study.export import exported
from sliceflow.study.latency import median_ratio, side_by_side
from sliceflow.study.measure import Exam, measure, on_device

WIDTH = 8
PROFILE = Profile.load("int8-4x4")


@pytest.fixture(scope="module")
def trained():
    """A network that knows the digits a little, their exam, and the task."""
    torch.set_num_threads(1)
    recipe = Recipe(
        model=ModelSection(build="x:y"), data=DataSection(load="models.digits:datasets"), finetune=Training(epochs=1)
    )
    task = build_task(recipe)
    torch.manual_seed(0)
    model = digits.network(WIDTH)
    fit(model, task, Training(epochs=2, optimizer="adamw", learning_rate=0.01))
    return model.eval(), Exam.of(task, 64, 200), task


def test_figures_are_those_of_the_network(trained) -> None:
    model, exam, task = trained
    found = measure(exported(model, task.example()), exam, PROFILE, name="m", device="csim")
    result = found.result
    convolutions = 9 * WIDTH + WIDTH, 9 * WIDTH * 2 * WIDTH + 2 * WIDTH  # with the bias that batch norm leaves
    linear = 2 * WIDTH * 4 * 2 * WIDTH + 2 * WIDTH, 2 * WIDTH * 10 + 10
    assert [layer.parameters for layer in result.layers] == [*convolutions, *linear]
    assert result.parameters == sum(convolutions + linear) == result.nonzero
    assert result.macs == 64 * 9 * WIDTH + 16 * 9 * WIDTH * 2 * WIDTH + 2 * WIDTH * 4 * 2 * WIDTH + 2 * WIDTH * 10
    with torch.no_grad():
        expected = (model(torch.from_numpy(exam.images)).argmax(1).numpy() == exam.targets).mean()
    assert result.accuracy.top1 == pytest.approx(expected)
    assert result.hardware.cycles == sum(layer.predicted_cycles for layer in found.built.program.fpga_layers)
    assert result.hardware.accuracy is not None
    assert abs(result.hardware.accuracy.top1 - expected) < 0.03
    assert len(exam.images) == 200
    assert len(exam.calibration) == 64


def test_zeros_that_stand_cost_what_weights_cost_and_removed_channels_nothing(trained) -> None:
    model, exam, task = trained
    module = digits.network(WIDTH)
    module.load_state_dict(model.state_dict())
    masks, groups = Masks(module), find_groups(module, task.example())
    for group in groups:
        gone = torch.arange(group.size) % 2 == 0
        for name, elements in group.parameters_of(gone):
            masks.prune(name, elements)
    graphs = [exported(module, task.example(), simplified=simplified) for simplified in (False, True)]
    masked, small = (measure(graph, exam, PROFILE, name="m", device=None).result for graph in graphs)
    dense = measure(exported(model, task.example()), exam, PROFILE, name="m", device=None).result
    assert (masked.parameters, masked.macs, masked.hardware.cycles) == (
        dense.parameters,
        dense.macs,
        dense.hardware.cycles,
    )
    assert masked.nonzero < 0.7 * dense.nonzero
    half = measure(exported(digits.network(WIDTH // 2), task.example()), exam, PROFILE, name="m", device=None).result
    assert small.parameters == half.parameters
    assert small.macs == half.macs
    assert small.hardware.cycles == half.hardware.cycles < dense.hardware.cycles
    assert small.accuracy == masked.accuracy


def test_a_flipped_weight_shows(trained) -> None:
    model, exam, task = trained
    module = digits.network(WIDTH)
    module.load_state_dict(model.state_dict())
    with torch.no_grad():
        module[-1].weight[3] *= -1
    right, wrong = (
        measure(exported(m, task.example()), exam, PROFILE, name="m", device=None).result.accuracy
        for m in (model, module)
    )
    assert wrong.recall[3] is not None
    assert right.recall[3] is not None
    assert wrong.recall[3] < right.recall[3] - 0.3


def test_devices_give_the_same_outputs(trained) -> None:
    model, exam, task = trained
    program = measure(exported(model, task.example()), exam, PROFILE, name="m", device=None).built.program
    np.testing.assert_array_equal(*(on_device(program, name, exam.images[:5]) for name in ("csim", "reference")))


def test_errors_name_the_step(trained) -> None:
    _, exam, task = trained
    unmapped = exported(nn.Sequential(nn.Flatten(), nn.Softmax(1)), task.example())
    with pytest.raises(UserError) as caught:
        measure(unmapped, exam, PROFILE, name="m", device=None)
    assert caught.value.where.startswith("quantization and mapping")
    broken = digits.network(WIDTH)
    with torch.no_grad():
        broken[0].weight[0] = torch.inf
    infinite = exported(broken, task.example(), simplified=False)
    with pytest.raises(UserError) as caught:
        measure(infinite, exam, PROFILE, name="m", device=None)
    assert caught.value.where.startswith("quantization and mapping, Conv")


class Two(nn.Module):
    """Two outputs, or two inputs."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inputs, self.layer = inputs, nn.Conv2d(1, 4, 3)

    def forward(self, x, y=None):
        return self.layer(x + y) if self.inputs == 2 else (self.layer(x), self.layer(2 * x))


@pytest.mark.parametrize(("inputs", "words"), [(1, "one output"), (2, "one input")])
def test_networks_of_other_forms_are_refused(trained, inputs, words) -> None:
    _, exam, task = trained
    example = task.example()
    model = export_module(Two(inputs), (example,) * inputs, older_first=True)
    with pytest.raises(UserError, match=words):
        measure(model, exam, PROFILE, name="m", device=None)


def test_twenty_times_the_work_takes_longer(trained) -> None:
    task = trained[2]
    files = {
        name: serialize(exported(digits.network(width), task.example()), name)
        for name, width in (("small", 4), ("large", 256))
    }
    times = side_by_side(files, {"input": task.example().numpy()}, 7)
    assert [len(of) for of in times.values()] == [7, 7]
    assert median_ratio(times, "large", "small") > 2


def test_ratios_are_of_rounds() -> None:
    assert median_ratio({"a": [1.0, 8.0, 30.0], "b": [1.0, 2.0, 10.0]}, "a", "b") == 3
