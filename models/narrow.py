"""Narrower versions of a network, to the sizes of published pruned ones. Channel counts are left as they come out.

The reference is table 7.2 of A. Bragagnolo, "Exploring the design and implementation of pruning techniques for deep
neural networks", PhD thesis, University of Turin, 2023. It gives the share of neurons (filters, and neurons of fully
connected layers) and the memory of the float32 parameters that remain, not the channels of each layer.
"""

from __future__ import annotations

import dataclasses

from models.segnet import SegNetShape
from models.vgg import VggShape


def scale(width: int, share: float) -> int:
    """``share`` of ``width`` channels, rounded, one at least."""
    return max(1, round(width * share))


def uniform_vgg(shape: VggShape, share: float) -> VggShape:
    """Every layer but the last keeps the same share of its neurons."""
    return dataclasses.replace(
        shape, stages=_uniform(shape.stages, share), hidden=tuple(scale(width, share) for width in shape.hidden)
    )


def uniform_segnet(shape: SegNetShape, share: float) -> SegNetShape:
    """Every convolution but the classifier keeps the same share of its filters."""
    return dataclasses.replace(shape, encoder=_uniform(shape.encoder, share), decoder=_uniform(shape.decoder, share))


def taper_vgg(shape: VggShape, *, first: float, last: float, neurons: float) -> VggShape:
    """Keep less and less with depth, and as many neurons overall as asked for.

    Regularized pruning leaves the first convolutions nearly whole and the last ones nearly empty. Here the share that a
    convolution keeps falls linearly with its index; the hidden layers of the head share the neurons that are left over.

    Args:
        shape: the whole network, with at least one hidden layer.
        first: share that the first convolution keeps.
        last: share that the last convolution keeps.
        neurons: share of all neurons, outputs included, that remain.
    """
    depth = sum(len(stage) for stage in shape.stages)
    shares = iter(first + (last - first) * index / (depth - 1) for index in range(depth))
    stages = tuple(tuple(scale(width, next(shares)) for width in stage) for stage in shape.stages)
    filters = sum(map(sum, stages))
    total = sum(map(sum, shape.stages)) + sum(shape.hidden) + shape.classes
    hidden_share = (neurons * total - shape.classes - filters) / sum(shape.hidden)
    return dataclasses.replace(shape, stages=stages, hidden=tuple(scale(width, hidden_share) for width in shape.hidden))


def _uniform(stages: tuple[tuple[int, ...], ...], share: float) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(scale(width, share) for width in stage) for stage in stages)
