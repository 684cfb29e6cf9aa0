"""Accuracy over cost, as drawings that need nothing but themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from sliceflow.study.sections import RANDOM, SCRATCH, UNPRUNED
from sliceflow.study.summary import Row, Spread

COSTS = {
    "cycles": ("accuracy_int", "predicted cycles of one image", "accuracy of the quantized network, %"),
    "macs": ("accuracy", "multiply-accumulates of one image", "accuracy, %"),
    "parameters": ("accuracy", "parameters", "accuracy, %"),
}
"""For each cost the quality that is drawn over it, and the words at both axes."""
_MARKS = "osD^vP*X"


def trade_off(rows: Sequence[Row], front: Sequence[int], cost: str) -> bytes:
    """Means and deviations of accuracy over a cost; controls are grey, the Pareto front is a line.

    Args:
        rows: of a study.
        front: indices of rows, by rising cost.
        cost: a key of ``COSTS``.

    Returns:
        An SVG file, the same for the same rows.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    quality, cost_words, quality_words = COSTS[cost]
    with mpl.rc_context({"svg.hashsalt": cost, "svg.fonttype": "path", "font.size": 10}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, label in enumerate(dict.fromkeys(row.label for row in rows)):
            _series(axes, [row for row in rows if row.label == label], number, cost, quality)
        line = [(rows[index].figures[cost].mean, 100 * rows[index].figures[quality].mean) for index in front]
        axes.step(*zip(*line, strict=True), where="post", color="black", alpha=0.3, lw=1, label="Pareto front")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.xaxis.set_minor_formatter(EngFormatter(sep=" "))
        axes.tick_params(axis="x", which="both", labelsize=8)
        axes.set_xlabel(cost_words)
        axes.set_ylabel(quality_words)
        axes.grid(alpha=0.2, which="both")
        axes.legend(fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _series(axes: Any, rows: Sequence[Row], number: int, cost: str, quality: str) -> None:
    first = rows[0]
    control = first.kind in (UNPRUNED, SCRATCH) or first.method in RANDOM.values()
    ordered = sorted(rows, key=lambda row: row.figures[cost].mean)
    x, y = [row.figures[cost] for row in ordered], [row.figures[quality] for row in ordered]
    axes.errorbar(
        [spread.mean for spread in x],
        [100 * spread.mean for spread in y],
        xerr=_errors(x, 1),
        yerr=_errors(y, 100),
        label=f"{first.label} (control)" if control else first.label,
        marker=_MARKS[number % len(_MARKS)],
        linestyle=":" if control else "-",
        color="grey" if control else f"C{number}",
        markersize=5,
        capsize=2,
        lw=1,
    )


def _errors(spreads: Sequence[Spread], factor: float) -> list[float]:
    return [factor * (spread.deviation or 0.0) for spread in spreads]


def data_uri(svg: bytes) -> str:
    """A drawing as an address that an ``img`` can show without any file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
