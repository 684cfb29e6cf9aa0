"""Masks hold through everything an optimizer does."""

import pytest
import torch
from torch import nn

from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.masks import Masks
from tests.support.pruning_networks import digit_net, digits_task

OPTIMIZERS = {
    "momentum and weight decay": Training(epochs=2, learning_rate=0.05, momentum=0.9, weight_decay=1e-2, keep="last"),
    "nesterov": Training(epochs=2, learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, keep="last"),
    "adamw": Training(epochs=2, learning_rate=0.01, optimizer="adamw", weight_decay=0.1, keep="last"),
}


class Watch(Callback):
    """Looks behind every step whether masked elements are zero, and whether their gradients are not."""

    def __init__(self, model, masks):
        self.model, self.masks, self.steps, self.pulled = model, masks, 0, 0

    def on_backward(self, batch):
        parameters = dict(self.model.named_parameters())
        self.pulled += sum(int(parameters[n].grad[~live].count_nonzero()) for n, live in self.masks.items())

    def on_step(self, batch):
        self.steps += 1
        for name, live in self.masks.items():
            assert not dict(self.model.named_parameters())[name][~live].any(), (self.steps, name)


@pytest.mark.parametrize("training", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_single_weights_stay_zero_behind_every_step(training):
    model, task = digit_net(), digits_task(64)
    masks = Masks(model)
    for name, parameter in model.named_parameters():
        masks.prune(name, torch.rand(parameter.shape, generator=torch.Generator().manual_seed(3)) < 0.3)
    watch = Watch(model, masks)
    fit(model, task, training, [masks, watch])
    assert watch.steps == 4
    assert watch.pulled > 100  # the optimizer was asked to move them


@pytest.mark.parametrize("training", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_channels_stay_zero_and_statistics_move(training):
    model, task = digit_net(), digits_task(64)
    masks, chosen = Masks(model), torch.tensor([True, False, True, False, False, False])
    group = find_groups(model, task.example())[0]
    for name, elements in group.parameters_of(chosen):
        masks.prune(name, elements)
    before = model[1].running_var.clone()
    fit(model, task, training, [masks, Watch(model, masks)])
    with torch.no_grad():
        assert not model.eval()[:3](torch.randn(5, 1, 8, 8))[:, chosen].any()
    assert (model[1].running_var != before).all()


def test_without_masks_the_same_weights_revive():
    model, task = digit_net(), digits_task(64)
    model[0].weight.data[:2] = 0
    fit(model, task, OPTIMIZERS["momentum and weight decay"])
    assert model[0].weight[:2].all()


def test_masks_only_grow():
    model = nn.Linear(3, 2)
    masks = Masks(model)
    masks.prune("weight", torch.tensor([[True, False, False], [False, False, False]]))
    masks.prune("weight", torch.tensor([[False, False, False], [False, True, False]]))
    assert masks["weight"].tolist() == [[False, True, True], [True, False, True]]
    assert masks.pruned == 2
    assert masks["bias"].all()
    assert [name for name, _ in masks.items()] == ["weight"]


def test_pinning_takes_what_is_exactly_zero():
    model = nn.Linear(2, 2)
    model.weight.data = torch.tensor([[0.0, 1e-30], [-0.0, 2.0]])
    masks = Masks(model)
    masks.prune_zeros()
    assert masks["weight"].tolist() == [[False, True], [False, True]]


def test_what_is_not_a_number_becomes_zero():
    model = nn.Linear(2, 1)
    model.weight.data = torch.tensor([[torch.nan, torch.inf]])
    Masks(model, {"weight": torch.tensor([[False, False]])})
    assert model.weight.tolist() == [[0, 0]]


def test_masks_survive_a_checkpoint():
    model = nn.Linear(3, 2)
    masks = Masks(model, {"weight": torch.tensor([[True, False, True]] * 2)})
    other = nn.Linear(3, 2)
    restored = Masks(other)
    restored.load_state_dict(masks.state_dict())
    assert torch.equal(restored["weight"], masks["weight"])
    assert not other.weight[:, 1].any()
