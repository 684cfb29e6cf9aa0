"""The page of the figure ``lenet_pruning``: its tables, and the thesis' beside."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import scipy.stats

from scripts.figures.record import table

LEVELS = (0.5, 1.0, 2.0)
"""Points of validation error above the dense network's at which compression is read."""
LEVEL = LEVELS[1]
"""The one that tuning looks at."""
FLOORS = (5, 10, 20, 40, 80, 120)
CONTROL = "L2 + pruning"

THESIS = {
    "LeNet-300-100": [
        ["L2 + pruning", "23.3x, 41.9x", "212-82-10, 167-76-10", "1.66, 1.97"],
        ["LOBSTER (another table)", "115x", "", "1.95"],
        ["SeReNe, lower bound", "39.8x, 66.4x", "164-78-10, 146-70-10", "1.65, 1.95"],
        ["SeReNe, exact", "42.5x, 66.3x", "159-75-10, 148-70-10", "1.64, 1.93"],
        ["SeReNe, upper bound", "3.7x, 5.5x", "295-92-10, 293-91-10", "1.67, 1.95"],
        ["SeReNe, local", "13.8x, 25.1x", "251-86-10, 192-83-10", "1.65, 1.93"],
    ],
    "LeNet-5": [
        ["L2 + pruning", "72.3x", "19-37-214-10", "0.80"],
        ["LOBSTER (another table)", "233x", "", "0.79"],
        ["SeReNe, lower bound", "177x", "11-26-113-10", "0.80"],
    ],
}
"""Compression, neurons and error in percent; two columns of values are two operating points."""

Run = dict[str, Any]


def read(run: Run, level: float = LEVEL) -> Run:
    """The round with the highest compression whose validation error is at most the dense one's and so many points."""
    limit = run["dense"]["validation_error"] + level + 1e-9
    within = [entry for entry in run["rounds"] if entry["validation_error"] <= limit]
    return max(within or run["rounds"][:1], key=lambda entry: float(entry["compression"]))


def geometric(values: Iterable[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.mean(math.log(value) for value in values))


def page(results: dict[str, Any]) -> str:
    """The page of ``lenet_pruning``."""
    return whole_page("# SeReNe and LOBSTER against weight decay", f"{_DESIGN}\n\n{READING}\n\n{_HISTORY}", results)


def whole_page(title: str, design: str, results: dict[str, Any]) -> str:
    """A page of such a study: what it can tell comes first."""
    parts = [title, decays(results), design]
    for name, found in results.items():
        options, methods = found["options"], found["methods"]
        parts += [f"## {name}", _setting(options, methods)]
        parts += ["### At equal accuracy", _levels(methods), _verdict(methods)]
        parts += [f"### What is left, at +{LEVEL:g} point", _left(methods)]
        parts += ["### The whole trade-off", _trade_off(methods), _first_seed(methods)]
        parts += ["### How large sensitivities are (measured, dense network, seed 0)", _sizes(found["sensitivities"])]
        parts += ["### Thesis, full MNIST (60,000 digits, thousands of epochs): not comparable in level"]
        parts += [table(["method", "compression", "neurons left", "test error %"], THESIS[options["network"]])]
    return "\n\n".join(parts)


def decays(results: dict[str, Any]) -> str:
    """How far weights decay here, and whether methods can differ by that: what a reader must know first."""
    lines, controls = [], []
    for name, found in results.items():
        totals: dict[str, list[str]] = {}
        for label in found["methods"]:
            totals.setdefault(f"{total_decay(found, label):.2g}", []).append(label)
        lines.append(f"- {name}: " + "; ".join(f"{total} ({', '.join(labels)})" for total, labels in totals.items()))
        controls.append(total_decay(found, CONTROL))
    low, high = THESIS_DECAY
    if min(controls) >= low:
        verdict = "Here weights decay as far as there, so that methods can differ by which weights decay."
    else:
        left = ", ".join(f"{math.exp(-total):.0%} on {name}" for name, total in zip(results, controls, strict=True))
        verdict = (
            "**This page cannot tell the methods apart.** They differ in which weights decay, and of a weight that "
            f"nothing holds the control leaves {left}. That ratios against it are near 1 says nothing about the "
            "methods. [lenet_decay](lenet_decay.md) is a smaller study in which weights do decay."
        )
    meaning = (
        "*Total decay* is strength times steps: of a weight that nothing holds exp(-total decay) is left. In the "
        f"thesis' experiments on MNIST it is {low:g} to {high:g}; here it is"
    )
    return "\n\n".join([verdict, meaning, "\n".join(lines)])


def total_decay(found: Run, label: str) -> float:
    """The decay that a weight without a gradient meets in a whole run, as an exponent; the mean over the seeds."""
    method = found["methods"][label]
    epochs = statistics.mean(sum(entry["epochs"] for entry in run["rounds"]) for run in method["runs"])
    return float(method["strength"] * epochs * found["options"]["steps_per_epoch"])


THESIS_DECAY = (5, 16)
"""The same in the thesis: strength times steps of its experiments on MNIST."""

_DESIGN = """Measured on 5,000 digits of MNIST. 4,000 of them, for each seed divided anew into 3,200 that train and
800 that validate, choose hyperparameters, epochs, thresholds and operating points; the other 1,000 only report the
test error. For each seed all methods prune the same trained network, in the same loop: train until the validation
loss has not fallen for so many epochs, then make zero what it allows, and again. They differ only in what decays:
all weights alike (*L2 + pruning*), weights that the loss hardly feels (*LOBSTER*), or weights of neurons that the
outputs hardly feel (*SeReNe*). Every method may spend the same epochs and choose from the same strengths of decay,
on seeds that are not reported. *Relative*: sensitivities are divided by their mean over the layer, which is not in
the thesis. *Tolerance 0*: thresholding may not worsen the validation loss at all. The thesis has it so for its
control on LeNet-300-100, while LOBSTER and SeReNe may worsen it."""

READING = """*Compression*: all parameters, biases included, over those that are not zero. *At +N points*: the
highest compression of a round whose validation error is at most N points above the dense network's; geometric mean
over seeds, and the seeds' standard deviation. *Against L2*: the quotient of the two compressions of a seed,
geometric mean, and in brackets the 95 % interval of Student's t. *Neurons left*: with a weight that is not zero;
simplification removes the others."""

_HISTORY = """Epochs, plateau and tolerance are the same for all methods, but they were set after looking at other
settings (60 to 100 epochs with plateaus of 2 to 5; on LeNet-5 18 with 2), in which most runs ended before they lost
accuracy. Of the one that was completed (60 and 18 epochs, plateau of 2) the ratios against L2 at +1 point were 0.88
to 1.03 on LeNet-300-100 and 0.96 to 1.03 on LeNet-5."""


def _setting(options: Run, methods: dict[str, Any]) -> str:
    tuned = [
        f"{label}: {found['strength']:g}"
        + "".join(f" ({float(s):g}: {value:.1f}x)" for s, value in found["scores"].items())
        for label, found in methods.items()
    ]
    source = f"those of {options['tuned_on']}" if options["tuned_on"] else "compression on the tuning seeds in brackets"
    runs = next(iter(methods.values()))["runs"]
    return (
        f"{len(runs)} seeds; {options['budget']} epochs, plateau of {options['patience']}, loss may worsen by "
        f"{options['tolerance']:.0%}, SGD with rate 0.1, batches of 100. Dense: validation error "
        f"{_spread([run['dense']['validation_error'] for run in runs])} %, test error "
        f"{_spread([run['dense']['test_error'] for run in runs])} %.\n\nStrengths ({source}): {'; '.join(tuned)}."
    )


def _spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def _levels(methods: dict[str, Any]) -> str:
    header = ["method"]
    for level in LEVELS:
        header += [f"compression at +{level:g}", "against L2", "test error %"]
    rows = []
    for label, found in methods.items():
        row = [label]
        for level in LEVELS:
            entries = [read(run, level) for run in found["runs"]]
            sizes = [entry["compression"] for entry in entries]
            ratio = "" if label == CONTROL else "{:.2f} ({:.2f} to {:.2f})".format(*_against(methods, label, level))
            row += [f"{geometric(sizes):.1f} ± {statistics.stdev(sizes):.1f}", ratio]
            row += [_spread([entry["test_error"] for entry in entries])]
        rows.append(row)
    return table(header, rows)


def _against(methods: dict[str, Any], label: str, level: float) -> tuple[float, float, float]:
    """Compression over the control's, seed by seed: geometric mean, and its 95 % interval."""
    pairs = zip(methods[label]["runs"], methods[CONTROL]["runs"], strict=True)
    logs = [math.log(read(run, level)["compression"] / read(control, level)["compression"]) for run, control in pairs]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    error *= float(scipy.stats.t.ppf(0.975, len(logs) - 1))
    return math.exp(mean), math.exp(mean - error), math.exp(mean + error)


def _verdict(methods: dict[str, Any]) -> str:
    lines = []
    for label in methods:
        if label == CONTROL:
            continue
        ratio, low, high = _against(methods, label, LEVEL)
        word = "more" if low > 1 else "less" if high < 1 else "no difference that these seeds show"
        lines.append(f"{label}: {ratio:.2f} times the compression of L2 at +{LEVEL:g} point: {word}.")
    lines.append("A ratio below 1 misses the aim, to compress at least as far as L2, whether the seeds show it or not.")
    return "\n".join(f"- {line}" for line in lines)


def _left(methods: dict[str, Any]) -> str:
    first = read(next(iter(methods.values()))["runs"][0])
    layers = list(first["layers"])
    header = ["method", *(f"{layer}: neurons" for layer in layers), *(f"{layer}: weights" for layer in layers)]
    header += ["seconds per epoch"]
    rows = []
    for label, found in methods.items():
        entries = [read(run) for run in found["runs"]]
        row = [label]
        for part in (0, 1):
            row += [_spread([entry["layers"][layer][part] for entry in entries], 0) for layer in layers]
        seconds = [run["seconds"] / sum(entry["epochs"] for entry in run["rounds"]) for run in found["runs"]]
        rows.append([*row, f"{statistics.median(seconds):.2f}"])
    return table(header, rows)


def _trade_off(methods: dict[str, Any]) -> str:
    """For each floor of compression the best validation error among rounds above it, and that round's test error."""
    header = ["validation / test error %", *(f"at least {floor}x" for floor in FLOORS)]
    rows = [[label, *(_above(found["runs"], floor) for floor in FLOORS)] for label, found in methods.items()]
    return table(header, rows)


def _above(runs: list[Run], floor: float) -> str:
    rounds = [[entry for entry in run["rounds"] if entry["compression"] >= floor] for run in runs]
    best = [min(entries, key=lambda entry: float(entry["validation_error"])) for entries in rounds if entries]
    if len(best) < len(runs):
        return f"{len(best)} of {len(runs)} seeds"
    mean: Callable[[str], float] = lambda key: statistics.mean(entry[key] for entry in best)  # noqa: E731
    return f"{mean('validation_error'):.2f} / {mean('test_error'):.2f}"


def _first_seed(methods: dict[str, Any]) -> str:
    lines = ["Rounds of seed 0, as compression @ validation error / test error; all seeds are in the data:", ""]
    for label, found in methods.items():
        points = (
            f"{entry['compression']:.1f} @ {entry['validation_error']:.2f} / {entry['test_error']:.2f}"
            for entry in found["runs"][0]["rounds"]
        )
        lines.append(f"- {label}: {', '.join(points)}")
    return "\n".join(lines)


def _sizes(sensitivities: dict[str, dict[str, list[float]]]) -> str:
    """Mean and largest sensitivity of each layer."""
    layers = list(next(iter(sensitivities.values())))
    rows = [
        [kind, *("{:.4f}, {:.4f}".format(*found[layer]) for layer in layers)] for kind, found in sensitivities.items()
    ]
    text = table(["mean, largest", *layers], rows)
    return text + "\n\nWhere these are far below 1, the penalty (1 - S) w is nearly w: plain weight decay."
