"""Three generations of Inception networks.

Sources: C. Szegedy et al., "Going deeper with convolutions", 2015, table 1, for :data:`INCEPTION_V1`; S. Ioffe and
C. Szegedy, "Batch normalization", 2015, figure 5, for :data:`INCEPTION_V2`; C. Szegedy et al., "Rethinking the
Inception architecture for computer vision", 2016, with the channels of its published weights, for
:data:`INCEPTION_V3`.

None has the auxiliary classifiers, which only training uses. Version 1 has no local response normalization: the
accelerator has none, and it hardly matters for accuracy. Where the tables leave padding open, maps have the sizes that
the tables state.
"""

from __future__ import annotations

from models.branching import AveragePool, BranchingShape, Conv, Fork, MaxPool

_HALVE = MaxPool(3, 2, pad=True)


def _v1(single: int, reduce3: int, triple: int, reduce5: int, five: int, pooled: int) -> Fork:
    """A row of the table of version 1."""
    return Fork(
        (
            (Conv(single),),
            (Conv(reduce3), Conv(triple, 3)),
            (Conv(reduce5), Conv(five, 5)),
            (MaxPool(3, 1, pad=True), Conv(pooled)),
        )
    )


INCEPTION_V1 = BranchingShape(
    layers=(
        Conv(64, 7, 2), _HALVE, Conv(64), Conv(192, 3), _HALVE,
        _v1(64, 96, 128, 16, 32, 32), _v1(128, 128, 192, 32, 96, 64), _HALVE,
        _v1(192, 96, 208, 16, 48, 64), _v1(160, 112, 224, 24, 64, 64), _v1(128, 128, 256, 24, 64, 64),
        _v1(112, 144, 288, 32, 64, 64), _v1(256, 160, 320, 32, 128, 128), _HALVE,
        _v1(256, 160, 320, 32, 128, 128), _v1(384, 192, 384, 48, 128, 128),
    ),
    classes=1000,
    image_size=224,
    batch_norm=False,
)  # fmt: skip
"""GoogLeNet: 6,998,552 parameters."""


def _v2(
    single: int, reduce3: int, triple: int, reduce33: int, double: int, pooled: int, *, max_pool: bool = False
) -> Fork:
    """A row of the table of version 2 that keeps the size."""
    pool = MaxPool(3, 1, pad=True) if max_pool else AveragePool()
    return Fork(
        (
            (Conv(single),),
            (Conv(reduce3), Conv(triple, 3)),
            (Conv(reduce33), Conv(double, 3), Conv(double, 3)),
            (pool, Conv(pooled)),
        )
    )


def _v2_halve(reduce3: int, triple: int, reduce33: int, double: int) -> Fork:
    """A row of the table of version 2 that halves the map."""
    return Fork(((Conv(reduce3), Conv(triple, 3, 2)), (Conv(reduce33), Conv(double, 3), Conv(double, 3, 2)), (_HALVE,)))


INCEPTION_V2 = BranchingShape(
    layers=(
        Conv(64, 7, 2), _HALVE, Conv(64), Conv(192, 3), _HALVE,
        _v2(64, 64, 64, 64, 96, 32), _v2(64, 64, 96, 64, 96, 64), _v2_halve(128, 160, 64, 96),
        _v2(224, 64, 96, 96, 128, 128), _v2(192, 96, 128, 96, 128, 128), _v2(160, 128, 160, 128, 160, 128),
        _v2(96, 128, 192, 160, 192, 128), _v2_halve(128, 192, 192, 256),
        _v2(352, 192, 320, 160, 224, 128), _v2(352, 192, 320, 192, 224, 128, max_pool=True),
    ),
    classes=1000,
    image_size=224,
)  # fmt: skip
"""BN-Inception."""

_WIDE, _TALL = (1, 7), (7, 1)


def _v3_35(pooled: int) -> Fork:
    """A block of version 3 on 35x35 maps."""
    return Fork(
        (
            (Conv(64),),
            (Conv(48), Conv(64, 5)),
            (Conv(64), Conv(96, 3), Conv(96, 3)),
            (AveragePool(), Conv(pooled)),
        )
    )


def _v3_17(inner: int) -> Fork:
    """A block of version 3 on 17x17 maps."""
    return Fork(
        (
            (Conv(192),),
            (Conv(inner), Conv(inner, _WIDE), Conv(192, _TALL)),
            (Conv(inner), Conv(inner, _TALL), Conv(inner, _WIDE), Conv(inner, _TALL), Conv(192, _WIDE)),
            (AveragePool(), Conv(192)),
        )
    )


def _v3_8() -> Fork:
    """A block of version 3 on 8x8 maps."""
    both = Fork(((Conv(384, (1, 3)),), (Conv(384, (3, 1)),)))
    return Fork(((Conv(320),), (Conv(384), both), (Conv(448), Conv(384, 3), both), (AveragePool(), Conv(192))))


INCEPTION_V3 = BranchingShape(
    layers=(
        Conv(32, 3, 2, pad=False), Conv(32, 3, pad=False), Conv(64, 3), MaxPool(3, 2),
        Conv(80), Conv(192, 3, pad=False), MaxPool(3, 2),
        _v3_35(32), _v3_35(64), _v3_35(64),
        Fork(((Conv(384, 3, 2, pad=False),), (Conv(64), Conv(96, 3), Conv(96, 3, 2, pad=False)), (MaxPool(3, 2),))),
        _v3_17(128), _v3_17(160), _v3_17(160), _v3_17(192),
        Fork((
            (Conv(192), Conv(320, 3, 2, pad=False)),
            (Conv(192), Conv(192, _WIDE), Conv(192, _TALL), Conv(192, 3, 2, pad=False)),
            (MaxPool(3, 2),),
        )),
        _v3_8(), _v3_8(),
    ),
    classes=1000,
    image_size=299,
)  # fmt: skip
"""Inception v3: 23,834,568 parameters."""
