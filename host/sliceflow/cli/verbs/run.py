"""``sliceflow run``: inputs in, outputs out."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sliceflow.cli import options, output
from sliceflow.report.tables import Table


def run(
    artifact: options.Artifact,
    input_file: Annotated[Path, typer.Option("--input", help=".npy, or .npz with an array for each input.")],
    output_file: Annotated[Path | None, typer.Option("--output", help=".npz (or .npy) to write.")] = None,
    device: options.Device = "csim",
    threads: options.Threads = None,
    trace: options.Trace = None,
    trace_layer: options.TraceLayer = "",
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a compiled model on a batch of any size."""
    from sliceflow.cli.arrays import read_arrays, write_arrays
    from sliceflow.graph.artifact import load_program
    from sliceflow.graph.images import take_apart
    from sliceflow.runtime import Session

    program = load_program(artifact)
    feed = read_arrays(input_file, program.inputs)
    wanted = options.parse_trace(trace, trace_layer, program)
    with Session(program, device=device, threads=threads, trace=wanted) as session:
        begin = time.perf_counter()
        arrays = session.run(None, feed)
        seconds = time.perf_counter() - begin
        steps = session.profile
    results = dict(zip((value.name for value in program.outputs), arrays, strict=True))
    if output_file is not None:
        write_arrays(output_file, results)
    document = {
        "output": None if output_file is None else str(output_file),
        "device": device,
        "images": len(take_apart(program.inputs, feed)),
        "seconds": seconds,
        "outputs": [{"name": n, "shape": list(a.shape), "dtype": str(a.dtype)} for n, a in results.items()],
        "steps": [dataclasses.asdict(step) for step in steps],
    }
    output.result(document, lambda: _print(document))


def _print(document: dict[str, Any]) -> None:
    content = Table("Wall time on this host (not the FPGA's)", ("step", "kind", "ms per image"))
    content.right = frozenset({"ms per image"})
    for step in document["steps"]:
        content.add(step["name"], step["kind"], f"{1e3 * step['seconds'] / max(1, step['images']):.3f}")
    output.table(content)
    for found in document["outputs"]:
        output.line(f"{found['name']}: {found['dtype']} {tuple(found['shape'])}")
    target = f": {document['output']}" if document["output"] else " (not saved: no --output)"
    output.line(f"{document['images']} images in {document['seconds']:.3f} s on {document['device']}{target}")
