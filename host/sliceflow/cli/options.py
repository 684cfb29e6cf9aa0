"""Options that several verbs share, and their parsing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sliceflow.errors import UsageError

if TYPE_CHECKING:
    from sliceflow.devices.base import LayerTrace
    from sliceflow.graph.program import Program

_SHAPE = re.compile(r"(.+)=(\d+(?:x\d+)*)")

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX file.")]
Artifact = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="Folder made by `deploy` or `compile`.")]
ProfileName = Annotated[str, typer.Option("--profile", help="Accelerator profile: a name, or a .toml file.")]
CpuNodes = Annotated[list[str] | None, typer.Option("--cpu", metavar="NODE", help="Keep this node on the CPU.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME=1x3x224x224", help="Shape of an input whose shape is free."),
]
Unroll = Annotated[
    bool, typer.Option(help="Let the host write a stem's kernel taps as channels where that saves cycles.")
]
Device = Annotated[
    str, typer.Option("--device", help="csim (compiled HLS), rtl (simulated SystemVerilog) or reference.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Host threads; all cores if omitted.")]
TorchThreads = Annotated[int | None, typer.Option("--threads", min=1, help="Of torch; its own choice if omitted.")]
Trace = Annotated[Path | None, typer.Option("--trace", help="rtl: .vcd or .fst file for the signals of one layer.")]
TraceLayer = Annotated[str, typer.Option("--trace-layer", metavar="LAYER", help="The layer; the first if omitted.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more on stderr.")]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help=".npz, .npy or a folder of images that resemble what the model will see."),
]
Method = Annotated[
    str,
    typer.Option("--method", help="How ranges are found: auto (the best of the others), mse, minmax or percentile."),
]
Percentile = Annotated[float, typer.Option("--percentile", help="For percentile: per cent of values kept.")]
Activations = Annotated[
    str, typer.Option("--activations", help="Integer type: auto, thesis, uint8, int8, uint16 or int16.")
]
Weights = Annotated[str, typer.Option("--weights", help="Integer type: auto (what the profile has), int8 or int4.")]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="NODE", help="Keep this node in float.")]
Samples = Annotated[int | None, typer.Option("--samples", min=1, help="Use only the first so many samples.")]
Mean = Annotated[list[float] | None, typer.Option("--mean", help="Subtracted from samples; once, or for each channel.")]
Std = Annotated[list[float] | None, typer.Option("--std", help="Divisor of samples; once, or for each channel.")]
Scale = Annotated[float | None, typer.Option("--scale", help="Factor of samples, before mean and std.")]


def parse_shapes(texts: list[str] | None) -> dict[str, list[int]] | None:
    """``["x=1x3x8x8"]`` as ``{"x": [1, 3, 8, 8]}``.

    Raises:
        UsageError: a text has another form, a size is zero, or an input is named twice.
    """
    shapes: dict[str, list[int]] = {}
    for text in texts or []:
        match = _SHAPE.fullmatch(text)
        sizes = [int(size) for size in match[2].split("x") if len(size) < 10] if match else []
        if match is None or 0 in sizes or len(sizes) != match[2].count("x") + 1:
            raise UsageError(f"this is not a shape: {text!r}", fix="write it as NAME=1x3x224x224")
        if match[1] in shapes:
            raise UsageError(f"the input {match[1]!r} has two shapes")
        shapes[match[1]] = sizes
    return shapes or None


def parse_trace(path: Path | None, layer: str, program: Program) -> LayerTrace | None:
    """``--trace`` and ``--trace-layer`` as what a device takes.

    Raises:
        UsageError: a layer without a file, or nothing runs on the FPGA.
    """
    from sliceflow.devices.base import LayerTrace

    names = [found.name for found in program.fpga_layers]
    if layer and path is None:
        raise UsageError("--trace-layer needs --trace", fix="name a .vcd or .fst file with --trace")
    if path is None:
        return None
    if not names:
        raise UsageError("there is nothing to trace: no layer runs on the FPGA")
    return LayerTrace(path, layer or names[0])
