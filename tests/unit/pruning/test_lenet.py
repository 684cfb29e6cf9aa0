"""The LeNets have the published sizes."""

import pytest
import torch

from models.lenet import LeNet5, LeNet300
from sliceflow.pruning.definitions import parameters
from sliceflow.pruning.regularized.remaining import remaining


@pytest.mark.parametrize(
    ("network", "count", "neurons", "weights"),
    [
        (LeNet300, 266_610, [300, 100, 10], [235_200, 30_000, 1_000]),
        (LeNet5, 431_080, [20, 50, 500, 10], [500, 25_000, 400_000, 5_000]),
    ],
)
def test_sizes(network, count, neurons, weights):
    model = network()
    assert parameters(model) == count
    assert [layer.neurons for layer in remaining(model)] == neurons
    assert [layer.weights for layer in remaining(model)] == weights
    assert model(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
