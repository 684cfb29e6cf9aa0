"""``sliceflow deploy``: from any model to an artifact, in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sliceflow.cli import options


def deploy(
    model: options.Model,
    output_folder: Annotated[Path, typer.Option("--output", help="Folder to make.")],
    calibration: options.Calibration = None,
    profile: options.ProfileName = "int8-8x8",
    cpu: options.CpuNodes = None,
    shape: options.Shapes = None,
    unroll: options.Unroll = True,
    method: options.Method = "auto",
    percentile: options.Percentile = 99.99,
    activations: options.Activations = "auto",
    weights: options.Weights = "auto",
    exclude: options.Exclude = None,
    samples: options.Samples = None,
    mean: options.Mean = None,
    std: options.Std = None,
    scale: options.Scale = None,
    sources: Annotated[bool, typer.Option(help="Keep the models in the artifact, for `bench`.")] = True,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Quantize (where needed), map, and write an artifact."""
    from sliceflow.build import integer_options
    from sliceflow.cli.building import Build, CalibrationSource
    from sliceflow.cli.compiled import show
    from sliceflow.hardware.profile import Profile

    source = (
        CalibrationSource(path=calibration, samples=samples, mean=mean, std=std, scale=scale) if calibration else None
    )
    build = Build(
        model=model,
        profile=profile,
        target=output_folder,
        cpu_nodes=cpu or (),
        shapes=options.parse_shapes(shape),
        calibration=source,
        options=integer_options(
            Profile.load(profile),
            method=method,
            percentile=percentile,
            activations=activations,
            weights=weights,
            exclude=frozenset(exclude or ()),
        ),
        keep_sources=sources,
        unroll=unroll,
    )
    show(build.run(), output_folder)
