"""``sliceflow table``: a table of published pruning results, checked against itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sliceflow.cli import options, output
from sliceflow.errors import MismatchError
from sliceflow.report.tables import Table

if TYPE_CHECKING:
    from sliceflow.study.published import Contradiction


def table(
    results: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="Results; docs/guide.md names the columns.")],
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Check a table of pruning results against itself: errors, their changes, sizes, shares and ratios.

    Names the columns of each row that contradict each other by more than rounding explains; exit code 3 if any do.
    """
    from sliceflow.study.published import contradictions, read_table

    rows = read_table(results)
    found = [one for name, row in rows for one in contradictions(name, row)]
    document = {"rows": len(rows), "contradictions": [dataclasses.asdict(one) for one in found]}
    output.result(document, lambda: _print(found, len(rows)))
    if found:
        raise typer.Exit(MismatchError.exit_code)


def _print(found: list[Contradiction], rows: int) -> None:
    if found:
        columns = ("row", "column", "stated", "follows", "from")
        content = Table("Contradictions", columns, right=frozenset({"stated", "follows"}))
        for one in found:
            content.add(one.row, one.column, f"{one.stated:g}", f"{one.follows:.4g}", ", ".join(one.of))
        output.table(content)
    output.line(f"{len({one.row for one in found})} of {rows} rows contradict themselves")
