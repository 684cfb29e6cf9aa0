"""Two detectors in the manner of YOLOv2, up to the map of predictions; decoding boxes is not part of them.

Source: J. Redmon and A. Farhadi, "YOLO9000: better, faster, stronger", 2017 (Darknet-19 and the detection head); the
small one follows the network that its authors publish as Tiny YOLO. 416x416 pixels, batch normalization, leaky ReLU of
slope 0.1 behind every convolution but the last.

One thing differs. The original's shortcut makes 64 channels of the 26x26 map with a 1x1 convolution and then moves each
2x2 square into channels, which is work for a CPU. Here one 2x2 convolution of stride 2 makes the 256 channels; it can
compute the same, and everything else with as many inputs (it has four times the weights and multiplications).

On the accelerator a leaky ReLU on 8-bit integers is a table of 256 entries behind the requantization of its
convolution. It costs no clock.
"""

from __future__ import annotations

from models.branching import BranchingShape, Conv, Fork, Layer, MaxPool

_HALVE = MaxPool(2, 2)
_SLOPE = 0.1


def _alternate(wide: int, count: int) -> tuple[Layer, ...]:
    """``count`` convolutions, 3x3 and 1x1 in turn, the 1x1 of half the channels."""
    return tuple(Conv(wide // 2) if index % 2 else Conv(wide, 3) for index in range(count))


YOLOV2 = BranchingShape(
    layers=(
        Conv(32, 3), _HALVE, Conv(64, 3), _HALVE,
        *_alternate(128, 3), _HALVE, *_alternate(256, 3), _HALVE, *_alternate(512, 5),
        Fork(((Conv(256, 2, 2, pad=False),), (_HALVE, *_alternate(1024, 5), Conv(1024, 3), Conv(1024, 3)))),
        Conv(1024, 3), Conv(425, plain=True),
    ),
    classes=None,
    image_size=416,
    leaky_slope=_SLOPE,
)  # fmt: skip
"""Darknet-19 with the detection head for 80 classes: 13x13 predictions of 425 channels."""

YOLOV2_TINY = BranchingShape(
    layers=(
        Conv(16, 3), _HALVE, Conv(32, 3), _HALVE, Conv(64, 3), _HALVE, Conv(128, 3), _HALVE, Conv(256, 3), _HALVE,
        Conv(512, 3), MaxPool(2, 1), Conv(1024, 3), Conv(1024, 3), Conv(125, plain=True),
    ),
    classes=None,
    image_size=416,
    leaky_slope=_SLOPE,
)  # fmt: skip
"""Nine convolutions for 20 classes: 13x13 predictions of 125 channels."""
