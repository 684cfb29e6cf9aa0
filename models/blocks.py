"""What several networks are built of."""

from __future__ import annotations

from torch import nn

Size = tuple[int, int]
"""Rows and columns."""


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int | Size,
    *,
    stride: int = 1,
    pad: bool = True,
    batch_norm: bool = True,
) -> list[nn.Module]:
    """A convolution and its batch normalization, or a convolution with a bias.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel: side of the window, or its rows and columns.
        stride: between two windows, in both directions.
        pad: pad all sides by half the window, so that an odd window at stride 1 keeps the map's size.
        batch_norm: a batch normalization follows, and the convolution has no bias.
    """
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (rows // 2, columns // 2) if pad else (0, 0)
    conv = nn.Conv2d(in_channels, out_channels, (rows, columns), stride, padding, bias=not batch_norm)
    return [conv, nn.BatchNorm2d(out_channels)] if batch_norm else [conv]
