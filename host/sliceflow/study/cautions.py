"""What a reader of a study should be warned of.

Sources: D. Blalock et al., "What is the state of neural network pruning?", 2020, section 6; S. Hooker et al., "What do
compressed deep neural networks forget?", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sliceflow.study.sections import ALIGNED, PRUNED, RANDOM, SCRATCH, UNPRUNED, StudySection
from sliceflow.study.summary import Row, Spread

LEAST_SEEDS, LEAST_RATIOS = 3, 5
SMALL_DATA = 10_000
"""Fewer test images than this tell half a point of accuracy from noise at best."""
_TOYS = ("mnist", "digits", "lenet", "alexnet", "caffenet")
_LOST = 0.05


def cautions(study: StudySection, recipe: Mapping[str, Any], rows: Sequence[Row], examples: int) -> list[str]:
    """Warnings, the general ones first.

    Args:
        study: what was compared.
        recipe: its plain data.
        rows: the results.
        examples: test images that were judged.
    """
    of_rows = [text for row in rows for text in _of_row(row)]
    return [*_of_design(study, recipe, examples), *of_rows, *_of_sizes(rows), *_of_gains(rows)]


def _of_design(study: StudySection, recipe: Mapping[str, Any], examples: int) -> Iterator[str]:
    named = f"{recipe['model']} {recipe['data']}".lower()
    toys = [toy for toy in _TOYS if toy in named]
    if toys:
        yield (
            f"The recipe names {', '.join(toys)}: results on toy data sets and very old networks do not carry over to "
            "modern ones."
        )
    yield "One data set and one network: a method that leads here may not lead elsewhere."
    if len(study.seeds) < LEAST_SEEDS:
        yield f"Few seeds ({len(study.seeds)}): the deviations say little; use {LEAST_SEEDS} or more."
    if len(study.ratios) < LEAST_RATIOS:
        yield f"Few ratios ({len(study.ratios)}): a trade-off curve needs {LEAST_RATIOS}, as 2, 4, 8, 16, 32."
    if not any(name in RANDOM.values() for name in study.all_methods):
        yield "There is no random control: a method must beat chance."
    if not study.scratch_of:
        yield "No network was trained from scratch at the size of a pruned one."
    if examples < SMALL_DATA:
        step = 100 / examples
        yield f"{examples} test images: one of them is {step:.2g} points of accuracy, and labels may be wrong."
    if recipe["model"]["weights"] is not None and len(study.seeds) > 1:
        yield "All seeds start from the same trained weights: deviations leave out those of the first training."


def _of_row(row: Row) -> Iterator[str]:
    name = f"{row.label} at {row.ratio:g}" if row.kind != UNPRUNED else row.label
    for note in row.notes:
        yield f"{name}: {note}."
    if row.kind == PRUNED and any(min(widths[:-1], default=2) < 2 for widths in row.widths):
        yield f"{name}: a layer has a single channel left (layer collapse)."
    share = row.figures["fpga_share"].mean
    if share < 1:
        yield f"{name}: {1 - share:.1%} of the MACs run on the CPU, and the cycles leave them out."
    asked, got = row.ratio, row.figures["compression"].mean
    sparse = row.figures["compression_nonzero"].mean
    if row.kind == PRUNED and sparse > 1.5 * got:
        yield f"{name}: {sparse:.1f} times fewer non-zero weights, but the hardware still multiplies the zeros."
    elif row.kind == PRUNED and asked > 1 and not asked / 1.5 < got < asked * 1.5:
        yield f"{name}: asked for {asked:g} times fewer parameters, got {got:.2f} times."
    worst = min((spread.mean for spread in row.recall if spread is not None), default=0.0)
    if worst < -_LOST and row.kind != UNPRUNED:
        classes = [index for index, spread in enumerate(row.recall) if spread is not None and spread.mean < -_LOST]
        yield f"{name}: recall falls by up to {-100 * worst:.1f} points in class {', '.join(map(str, classes))}."


def _of_sizes(rows: Sequence[Row]) -> Iterator[str]:
    """Networks from scratch that are not of the size that they should have."""
    pruned = {(row.method, row.ratio): row for row in rows if row.kind not in (SCRATCH, ALIGNED)}
    for row in rows:
        model = pruned.get((row.method, row.ratio)) if row.kind == SCRATCH else None
        if model is not None and row.seeds == model.seeds:
            mine, other = row.figures["parameters"].values, model.figures["parameters"].values
            if mine != other:
                yield f"{row.label} at {row.ratio:g}: has another size ({mine[0]:,.0f} and {other[0]:,.0f} parameters)."


def _of_gains(rows: Sequence[Row]) -> Iterator[str]:
    """Methods that chance or a fresh start equals."""
    controls = [row for row in rows if _is_control(row)]
    equals: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for control in controls if row.kind == PRUNED and not _is_control(row) else ():
            if control.ratio == row.ratio and not _better(row.figures["accuracy"], control.figures["accuracy"]):
                equals.setdefault((row.label, control.label), []).append(f"{row.ratio:g}")
    for (method, other), ratios in equals.items():
        yield f"{method} is not better than {other} by more than their deviations, at {', '.join(ratios)}."


def _is_control(row: Row) -> bool:
    return row.method in RANDOM.values() or row.kind == SCRATCH


def _better(one: Spread, other: Spread) -> bool:
    return one.mean - (one.deviation or 0) > other.mean + (other.deviation or 0)
