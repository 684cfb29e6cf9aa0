"""Tables that read well on a terminal, in a pipe and in a log."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TextIO


@dataclasses.dataclass
class Table:
    """Rows of text under headings. Columns named in ``right`` are aligned to the right."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = dataclasses.field(default_factory=list)
    right: frozenset[str] = frozenset()

    def add(self, *cells: object) -> None:
        """Add a row; cells become text."""
        self.rows.append([str(cell) for cell in cells])


def write_table(table: Table, stream: TextIO) -> None:
    """Write a table: drawn by rich on a terminal, as aligned plain lines elsewhere."""
    if stream.isatty():
        _write_rich(table, stream)
    else:
        _write_plain(table, stream)


def _write_rich(table: Table, stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(title=Text(table.title), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        number = column in table.right
        drawn.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(file=stream).print(drawn)


def _write_plain(table: Table, stream: TextIO) -> None:
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    stream.write(f"{table.title}\n")
    for line in lines:
        cells = [
            cell.rjust(width) if column in table.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        ]
        stream.write(f"  {'  '.join(cells).rstrip()}\n")


def count(value: float) -> str:
    """A count with a unit: 1234567 as ``1.23 M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.2f} {unit}"
    return f"{value:g}"


def size(byte_count: int) -> str:
    """Bytes with a unit: 1536 as ``1.5 KiB``."""
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if byte_count >= limit:
            return f"{byte_count / limit:.1f} {unit}"
    return f"{byte_count} B"


def share(part: float) -> str:
    """A share in per cent; never rounded up to 100.0 %."""
    return f"{min(100 * part, 99.9) if part < 1 else 100:.1f} %"
