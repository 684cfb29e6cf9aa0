"""``sliceflow quantize``: a float model becomes a standard quantized one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sliceflow.cli import options, output
from sliceflow.cli.quality import show_quality, warn
from sliceflow.report.tables import Table

if TYPE_CHECKING:
    from sliceflow.quantization import QuantizationReport


def quantize(
    model: options.Model,
    calibration: Annotated[Path, typer.Option("--calibration", help=".npz, .npy or a folder of images.")],
    output_file: Annotated[Path, typer.Option("--output", help="ONNX file to write.")],
    profile: options.ProfileName = "int8-8x8",
    cpu: options.CpuNodes = None,
    method: options.Method = "auto",
    percentile: options.Percentile = 99.99,
    activations: options.Activations = "auto",
    weights: options.Weights = "auto",
    exclude: options.Exclude = None,
    samples: options.Samples = None,
    mean: options.Mean = None,
    std: options.Std = None,
    scale: options.Scale = None,
    shape: options.Shapes = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Quantize what of a float model runs on the FPGA, after training.

    What is written is standard ONNX with QuantizeLinear and DequantizeLinear. Nodes that stay on the CPU stay float.
    """
    from sliceflow.build import Target, integer_options, quantize_for
    from sliceflow.cli.building import CalibrationSource, load_calibration
    from sliceflow.frontend import load_model, write_model
    from sliceflow.hardware.profile import Profile

    accelerator, shapes = Profile.load(profile), options.parse_shapes(shape)
    choices = integer_options(
        accelerator,
        method=method,
        percentile=percentile,
        activations=activations,
        weights=weights,
        exclude=frozenset(exclude or ()),
    )
    source = CalibrationSource(path=calibration, samples=samples, mean=mean, std=std, scale=scale)
    loaded = load_model(model, input_shapes=shapes)
    target = Target(profile=accelerator, options=choices, cpu_nodes=cpu or (), input_shapes=shapes)
    with output.progress("calibration") as progress:
        result, _ = quantize_for(loaded, target, load_calibration(loaded, source), progress=progress)
    write_model(result.model, output_file, source=model)
    report = result.report
    output.result({"output": str(output_file), **report.to_json()}, lambda: _print(report, output_file))
    warn(report)


def _print(report: QuantizationReport, path: Path) -> None:
    content = Table("Quantized layers", ("layer", "op", "channels", "weights SNR dB", "accumulator bits"))
    content.right = frozenset(content.columns[2:])
    for layer in report.layers:
        snr = "exact" if layer.snr_db is None else f"{layer.snr_db:.1f}"
        content.add(layer.name, layer.op, layer.channels, snr, layer.accumulator_bits)
    if report.layers:
        output.table(content)
    show_quality(report)
    output.line(f"{len(report.tensors)} tensors from {report.samples} samples ({report.method}): {path}")
