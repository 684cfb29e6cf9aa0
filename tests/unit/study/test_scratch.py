"""The control from scratch has the size of the pruned network, even where the network's code has sizes in it."""

from pathlib import Path

import pytest
import torch

from sliceflow.hardware.profile import Profile
from sliceflow.passes.layer_costs import layer_costs
from sliceflow.pruning.recipes.recipe import load_recipe
from sliceflow.pruning.recipes.sources import build_task
from sliceflow.study.cautions import cautions
from sliceflow.study.cells import Cell
from sliceflow.study.export import exported
from sliceflow.study.network import Trainer
from sliceflow.study.sections import StudySection, deploy_section, study_section
from sliceflow.study.summary import summarize
from tests.unit.study.test_summary import document

RIGID = """
from torch import nn

class Rigid(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 12, 3), nn.MaxPool2d(2)
        self.hidden, self.last = nn.Linear(12 * 3 * 3, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = self.pool(self.conv(x).relu()).reshape(-1, 12 * 3 * 3)
        return self.last(self.hidden(x).relu())
"""
RECIPE = """
[model]
build = "rigid.py:Rigid"
[data]
load = "models.digits:datasets"
[pretrain]
epochs = 1
optimizer = "adamw"
learning_rate = 0.01
[finetune]
epochs = 1
optimizer = "adamw"
learning_rate = 0.01
[study]
methods = ["l2-filter"]
ratios = [2]
[study.options.l2-filter]
layers = "all"
"""


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    torch.set_num_threads(1)
    (tmp_path / "rigid.py").write_text(RIGID)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "recipe.toml")
    profile = Profile.load("int8-4x4")
    task = build_task(recipe)
    return Trainer(recipe, study_section(recipe), deploy_section(recipe), profile, task, tmp_path / "work")


def test_a_size_in_the_code_does_not_make_the_control_larger(trainer: Trainer) -> None:
    example = trainer.task.example()

    def sizes(cell: Cell) -> list[tuple[int, int]]:
        costs = layer_costs(exported(trainer.make(cell).model, example))
        return [(cost.outputs, cost.parameters) for cost in costs.values()]

    pruned = sizes(Cell("pruned", "l2-filter", 2, 0))
    assert len(pruned) == 3
    assert pruned[0][0] < 12
    assert sizes(Cell("scratch", "l2-filter", 2, 0)) == pruned


def test_a_control_of_another_size_is_told() -> None:
    study = StudySection(methods=("l2-filter",), ratios=(4,))
    recipe = {"model": {"build": "a:b", "weights": None}, "data": {"load": "photos"}}
    cells = [
        document("unpruned", "", 0, 0, 1000, 0.9),
        document("pruned", "l2-filter", 4, 0, 250, 0.8),
        document("scratch", "l2-filter", 4, 0, 300, 0.8),
    ]
    assert any("another size (300 and 250" in text for text in cautions(study, recipe, summarize(cells), 100))
    cells[2] = document("scratch", "l2-filter", 4, 0, 250, 0.8)
    assert not any("another size" in text for text in cautions(study, recipe, summarize(cells), 100))
