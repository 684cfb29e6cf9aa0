"""Result tables of pruning papers, checked against themselves.

Published tables state one fact in several columns: an error before and after, their difference, its ratio to the first;
parameters before and after, and the share that went. Where these contradict each other, a row must not be compared
with others.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sliceflow.errors import UserError

PERCENT = ("error_before", "error_after", "error_change", "parameters_removed", "macs_removed")
"""Columns in per cent, or points of it."""
COUNTS = ("parameters_before", "parameters_after", "macs_before", "macs_after")
"""Columns with counts; k, M and G are understood."""
RATIOS = ("compression", "speed_up", "relative_change")
"""Columns with plain numbers: original / remaining, and (after - before) / before of the error."""
COLUMNS = ("name", *PERCENT, *COUNTS, *RATIOS)
_UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """Two columns of a row that cannot both be right.

    Attributes:
        row: its name.
        column: what is stated.
        stated: the number there.
        follows: what follows from other columns.
        of: those columns.
    """

    row: str
    column: str
    stated: float
    follows: float
    of: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Number:
    """A number as it is printed: its value, and half a unit of its last digit."""

    value: float
    slack: float


Row = Mapping[str, Number]
Rule = tuple[str, tuple[str, ...], Callable[..., float]]

RULES: Sequence[Rule] = (
    ("error_change", ("error_after", "error_before"), lambda after, before: after - before),
    ("relative_change", ("error_after", "error_before"), lambda after, before: (after - before) / before),
    ("relative_change", ("error_change", "error_before"), lambda change, before: change / before),
    ("parameters_removed", ("parameters_before", "parameters_after"), lambda old, new: 100 * (1 - new / old)),
    ("macs_removed", ("macs_before", "macs_after"), lambda old, new: 100 * (1 - new / old)),
    ("compression", ("parameters_before", "parameters_after"), lambda old, new: old / new),
    ("speed_up", ("macs_before", "macs_after"), lambda old, new: old / new),
    ("compression", ("parameters_removed",), lambda gone: 1 / (1 - gone / 100)),
    ("speed_up", ("macs_removed",), lambda gone: 1 / (1 - gone / 100)),
)
"""A column, the columns it follows from, and how."""


def contradictions(name: str, row: Row) -> Iterator[Contradiction]:
    """Columns of a row that contradict each other by more than rounding explains.

    Args:
        name: of the row.
        row: numbers by column; columns may be missing.
    """
    for column, sources, rule in RULES:
        if column not in row or any(source not in row for source in sources):
            continue
        numbers = [row[source] for source in sources]
        low, high = _range(rule, numbers)
        stated = row[column]
        if not low - stated.slack <= stated.value <= high + stated.slack:
            yield Contradiction(name, column, stated.value, rule(*(number.value for number in numbers)), sources)


def _range(rule: Callable[..., float], numbers: Sequence[Number]) -> tuple[float, float]:
    """Least and largest result over all that the printed digits allow; the rules are monotone in each number."""
    found = []
    for corner in range(2 ** len(numbers)):
        values = [n.value + n.slack * (1 if corner >> i & 1 else -1) for i, n in enumerate(numbers)]
        try:
            found.append(rule(*values))
        except ZeroDivisionError:
            found.append(math.inf)
    tiny = 1e-9 * max(1.0, *(abs(value) for value in found if math.isfinite(value)))
    return min(found) - tiny, max(found) + tiny


def read_table(path: Path) -> list[tuple[str, Row]]:
    """Rows of a CSV file with columns of ``COLUMNS``; a cell may be empty.

    Args:
        path: the file. Columns in per cent may have ``%`` behind numbers, others must not; counts may have k, M or G.

    Raises:
        UserError: the file cannot be read, a column is unknown, or a cell is no number or has another unit.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("the table cannot be read", where=str(path), why=str(error)) from error
    reader = csv.DictReader(io.StringIO(text))
    columns = list(reader.fieldnames or ())
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown or "name" not in columns or len(set(columns)) != len(columns):
        what = f"there is no column {unknown[0]!r}" if unknown else "columns need names, `name` among them, each once"
        raise UserError(what, where=str(path), fix=f"the columns are {', '.join(COLUMNS)}")
    rows: list[tuple[str, Row]] = []
    for number, cells in enumerate(reader, 2):
        where = f"{path}, line {number}"
        if None in cells or None in cells.values():
            raise UserError("the line has another number of cells than the heading", where=where)
        parsed = {key: _number(key, cell, where) for key, cell in cells.items() if key != "name" and cell.strip()}
        rows.append((cells["name"], parsed))
    return rows


def _number(column: str, cell: str, where: str) -> Number:
    text, factor = cell.strip(), 1.0
    if text.endswith("%"):
        if column not in PERCENT:
            raise UserError(f"{column} is not in per cent", where=where, why=f"the cell is {cell!r}")
        text = text[:-1].strip()
    elif text[-1:] in _UNITS:
        if column not in COUNTS:
            raise UserError(f"{column} is not a count", where=where, why=f"the cell is {cell!r}")
        factor, text = _UNITS[text[-1]], text[:-1].strip()
    try:
        value = float(text)
    except ValueError as error:
        raise UserError(f"{column} must be a number", where=where, why=f"the cell is {cell!r}") from error
    if not math.isfinite(value) or (value < 0 and column in COUNTS):
        raise UserError(f"{column} cannot be {cell!r}", where=where)
    digits = len(text.partition(".")[2]) if "e" not in text.lower() else 0
    return Number(value * factor, factor * 0.5 * 10.0**-digits)
