"""Folders of images as calibration data (needs Pillow, the extra ``images``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sliceflow.errors import UserError

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_MODES = {1: "L", 3: "RGB"}


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What happens to a sample before the model: ``(x * scale - mean) / std``.

    Attributes:
        mean: one number, or one for each channel.
        std: one number, or one for each channel; over zero.
        scale: factor; None if it was not given.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float | None

    @classmethod
    def of(
        cls, mean: Sequence[float] | float | None, std: Sequence[float] | float | None, scale: float | None
    ) -> Normalization:
        """Check what the user gave; None stands for 0, 1 and "not given".

        Raises:
            UserError: a value is not finite, or a divisor or factor is not over zero.
        """
        found = cls(_numbers(0.0 if mean is None else mean), _numbers(1.0 if std is None else std), scale)
        divisors = (*found.std, 1.0 if scale is None else scale)
        if not np.isfinite([*found.mean, *divisors]).all() or min(divisors) <= 0:
            raise UserError(
                "mean, std and scale must be finite, std and scale over zero",
                where=f"mean {found.mean}, std {found.std}, scale {scale}",
                fix="correct that value",
            )
        return found

    @property
    def is_identity(self) -> bool:
        """Whether nothing was asked for."""
        return self.scale is None and set(self.mean) == {0.0} and set(self.std) == {1.0}

    def for_images(self) -> Normalization:
        """The same with the factor of 8-bit pixels, 1/255, where none was given."""
        return dataclasses.replace(self, scale=1 / 255) if self.scale is None else self

    def apply(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Normalize samples of shape (samples, channels, ...).

        Raises:
            UserError: mean or std have another number of channels.
        """
        tail = samples.ndim - 2
        for label, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 1 and (tail < 0 or len(values) != samples.shape[1]):
                raise UserError(
                    f"{label} has {len(values)} numbers for samples of shape {list(samples.shape)}",
                    where="calibration data",
                    fix="give one number, or one for each channel",
                )
        mean, std = (np.array(v, np.float32).reshape(-1, *[1] * max(tail, 0)) for v in (self.mean, self.std))
        normalized: NDArray[np.float32] = samples.astype(np.float32)  # one copy, then in place
        normalized *= np.float32(1.0 if self.scale is None else self.scale)
        normalized -= mean
        normalized /= std
        return normalized


class ImageFolder:
    """The images of one folder, in the order of their names, as samples of one input.

    Args:
        folder: where the images lie (its own files, no sub-folders).
        value: the input: float32, shape (batch, 1 or 3, height, width).
        normalization: applied to the 8-bit pixels.
        limit: use only the first so many.

    Attributes:
        shape: (samples, channels, height, width).
        dtype: always float32.

    Raises:
        UserError: the input is no image, or the folder holds none.
    """

    def __init__(self, folder: Path, value: ir.Value, normalization: Normalization, limit: int | None) -> None:
        dims = () if value.shape is None else tuple(value.shape)
        if len(dims) != 4 or dims[1] not in _MODES or not all(isinstance(dim, int) and dim > 0 for dim in dims[1:]):
            raise UserError(
                "images need an input of shape [batch, 1 or 3, height, width]",
                where=f"input {value.name!r}, shape {[str(dim) for dim in dims]}",
                fix="give the samples as .npz",
            )
        if value.dtype != ir.DataType.FLOAT:
            raise UserError(
                f"images need a float32 input, not {value.dtype}",
                where=f"input {value.name!r}",
                fix="give the samples as .npz",
            )
        self._files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())[:limit]
        if not self._files:
            raise UserError(
                "the folder holds no images",
                where=str(folder),
                why=f"known suffixes are {', '.join(sorted(_SUFFIXES))}",
                fix="put the images into the folder itself",
            )
        self._normalization = normalization
        self.shape = (len(self._files), *(dim for dim in dims[1:] if isinstance(dim, int)))
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, picked: Sequence[int]) -> NDArray[np.float32]:
        _, channels, height, width = self.shape
        pixels = np.stack([_read(self._files[index], _MODES[channels], width, height) for index in picked])
        return self._normalization.apply(pixels.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))


def _read(path: Path, mode: str, width: int, height: int) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            "reading images needs Pillow", where=str(path), fix="pip install 'sliceflow[images]'"
        ) from error
    try:
        with Image.open(path) as image:
            resized = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(resized, np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            "an image cannot be read", where=str(path), why=str(error), fix="remove or convert that file"
        ) from error


def _numbers(values: Sequence[float] | float) -> tuple[float, ...]:
    try:
        found = tuple(map(float, values)) if isinstance(values, Sequence) else (float(values),)
    except (TypeError, ValueError) as error:
        raise UserError("mean and std must be numbers", where=repr(values), why=str(error), fix="correct it") from error
    if not found:
        raise UserError("mean and std must not be empty", where=repr(values), fix="leave them out, or give numbers")
    return found
