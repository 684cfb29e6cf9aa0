"""Weights against units: a trained fully connected network of digits, pruned in both ways, without training after it.

usage: python -m scripts.figures.weight_vs_unit [--seeds N] [--write]

Also measured: inference with sparse matrices (COO) and with units cut out, on one thread. About two minutes of one
processor for each seed.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn

from models.mlp import mlp
from scripts.figures.over_seeds import over_seeds
from scripts.figures.record import table
from scripts.figures.small_tasks import mnist, spread
from sliceflow.pruning.channels.observe import largest_difference
from sliceflow.pruning.channels.shrink import shrink
from sliceflow.pruning.sweep.coo import CooLinear, to_coo
from sliceflow.pruning.sweep.diagnostics import histograms
from sliceflow.pruning.sweep.prune import Pruned, hidden_layers, sweep
from sliceflow.pruning.sweep.timing import break_even, forward_seconds
from sliceflow.pruning.training.fit import Training, fit
from sliceflow.pruning.training.task import evaluate

SHARES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)
TRAINING = Training(epochs=10, learning_rate=1e-3, optimizer="adamw", weight_decay=0.0)
BATCH = 100
ROUNDS = 9
SHOWN = 0.5
"""The share of which histograms are shown."""
BINS = 8
PUBLISHED = {
    "weight": (98.15, 98.16, 98.17, 97.98, 97.72, 96.92, 87.50, 33.11, 10.52, 9.74),
    "unit": (98.15, 98.16, 97.90, 97.60, 96.54, 90.19, 13.84, 9.74, 9.74, 9.74),
}
"""Accuracies on full MNIST (Gnanaratnam, 2021), one run."""


def main() -> int:
    """Measure, print, record. Returns 1 if cutting units out changed an answer."""
    runs = over_seeds("weight_vs_unit", __doc__, measure, page)
    return int(any(run["other_answers"] for run in runs))


def measure(seed: int) -> dict[str, Any]:
    """One seed: its own network and split."""
    task = mnist(seed, flat=True)
    torch.manual_seed(seed)
    model = mlp()
    fit(model, task, Training(**{**vars(TRAINING), "seed": seed}))
    copies = sweep(model, task, SHARES)
    sparse = {_name(one): to_coo(one.model) for one in copies}
    compact = {_name(one): _compact(one, task.example()) for one in copies if one.mode == "unit"}
    inputs = next(iter(task.test))[0][:BATCH]
    candidates = {"dense": model, **{f"coo {n}": m for n, m in sparse.items()}, **compact}
    times = forward_seconds(candidates, inputs, rounds=ROUNDS, clock=time.thread_time)
    quality = {_name(one): one.quality for one in copies}
    answers = {name: evaluate(m, task.test, task).metric - quality[name].metric for name, m in compact.items()}
    with torch.no_grad():
        apart = {
            _name(one): largest_difference([one.model(inputs)], [compact[_name(one)](inputs)])
            for one in copies
            if one.mode == "unit"
        }
    return {
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": {name: found.loss for name, found in quality.items()},
        "accuracy": {name: 100 * found.metric for name, found in quality.items()},
        "separation": {_name(one): statistics.mean(one.separation.values()) for one in copies if one.separation},
        "histograms": {_name(one): _histograms(one, model) for one in copies if one.share == SHOWN},
        "milliseconds": {name: round(1e3 * seconds, 4) for name, seconds in times.items()},
        "stored_bytes": {name: _stored(found) for name, found in sparse.items()},
        "dense_bytes": sum(4 * layer.weight.numel() for layer in list(model)[:-1] if isinstance(layer, nn.Linear)),
        "difference": max(apart.values()),
        "other_answers": sum(change != 0 for change in answers.values()),
    }


def _histograms(one: Pruned, model: nn.Module) -> dict[str, Any]:
    """For each layer edges of bins of magnitudes, and how many weights of each bin stay and go."""
    found = {}
    for name, layer in hidden_layers(model).items():
        live, magnitudes = one.masks[f"{name}.weight"], layer.weight.detach().abs()
        edges, kept, gone = histograms(magnitudes[live], magnitudes[~live], BINS)
        found[name] = {"edges": edges.tolist(), "kept": kept.tolist(), "gone": gone.tolist()}
    return found


def _name(one: Pruned) -> str:
    return f"{one.mode} {one.share:g}"


def _compact(one: Pruned, example: torch.Tensor) -> nn.Module:
    compact = copy.deepcopy(one.model)
    shrink(compact, example)
    return compact


def _stored(model: nn.Module) -> int:
    return sum(layer.stored_bytes for layer in model.modules() if isinstance(layer, CooLinear))


def page(runs: list[dict[str, Any]]) -> str:
    """The tables and what they mean."""
    header = ["share", "weights", "units", "loss, weights", "loss, units", "separation, weights", "separation, units"]
    header += ["published: weights", "published: units"]
    times = ["share", "COO, weights", "COO, units", "units cut out", "matrices in COO, weights", "units"]
    dense = [run["milliseconds"]["dense"] for run in runs]
    return "\n\n".join(
        [
            _INTRO.format(parameters=runs[0]["parameters"], seeds=len(runs), epochs=TRAINING.epochs),
            table(header, [_quality_row(runs, index, share) for index, share in enumerate(SHARES)]),
            _QUALITY,
            "## Which weights go",
            _BINS.format(share=SHOWN),
            table(["layer", "pruned", *(f"bin {index + 1}" for index in range(BINS))], _bin_rows(runs)),
            "## Time of a batch",
            f"Milliseconds for {BATCH} digits, measured; dense: {spread(dense, 2)}.",
            table(times, [_time_row(runs, share) for share in SHARES]),
            _even(runs),
            _TIMES.format(
                rounds=ROUNDS,
                changed=sum(run["other_answers"] for run in runs),
                difference=max(run["difference"] for run in runs),
            ),
        ]
    )


_INTRO = """# Weights against units

A fully connected network of digits (784-1000-1000-500-200-10, ReLU, {parameters:,} parameters), trained for {epochs}
epochs on 3,400 digits of MNIST, then pruned without any training after it: in every layer but the last the same share
of the single weights of least magnitude, or of the units of least L2 norm. Accuracy in percent and loss are measured on
1,000 held-back digits: mean and sample standard deviation over {seeds} seeds."""
_QUALITY = """*Separation*: the area under the curve by which the magnitude of a weight tells those that stay from
those that go, mean over layers: 1 where only the smallest go, 0.5 where magnitude says nothing. *Published*: accuracies
that N. Gnanaratnam (2021) measured on full MNIST, one run, with a network of this shape; only the shape of the curve
compares."""
_BINS = """The part of the weights that goes at a share of {share:.0%}, by magnitude: weights of all seeds, each
seed's in bins of equal width from 0 to its largest weight of the layer."""
_TIMES = """*COO*: matrices in coordinate format, `torch.sparse.mm`; the last layer stays dense. *Units cut out*: the
network is smaller and dense. Processor time of one thread, medians of {rounds} rounds after 3 that do not count, in
each of which all networks run in turn; conversion is not included. *Matrices in COO*: memory as a share of the dense
matrices, 20 bytes for each element that is not zero, so that a fifth of them breaks even. Cutting units out
changed the accuracy of {changed} copies; the largest difference of an output is {difference:.0e} of
the largest output (sums in another order)."""


def _over(runs: list[dict[str, Any]], key: str, name: str, digits: int) -> str:
    return spread([run[key][name] for run in runs], digits) if name in runs[0][key] else "-"


def _quality_row(runs: list[dict[str, Any]], index: int, share: float) -> list[str]:
    names = [f"{mode} {share:g}" for mode in PUBLISHED]
    row = [f"{share:.0%}"]
    row += [_over(runs, key, name, digits) for key, digits in (("accuracy", 1), ("loss", 2)) for name in names]
    row += [_over(runs, "separation", name, 2) for name in names]
    return [*row, *(f"{values[index]:.2f}" for values in PUBLISHED.values())]


def _bin_rows(runs: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for layer in runs[0]["histograms"][f"weight {SHOWN:g}"]:
        for mode in PUBLISHED:
            found = [run["histograms"][f"{mode} {SHOWN:g}"][layer] for run in runs]
            sums = [[sum(one[key][index] for one in found) for index in range(BINS)] for key in ("kept", "gone")]
            parts = [f"{gone / (kept + gone):.0%}" if kept + gone else "-" for kept, gone in zip(*sums, strict=True)]
            rows.append([layer, f"{mode}s", *parts])
    return rows


def _time_row(runs: list[dict[str, Any]], share: float) -> list[str]:
    names = [f"{mode} {share:g}" for mode in PUBLISHED]
    row = [f"{share:.0%}", *(_over(runs, "milliseconds", f"coo {name}", 2) for name in names)]
    row.append(_over(runs, "milliseconds", names[1], 2))
    memory = [statistics.mean(run["stored_bytes"][name] / run["dense_bytes"] for run in runs) for name in names]
    return [*row, *(f"{part:.0%}" for part in memory)]


def _even(runs: list[dict[str, Any]]) -> str:
    lines = []
    for mode in PUBLISHED:
        found = []
        for run in runs:
            seconds = [run["milliseconds"][f"coo {mode} {share:g}"] for share in SHARES]
            found.append(break_even(SHARES, seconds, run["milliseconds"]["dense"]))
        words = ", ".join("never" if share is None else f"{share:.0%}" for share in found)
        lines.append(
            f"With {mode}s pruned, sparse matrices are faster than dense from this share on: {words} (each seed)."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
