"""SeReNe and LOBSTER against weight decay, all with thresholding, on LeNet-300-100 and LeNet-5 with 4,000 digits.

usage: python -m scripts.figures.lenet_pruning [NETWORK ...] [--folder FOLDER]

About 20 minutes of one processor. The 1,000 test digits decide nothing: hyperparameters are chosen, and levels of
accuracy are read, on validation digits drawn from the 4,000.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.data import mnist5k
from models.lenet import LeNet5, LeNet300
from scripts.figures.keep import Keeper
from scripts.figures.lenet_page import geometric, page, read
from scripts.figures.record import write
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.regularized.serene import Kind, sensitivities
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.resplit import TensorLoader
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task, evaluate

BATCH = 100


@dataclasses.dataclass(frozen=True)
class Study:
    """One network's experiment: every method gets the same epochs, the same strengths to choose from, the same seeds.

    Attributes:
        tuned_on: another study, whose choice of strengths is taken; None tries all, unless there is one only.
        digits: that train and validate.
    """

    network: type[nn.Module]
    methods: tuple[str, ...]
    dense_epochs: int
    budget: int
    patience: int
    tolerance: float
    seeds: tuple[int, ...]
    strengths: tuple[float, ...] = ()
    tuning_seeds: tuple[int, ...] = ()
    tuned_on: str | None = None
    digits: int = 4000

    @property
    def validation(self) -> int:
        """Digits that validate, a fifth."""
        return self.digits // 5

    @property
    def steps_per_epoch(self) -> int:
        """Batches of those that train."""
        return -(-(self.digits - self.validation) // BATCH)


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "L2 + pruning": ("l2-threshold", {}),
    "L2 + pruning, tolerance 0": ("l2-threshold", {"tolerance": 0.0}),
    "LOBSTER": ("lobster", {}),
    "SeReNe, lower bound": ("serene", {"sensitivity": "lower"}),
    "SeReNe, exact": ("serene", {"sensitivity": "exact"}),
    "LOBSTER, relative": ("lobster", {"relative": True}),
    "SeReNe, lower bound, relative": ("serene", {"sensitivity": "lower", "relative": True}),
}
LONG = "LeNet-300-100, until weights have decayed"
NAMES: dict[type[nn.Module], str] = {LeNet300: "LeNet-300-100", LeNet5: "LeNet-5"}
STUDIES = {
    "LeNet-300-100": Study(LeNet300, tuple(METHODS), 40, 80, 1, 0.3, (0, 1, 2, 3, 4), (1e-4, 1e-3), (100, 101)),
    "LeNet-5": Study(
        LeNet5,
        ("L2 + pruning", "LOBSTER", "SeReNe, lower bound", "SeReNe, lower bound, relative"),
        dense_epochs=12,
        budget=18,
        patience=1,
        tolerance=1.0,
        seeds=(0, 1, 2),
        tuned_on="LeNet-300-100",
    ),
    LONG: Study(
        LeNet300,
        ("L2 + pruning", "LOBSTER", "SeReNe, lower bound", "LOBSTER, relative", "SeReNe, lower bound, relative"),
        dense_epochs=40,
        budget=640,
        patience=20,
        tolerance=0.3,
        seeds=(0, 1, 2),
        strengths=(1e-3,),
        digits=1000,
    ),
}
RECORDED = tuple(name for name in STUDIES if name != LONG)
"""Those of this figure's page; ``lenet_decay`` has the other."""


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(RECORDED), help="all if omitted")
    parser.add_argument("--folder", type=Path, help="keeps the results of runs, so that a broken run goes on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # weights that decay become denormal, and slow
    begin = time.process_time()
    keeper = Keeper(arguments.folder)
    results: dict[str, Any] = {}
    for name in RECORDED:
        if name in arguments.networks:
            results[name] = run_study(name, keeper, results)
    print(page(results))
    print(f"{time.process_time() - begin:.0f} s of processor time")
    if set(arguments.networks) == set(RECORDED):
        write("lenet_pruning", page, results)
    return 0


def run_study(name: str, keeper: Keeper, before: dict[str, Any]) -> dict[str, Any]:
    """All runs of one study.

    Args:
        name: in ``STUDIES``.
        keeper: keeps the results of runs.
        before: results of other studies, of which this one may take strengths.
    """
    study = STUDIES[name]

    def runs(label: str, strength: float, seeds: Sequence[int]) -> list[dict[str, Any]]:
        parts = [
            name,
            label,
            str(strength),
            *map(str, (study.budget, study.patience, study.tolerance, study.dense_epochs)),
        ]
        return [
            keeper.result("lenet", [*parts, str(seed)], lambda seed=seed: _run(name, label, strength, seed))
            for seed in seeds
        ]

    methods = {}
    for label in study.methods:
        if study.tuned_on is None:
            scores = {}
            if len(study.strengths) > 1:
                scores = {strength: score(runs(label, strength, study.tuning_seeds)) for strength in study.strengths}
            strength = max(study.strengths, key=lambda strength: scores.get(strength, 0.0))
        else:
            scores, strength = {}, before[study.tuned_on]["methods"][label]["strength"]
        methods[label] = {"strength": strength, "scores": scores, "runs": runs(label, strength, study.seeds)}
    options = dataclasses.asdict(study) | {"network": NAMES[study.network], "steps_per_epoch": study.steps_per_epoch}
    sizes = keeper.result("lenet", ["sensitivities", name], lambda: _sensitivities(study))
    return {"options": options, "methods": methods, "sensitivities": sizes}


def score(runs: list[dict[str, Any]]) -> float:
    """What tuning maximizes: the compression at the level that decides."""
    return geometric(read(run)["compression"] for run in runs)


def _sensitivities(study: Study) -> dict[str, dict[str, list[float]]]:
    """Mean and largest value of each layer of the dense network of the first seed."""
    task, dense = _start(study, study.seeds[0])
    inputs, targets = next(iter(task.train))
    kinds: tuple[Kind, ...] = ("lower", "exact")
    found = {f"S, {kind}": sensitivities(dense, inputs, kind) for kind in kinds}
    names = [name.removesuffix(".weight") for name, _ in dense.named_parameters() if name.endswith(".weight")]
    loss = task.loss(dense(inputs), targets)
    gradients = torch.autograd.grad(loss, [dense.get_submodule(name).weight for name in names])
    found["gradient"] = {name: gradient.abs() for name, gradient in zip(names, gradients, strict=True)}
    return {kind: {k: [float(v.mean()), float(v.max())] for k, v in of.items()} for kind, of in found.items()}


def _run(name: str, label: str, strength: float, seed: int) -> dict[str, Any]:
    """One seed: its own split, its own dense network, which all methods prune."""
    study, (method, options) = STUDIES[name], METHODS[label]
    common = {"strength": strength, "tolerance": study.tolerance, "budget": study.budget, "initial": False}
    task, dense = _start(study, seed)
    tests = _Tests(task)
    training = Training(epochs=study.budget, learning_rate=0.1, patience=study.patience, seed=seed)
    model, begin = copy.deepcopy(dense), time.process_time()
    outcome = make_method(method, **(common | options)).prune(
        model, task, Request(ratio=0.9999, training=training, seed=seed), Run(progress=lambda _: tests)
    )
    seconds = time.process_time() - begin
    rounds = [
        {
            "epochs": entry["epochs"],
            "compression": entry["compression"],
            "validation_error": 100 * (1 - entry["metric"]),
            "test_error": test,
            "layers": {layer["layer"]: [layer["live_neurons"], layer["live_weights"]] for layer in entry["layers"]},
        }
        for entry, test in zip(outcome.log, tests.errors, strict=True)
    ]
    errors = {
        "validation_error": 100 * (1 - evaluate(dense, task.validation, task).metric),
        "test_error": tests.error(dense),
    }
    print(f"{name}, {label}, {strength:g}, seed {seed}: {rounds[-1]['compression']:.1f}x, {seconds:.0f} s", flush=True)
    return {"seed": seed, "dense": errors, "rounds": rounds, "seconds": round(seconds, 1)}


_DENSE: dict[tuple[type[nn.Module], int], tuple[Task, nn.Module]] = {}


def _start(study: Study, seed: int) -> tuple[Task, nn.Module]:
    """The split and the trained dense network of a seed."""
    if (study.network, seed) not in _DENSE:
        images, labels, test_images, test_labels = map(torch.from_numpy, mnist5k())
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        held, used = order[: study.validation], order[study.validation : study.digits]
        task = Task(
            train=TensorLoader(images[used], labels[used], BATCH, shuffle=True),
            validation=TensorLoader(images[held], labels[held], 400),
            test=TensorLoader(test_images, test_labels, 500),
        )
        torch.manual_seed(seed)
        dense = study.network()
        fit(dense, task, Training(epochs=study.dense_epochs, learning_rate=0.1, seed=seed))
        _DENSE[study.network, seed] = task, dense
    return _DENSE[study.network, seed]


class _Tests(Callback):
    """The test error behind each round of training."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.errors: list[float] = []

    def error(self, model: nn.Module) -> float:
        return 100 * (1 - evaluate(model, self._task.test, self._task).metric)

    def on_end(self, model: nn.Module) -> None:
        self.errors.append(self.error(model))


if __name__ == "__main__":
    sys.exit(main())
