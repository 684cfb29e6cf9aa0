"""The tables of a study. The same ones go to the terminal, to Markdown and to the page."""

from __future__ import annotations

from collections.abc import Sequence

from sliceflow.report.tables import Table, count
from sliceflow.study.sections import RANDOM, SCRATCH, UNPRUNED
from sliceflow.study.summary import Row, Spread

_MAIN = (
    *("network", "asked", "seeds", "epochs", "accuracy %", "int %", "change", "parameters", "smaller", "non-zero"),
    *("MACs", "theoretical", "ONNX Runtime", "cycles", "hardware"),
)


def main_table(rows: Sequence[Row], title: str) -> Table:
    """Accuracy and cost of every row; sizes and speed-ups are against the unpruned network of the same seed."""
    table = Table(title, _MAIN, right=frozenset(_MAIN[1:]))
    for row in rows:
        table.add(*_main_cells(row))
    return table


def _main_cells(row: Row) -> list[str]:
    f = row.figures
    software = times(f["speed_up_software"]) if "speed_up_software" in f else "1.00"
    return [
        marked(row),
        "" if row.kind == UNPRUNED else f"{row.ratio:g}",
        str(len(row.seeds)),
        f"{f['epochs'].mean:.3g}",
        percent(f["accuracy"]),
        percent(f["accuracy_int"]),
        "" if row.kind == UNPRUNED else points(f["accuracy_int_change"]),
        count(f["parameters"].mean),
        times(f["compression"]),
        times(f["compression_nonzero"]),
        count(f["macs"].mean),
        times(f["speed_up_theoretical"]),
        software,
        f"{f['cycles'].mean:,.0f}",
        times(f["speed_up_hardware"]),
    ]


def marked(row: Row) -> str:
    """A row's label; controls say that they are controls."""
    control = row.kind in (UNPRUNED, SCRATCH) or row.method in RANDOM.values()
    return f"{row.label} (control)" if control else row.label


def recall_table(rows: Sequence[Row]) -> Table:
    """Top-5, how many test images are put into other classes, and the change of each class' recall, in points."""
    classes = max(len(row.recall) for row in rows)
    columns = ("network", "asked", "top-5 %", "other answers", *(f"class {index}" for index in range(classes)))
    table = Table(
        "Answers against those of the unpruned network: change of each class' recall, points",
        columns,
        right=frozenset(columns[1:]),
    )
    for row in rows:
        if row.kind != UNPRUNED:
            changed = row.figures["disagreements"].mean if "disagreements" in row.figures else 0
            cells = ["" if spread is None else points(spread) for spread in row.recall]
            top5 = percent(row.figures["top5"]) if "top5" in row.figures else ""
            table.add(marked(row), f"{row.ratio:g}", top5, f"{changed:g}", *cells)
    return table


def width_table(rows: Sequence[Row], layers: Sequence[str]) -> Table:
    """Output channels of each layer, for each seed."""
    columns = ("network", "asked", *layers)
    table = Table("Channels that each layer has left, for each seed", columns, right=frozenset(columns[1:]))
    for row in rows:
        if all(len(widths) == len(layers) for widths in row.widths):
            cells = [", ".join(map(str, dict.fromkeys(column))) for column in zip(*row.widths, strict=True)]
            table.add(marked(row), "" if row.kind == UNPRUNED else f"{row.ratio:g}", *cells)
    return table


def hardware_table(rows: Sequence[Row]) -> Table:
    """How well the accelerator is used."""
    columns = ("network", "asked", "cycles", "useful products %", "weight bytes", "MACs on FPGA %")
    table = Table("On the accelerator", columns, right=frozenset(columns[1:]))
    for row in rows:
        f = row.figures
        asked = "" if row.kind == UNPRUNED else f"{row.ratio:g}"
        used, share = percent(f["lanes_used"]), percent(f["fpga_share"])
        table.add(marked(row), asked, f"{f['cycles'].mean:,.0f}", used, f"{f['weight_bytes'].mean:,.0f}", share)
    return table


def percent(spread: Spread) -> str:
    """A share in per cent, with its deviation."""
    return _with(f"{100 * spread.mean:.2f}", None if spread.deviation is None else f"{100 * spread.deviation:.2f}")


def points(spread: Spread) -> str:
    """A change of a share in percentage points, with its deviation."""
    return _with(f"{100 * spread.mean:+.2f}", None if spread.deviation is None else f"{100 * spread.deviation:.2f}")


def times(spread: Spread) -> str:
    """A ratio, with its deviation where there is any."""
    deviation = spread.deviation
    return _with(f"{spread.mean:.2f}", None if deviation is None or deviation < 0.005 else f"{deviation:.2f}")


def _with(mean: str, deviation: str | None) -> str:
    return mean if deviation is None else f"{mean} ± {deviation}"


def markdown(table: Table) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---:" if column in table.right else "---" for column in table.columns], *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
