"""The command line: its verbs, and what becomes of errors.

Exit codes: 0 done, 1 the input is at fault, 2 usage, 3 mismatch found, 4 internal fault.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from sliceflow.cli import failure, output
from sliceflow.cli.verbs import (
    bench,
    chain,
    check,
    compile,
    deploy,
    doctor,
    map,
    prune,
    quantize,
    run,
    simplify,
    study,
    table,
    verify,
)

app = typer.Typer(
    name="sliceflow",
    help="Deploys pruned and quantized neural networks on a channel-slicing FPGA accelerator.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sliceflow.version import version

        typer.echo(version())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version)] = False,
) -> None:
    pass


for module in (check, prune, simplify, quantize, map, compile, deploy, run, verify, bench, chain, study, table, doctor):
    name = module.__name__.rpartition(".")[2]
    app.command(name)(getattr(module, name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what stands behind the program's name; ``sys.argv`` if omitted.

    Returns:
        The exit code. Errors end as one block on stderr, with ``--json`` as one document on stdout.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    output.set_up(as_json="--json" in options, verbose="--verbose" in options)
    return failure.guarded(lambda: app(args=given, prog_name="sliceflow", standalone_mode=False))
