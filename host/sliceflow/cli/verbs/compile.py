"""``sliceflow compile``: a model that fits the profile's arithmetic becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sliceflow.cli import options


def compile(
    model: options.Model,
    output_folder: Annotated[Path, typer.Option("--output", help="Folder to make.")],
    profile: options.ProfileName = "int8-8x8",
    cpu: options.CpuNodes = None,
    shape: options.Shapes = None,
    unroll: options.Unroll = True,
    sources: Annotated[bool, typer.Option(help="Keep the model in the artifact, for `bench`.")] = True,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Map a model that needs no quantization to the accelerator.

    For integer profiles it must be quantized already; for float profiles any model will do.
    """
    from sliceflow.cli.building import Build
    from sliceflow.cli.compiled import show

    build = Build(
        model=model,
        profile=profile,
        target=output_folder,
        cpu_nodes=cpu or (),
        shapes=options.parse_shapes(shape),
        keep_sources=sources,
        unroll=unroll,
    )
    show(build.run(), output_folder)
