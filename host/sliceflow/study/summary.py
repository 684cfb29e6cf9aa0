"""What the cells of a study say together: means and deviations over seeds, beside the controls."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sliceflow.pruning.definitions import compression_ratio, speed_up
from sliceflow.study.sections import ALIGNED, PRUNED, SCRATCH, UNPRUNED

Document = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Spread:
    """A mean over seeds with its sample standard deviation, which one seed does not have."""

    mean: float
    deviation: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The mean and sample deviation of some values, at least one."""
        found = tuple(values)
        return cls(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None, found)


@dataclasses.dataclass(frozen=True)
class Row:
    """The cells of one kind, method and ratio.

    Attributes:
        kind: see ``Cell``.
        method, ratio: see ``Cell``.
        seeds: those that are finished.
        figures: by name; see ``FIGURES`` and ``AGAINST``.
        recall: for each class its change against the unpruned network of the same seed, in float; None where the class
            has no example.
        widths: output channels of each layer, for each seed.
        notes: of any cell.
    """

    kind: str
    method: str
    ratio: float
    seeds: tuple[int, ...]
    figures: dict[str, Spread]
    recall: tuple[Spread | None, ...]
    widths: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        """What tables and plots call it."""
        if self.kind == UNPRUNED:
            return UNPRUNED
        words = {PRUNED: "{}", ALIGNED: "{}, aligned", SCRATCH: "size of {}, from scratch"}
        return words[self.kind].format(self.method)


FIGURES: Mapping[str, Callable[[Document], float | None]] = {
    "accuracy": lambda m: m["accuracy"]["top1"],
    "top5": lambda m: m["accuracy"]["top5"],
    "accuracy_int": lambda m: m["hardware"]["accuracy"]["top1"],
    "parameters": lambda m: m["parameters"],
    "nonzero": lambda m: m["nonzero"],
    "macs": lambda m: m["macs"],
    "cycles": lambda m: m["hardware"]["cycles"],
    "lanes_used": lambda m: m["hardware"]["lanes_used"],
    "weight_bytes": lambda m: m["hardware"]["weight_bytes"],
    "fpga_share": lambda m: m["hardware"]["fpga_share"],
}
"""Figures of one measurement."""

AGAINST: Mapping[str, Callable[[Document, Document], float]] = {
    "accuracy_change": lambda old, new: new["accuracy"]["top1"] - old["accuracy"]["top1"],
    "accuracy_int_change": lambda old, new: new["hardware"]["accuracy"]["top1"] - old["hardware"]["accuracy"]["top1"],
    "compression": lambda old, new: compression_ratio(old["parameters"], new["parameters"]),
    "compression_nonzero": lambda old, new: compression_ratio(old["parameters"], new["nonzero"]),
    "speed_up_theoretical": lambda old, new: speed_up(old["macs"], new["macs"]),
    "speed_up_hardware": lambda old, new: speed_up(old["hardware"]["cycles"], new["hardware"]["cycles"]),
}
"""Figures of a measurement against that of the unpruned network of the same seed."""


def summarize(documents: Sequence[Document]) -> list[Row]:
    """Put cells together that differ by their seed only.

    Args:
        documents: results of cells, the unpruned ones among them.

    Returns:
        Rows in the order of their first cells.
    """
    dense = {found["cell"]["seed"]: found["measurement"] for found in documents if found["cell"]["kind"] == UNPRUNED}
    groups: dict[tuple[str, str, float], list[Document]] = {}
    for document in documents:
        cell = document["cell"]
        if cell["seed"] in dense:
            groups.setdefault((cell["kind"], cell["method"], cell["ratio"]), []).append(document)
    return [_row(*key, cells, dense) for key, cells in groups.items()]


def _row(kind: str, method: str, ratio: float, cells: Sequence[Document], dense: Mapping[int, Document]) -> Row:
    pairs = [(dense[cell["cell"]["seed"]], cell["measurement"]) for cell in cells]
    figures: dict[str, Iterable[float | None]] = {
        name: [figure(new) for _, new in pairs] for name, figure in FIGURES.items()
    }
    figures |= {name: [figure(old, new) for old, new in pairs] for name, figure in AGAINST.items()}
    figures["epochs"] = [cell["epochs"] for cell in cells]
    figures["share"] = [cell["share"] for cell in cells]
    against = [cell["against_unpruned"] for cell in cells if "against_unpruned" in cell]
    figures["speed_up_software"] = [found["speed_up_onnx_runtime"] for found in against]
    figures["disagreements"] = [found["disagreements"] for found in against]
    return Row(
        kind,
        method,
        ratio,
        tuple(cell["cell"]["seed"] for cell in cells),
        {name: Spread.of(known) for name, values in figures.items() if (known := _known(values))},
        _recall(pairs),
        tuple(tuple(layer["outputs"] for layer in new["layers"]) for _, new in pairs),
        tuple(dict.fromkeys(note for cell in cells for note in cell["notes"])),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    found = list(values)
    return [] if any(value is None for value in found) else [float(value) for value in found if value is not None]


def _recall(pairs: Sequence[tuple[Document, Document]]) -> tuple[Spread | None, ...]:
    changes = [
        [None if a is None or b is None else b - a for a, b in zip(old, new, strict=True)]
        for old, new in ((old["accuracy"]["recall"], new["accuracy"]["recall"]) for old, new in pairs)
    ]
    columns = [_known(column) for column in zip(*changes, strict=True)]
    return tuple(Spread.of(column) if column else None for column in columns)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other one beats: none costs as little or less and is as good or better, and differs.

    Args:
        points: cost (lower is better) and quality (higher is better).

    Returns:
        Their indices, by rising cost.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1] or points[index] == points[front[-1]]:
            front.append(index)
    return front


def fronts(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Pareto fronts of mean accuracy over cycles, MACs and parameters: indices of rows, controls included.

    Over cycles the accuracy is that of the quantized network.
    """
    return {
        cost: pareto([(row.figures[cost].mean, row.figures[quality].mean) for row in rows])
        for cost, quality in (("cycles", "accuracy_int"), ("macs", "accuracy"), ("parameters", "accuracy"))
    }


def plain(row: Row) -> dict[str, Any]:
    """A row as plain data."""
    return {"label": row.label, **dataclasses.asdict(row)}
