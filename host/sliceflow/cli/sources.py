"""The models that an artifact is compared with."""

from __future__ import annotations

from pathlib import Path

from sliceflow.cli import output


def single(model: Path | bytes, name: str) -> Path | bytes:
    """A model as it takes one image, which is what an artifact takes; says so where the model itself takes more.

    Raises:
        UserError: the model cannot be read.
    """
    from sliceflow.frontend import for_one_image

    found, images = for_one_image(model)
    if images > 1:
        output.note(f"note: {name} takes {images} images at a time; a copy of it for one image is used")
    return found
