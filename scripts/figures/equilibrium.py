"""Neurons at equilibrium: how much of back-propagation training can leave out, and what that costs in accuracy.

usage: python -m scripts.figures.equilibrium [--seeds N] [--write]

A residual network of 20 layers on 8x8 digits. About two minutes of one processor for each seed.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import torch

from models.resnet_cifar import CifarResNet, CifarResNetShape
from scripts.figures.over_seeds import over_seeds
from scripts.figures.record import table
from scripts.figures.small_tasks import digits, spread
from sliceflow.pruning.equilibrium.freezing import Freezing, RandomFreezing
from sliceflow.pruning.equilibrium.neq import Equilibrium, EquilibriumOptions
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.task import Task, evaluate

SHAPE = CifarResNetShape(blocks=(3, 3, 3), width=8, in_channels=1, image_size=8)
EPOCHS = 40
EPSILONS = (0.0, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1)
MATCHED = 2e-2
"""The control freezes as many neurons at random as this limit does."""
OBSERVED = 50


def main() -> int:
    """Measure, print, record."""
    over_seeds("equilibrium", __doc__, measure, page)
    return 0


def measure(seed: int) -> dict[str, Any]:
    """One seed: the same split and the same first weights for all limits."""
    task = digits(seed)
    images = [next(iter(task.validation))[0][:OBSERVED]]
    found: dict[str, Any] = {"seed": seed, "observe": EquilibriumOptions().observe}
    for epsilon in EPSILONS:
        model = _network(seed)
        callback = Equilibrium(model, images, EquilibriumOptions(epsilon=epsilon))
        found[f"{epsilon:g}"] = _train(model, task, callback, seed)
    later = found[f"{MATCHED:g}"]["frozen_by_epoch"][1:]  # nothing is frozen in the first epoch
    model = _network(seed)
    control = RandomFreezing(model, images[0], statistics.mean(later), seed)
    found["random"] = _train(model, task, control, seed)
    return found


def _network(seed: int) -> CifarResNet:
    torch.manual_seed(seed)
    return CifarResNet(SHAPE)


def _train(model: CifarResNet, task: Task, callback: Freezing, seed: int) -> dict[str, Any]:
    training = Training(
        epochs=EPOCHS,
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        milestones=(20, 30),
        keep="last",
        seed=seed,
    )
    fit(model, task, training, [callback])
    costs = callback.costs
    full = sum(cost.full for cost in costs)
    return {
        "accuracy": 100 * evaluate(model, task.test, task).metric,
        "skipped": 1 - sum(cost.needed for cost in costs) / full,
        "skipped_in_proportion": 1 - sum(cost.proportional for cost in costs) / full,
        "frozen_by_epoch": [cost.frozen / cost.neurons for cost in costs],
    }


def page(runs: list[dict[str, Any]]) -> str:
    """The table and what it means."""
    names = [f"{epsilon:g}" for epsilon in EPSILONS]
    labels = {**{name: name for name in names}, "random": f"at random, as many as with {MATCHED:g}"}
    header = ["limit", "accuracy", "neurons frozen", "by the last epoch", "MACs skipped", "in proportion"]
    rows = []
    for name, label in labels.items():
        found = [run[name] for run in runs]
        frozen = [100 * statistics.mean(one["frozen_by_epoch"]) for one in found]
        last = [100 * one["frozen_by_epoch"][-1] for one in found]
        skipped = [[100 * one[key] for one in found] for key in ("skipped", "skipped_in_proportion")]
        rows.append([label, *map(spread, ([one["accuracy"] for one in found], frozen, last, *skipped))])
    settings = {"seeds": len(runs), "epochs": EPOCHS, "observed": OBSERVED}
    settings["observe"] = runs[0].get("observe", "potentials")
    intro, notes = _TEXT.format(**settings).split("---\n")
    return "\n\n".join([intro.strip(), table(header, rows), notes.strip()])


_TEXT = """# Neurons at equilibrium

A residual network of 20 layers (8 channels in the first group) on the 8x8 digits of scikit-learn, {epochs} epochs of
SGD. After each epoch the neurons whose velocity, that of their {observe} for {observed} validation images with a
momentum of 0.5, is below the limit are left out of training for the next epoch. All figures are percentages, measured:
mean and sample standard deviation over {seeds} seeds; one of the 350 test images is 0.3 points.
---
*Neurons frozen*: of the hidden layers, mean over all epochs. *MACs skipped*: multiply-accumulates of back-propagation
over the whole training that need not be computed; gradients still pass through frozen neurons to the layers before.
*In proportion*: if the gradient of a layer's inputs shrank with its frozen neurons, too, which fits the published
figures (A. Bragagnolo, thesis, 2023, table 9.2: ResNet-32 on CIFAR-10 39.0 % less at 0.001, and no loss of accuracy in
250 epochs). MACs are counted, not saved here: torch computes whole layers, so that a step takes as long as before. A
limit of 0 freezes nothing. Velocities begin near 1 and halve each epoch at best, so that with 0.001 nothing can freeze
in about the first ten epochs."""


if __name__ == "__main__":
    sys.exit(main())
