"""Pruning of residual blocks: saliencies, schedules of training, and orders of removal, on 8x8 digits.

usage: python -m scripts.figures.block_pruning [--seeds N] [--write]

A residual network of 32 layers, 8 channels in its first group, 15 blocks. About two minutes of one processor for each
seed. Decisions are made on validation images; what is shown is measured on test images that decide nothing.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn

from models.resnet_cifar import CifarResNet, CifarResNetShape
from scripts.figures.over_seeds import over_seeds
from scripts.figures.record import table
from scripts.figures.small_tasks import digits, spread
from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.blocks.pruner import BlockOptions, BlockResult, prune_blocks
from sliceflow.pruning.blocks.ranking import kendall_tau
from sliceflow.pruning.blocks.saliencies import SALIENCIES
from sliceflow.pruning.blocks.schedules import Every, LowHigh, Schedule, Threshold, Uniform, fine_tuning
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate

SHAPE = CifarResNetShape(blocks=(5, 5, 5), width=8, in_channels=1, image_size=8)
STANDARD = CifarResNetShape(blocks=(3, 2, 2), width=8, in_channels=1, image_size=8)
"""As many blocks as pruning leaves, evenly spread."""
DENSE = Training(
    epochs=24, learning_rate=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4, milestones=(12, 18), best_by="metric"
)
SHOWN = (2, 4, 6, 8, 10)
TARGET = 8
EPOCHS = 8
RATE = 0.02
NO_TRAINING = Uniform(1, Training(epochs=0))


def main() -> int:
    """Measure, print, record."""
    over_seeds("block_pruning", __doc__, measure, page)
    return 0


def measure(seed: int) -> dict[str, Any]:
    """One seed: its own network, pruned in all ways."""
    task = digits(seed)
    torch.manual_seed(seed)
    dense = CifarResNet(SHAPE)
    fit(dense, task, _seeded(DENSE, seed))
    network = BlockNetwork(copy.deepcopy(dense), task.example())
    found: dict[str, Any] = {"seed": seed, "parameters": network.parameters, "macs": network.macs}
    found["dense"] = _accuracy(dense, task)
    results = {name: _prune(dense, task, name, max(SHOWN), NO_TRAINING, seed)[0] for name in SALIENCIES}
    found["orders"] = {name: result.ranking(0) for name, result in results.items()}
    found["final_orders"] = {name: result.ranking(len(result.steps) - 1) for name, result in results.items()}
    found["without_training"] = {name: _curve(dense, task, result.removed) for name, result in results.items()}
    two = Uniform(2, fine_tuning(EPOCHS, RATE, seed))
    found["trained"] = {name: _judge(dense, task, name, two, seed) for name in SALIENCIES}
    found["schedules"] = {
        name: _judge(dense, task, "activation-change", schedule, seed) for name, schedule in _schedules(seed).items()
    }
    found["from_scratch"] = _from_scratch(task, SHAPE, found["trained"]["activation-change"]["removed"], seed)
    found["standard_from_scratch"] = _from_scratch(task, STANDARD, [], seed)
    return found


def _schedules(seed: int) -> dict[str, Schedule]:
    loop = fine_tuning(EPOCHS, RATE, seed)
    return {
        "one-shot": Uniform(1, loop),
        "4 loops": Uniform(4, loop),
        "after every removal": Every(1, loop),
        "drop of 0.02": Threshold(0.02, loop),
        "drop of 0.1": Threshold(0.1, loop),
        "1 epoch, 8 at the end": LowHigh(fine_tuning(1, RATE / 10, seed), loop),
    }


def _seeded(training: Training, seed: int) -> Training:
    return Training(**{**vars(training), "seed": seed})


def _accuracy(model: nn.Module, task: Task) -> float:
    return 100 * evaluate(model, task.test, task).metric


def _prune(
    dense: nn.Module, task: Task, saliency: str, target: int, schedule: Schedule, seed: int
) -> tuple[BlockResult, BlockNetwork, float]:
    network = BlockNetwork(copy.deepcopy(dense), task.example())
    begin = time.process_time()
    result = prune_blocks(network, task, target, schedule, BlockOptions(saliency=saliency, seed=seed), Run())
    return result, network, time.process_time() - begin


def _curve(dense: nn.Module, task: Task, removed: list[str]) -> list[float]:
    """Test accuracy after each removal, without training."""
    network = BlockNetwork(copy.deepcopy(dense), task.example())
    accuracies = []
    for name in removed:
        network.remove(name)
        accuracies.append(_accuracy(network.model, task))
    return accuracies


def _judge(dense: nn.Module, task: Task, saliency: str, schedule: Schedule, seed: int) -> dict[str, Any]:
    result, network, seconds = _prune(dense, task, saliency, TARGET, schedule, seed)
    return {
        "accuracy": _accuracy(network.model, task),
        "parameters": network.parameters,
        "macs": network.macs,
        "loops": sum(len(step.loops) for step in result.steps),
        "cost": result.cost,
        "cost_kept": result.cost_kept,
        "seconds": round(seconds, 2),
        "removed": result.removed,
    }


def _from_scratch(task: Task, shape: CifarResNetShape, removed: list[str], seed: int) -> dict[str, Any]:
    """A control: a layout without some blocks, with new weights, trained as the dense network was."""
    torch.manual_seed(1000 + seed)
    network = BlockNetwork(CifarResNet(shape), task.example())
    for name in removed:
        network.remove(name)
    fit(network.model, task, _seeded(DENSE, seed))
    return {"accuracy": _accuracy(network.model, task), "parameters": network.parameters, "macs": network.macs}


def page(runs: list[dict[str, Any]]) -> str:
    """The tables and what they mean."""
    first = runs[0]
    dense = spread([run["dense"] for run in runs])
    intro = f"""# Residual blocks, pruned one by one

A residual network of 32 layers ({first["parameters"]:,} parameters, {first["macs"]:,} MACs, 15 blocks, 8 channels in
the first group) on the 8x8 digits of scikit-learn: 1,097 images to train, 350 to validate and decide, 350 to test. All
accuracies are measured on the test images, in percent: mean and sample standard deviation over {len(runs)} seeds, each
with its own network and its own split. One image is 0.3 points. Dense: {dense}."""
    return "\n\n".join(
        [
            intro,
            "## Accuracy after removals, without training",
            table(["saliency", *(f"{count} removed" for count in SHOWN)], _curve_rows(runs)),
            f"## {TARGET} blocks removed, two loops of {EPOCHS} epochs",
            table(
                ["saliency", "accuracy", "parameters left", "MACs left", "cost", "kept", "seconds"],
                _rows(runs, "trained"),
            ),
            *_controls(runs),
            f"## {TARGET} blocks removed by `activation-change`, other schedules of training",
            table(
                ["schedule", "accuracy", "parameters left", "MACs left", "cost", "kept", "seconds"],
                _rows(runs, "schedules"),
            ),
            _COST.format(dense=first["parameters"] * DENSE.epochs / 1e6),
            "## Agreement of orders, Kendall's tau",
            table(
                ["saliency", "with the oracle's first order", "between seeds", "first and last order"], _tau_rows(runs)
            ),
            _NOTES,
        ]
    )


def _controls(runs: list[dict[str, Any]]) -> list[str]:
    """Networks of that size that were never pruned."""
    rows = []
    for key, label in (
        ("from_scratch", "what `activation-change` left"),
        ("standard_from_scratch", str(STANDARD.blocks)),
    ):
        found = [run[key] for run in runs]
        sizes = [
            f"{statistics.mean(one[part] / run[part] for one, run in zip(found, runs, strict=True)):.1%}"
            for part in ("parameters", "macs")
        ]
        rows.append([label, spread([one["accuracy"] for one in found]), *sizes])
    blocks = sum(SHAPE.blocks) - TARGET
    words = f"Controls of {blocks} blocks with new weights, trained for {DENSE.epochs} epochs as the dense network was:"
    return [words, table(["layout", "accuracy", "parameters", "MACs"], rows)]


_COST = """*Cost*: million epoch-parameters, the sum over loops of epochs that were run, times parameters; *kept*: with
epochs up to the one whose weights were kept, 0 where training found nothing better. The dense training before costs
{dense:.2f}. *Seconds*: processor time of scoring and training, one thread."""
_NOTES = """`gradient-max` removes the block with the largest gradient first, and `random` any: controls. Blocks are
taken out physically: parameters and MACs are those of the network that is left. Batch normalizations are not
recalibrated after a removal. An order at a step is that of the removed blocks, and behind them the others by their
scores."""


def _curve_rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [name, *(spread([run["without_training"][name][count - 1] for run in runs]) for count in SHOWN)]
        for name in SALIENCIES
    ]


def _rows(runs: list[dict[str, Any]], key: str) -> list[list[str]]:
    rows = []
    for name in runs[0][key]:
        found = [run[key][name] for run in runs]
        row = [name, spread([one["accuracy"] for one in found])]
        row += [
            f"{statistics.mean(one[part] / run[part] for one, run in zip(found, runs, strict=True)):.1%}"
            for part in ("parameters", "macs")
        ]
        row += [f"{statistics.mean(one[part] for one in found) / 1e6:.2f}" for part in ("cost", "cost_kept")]
        rows.append([*row, f"{statistics.mean(one['seconds'] for one in found):.1f}"])
    return rows


def _tau_rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for name in SALIENCIES:
        with_oracle = [kendall_tau(run["orders"][name], run["orders"]["oracle"]) for run in runs]
        pairs = itertools.combinations([run["orders"][name] for run in runs], 2)
        between = [kendall_tau(one, other) for one, other in pairs]
        lasting = [kendall_tau(run["orders"][name], run["final_orders"][name]) for run in runs]
        rows.append([name, *(spread(values, 2) if values else "-" for values in (with_oracle, between, lasting))])
    return rows


if __name__ == "__main__":
    sys.exit(main())
