"""The residual add's two products, aligned by left shifts, inside 64 bits.

A product is ``value * multiplier / 2^shift`` steps of the sum. The one with the smaller shift is shifted left to meet
the other, which takes the more bits the further the operands' scales lie apart. Where int64 does not hold that, the
smaller operand's multiplier loses its last bits: they are worth less than float32 arithmetic could show.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sliceflow.reference.numerics import round_half_even_shift

_LIMIT = 1 << 62
_FINEST = 2.0**-12
"""Largest error, in steps of the sum, of a multiplier that is shortened. A float32 sum of 16-bit tensors is no finer
than 2^-8 steps."""


@dataclasses.dataclass(frozen=True)
class Product:
    """One operand's way to the sum: arrays with one number for each channel, or one for all.

    Attributes:
        largest: bound on the operand's magnitude.
        multiplier, shift: what it is multiplied with.
    """

    largest: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]


def align_products(main: Product, other: Product) -> tuple[Product, Product] | None:
    """Both products so that ``(main << left) + (other << left)`` stays below 2^62.

    Args:
        main: one number for each channel, or one for all.
        other: one number for all channels.

    Returns:
        The same products, shortened where they must be: ``main`` with all channels, ``other`` with one number; None
        where that would show in the sum.
    """
    while True:
        first, second = _copied(main, main.shift.size), _copied(other, main.shift.size)
        for channel in range(main.shift.size):
            if _sum(first, second, channel) < _LIMIT:
                continue
            small, large = (first, second) if first.shift[channel] > second.shift[channel] else (second, first)
            if not _shorten(small, large, channel) or _sum(first, second, channel) >= _LIMIT:
                return None
        shortest = int(second.shift.argmin())
        one = Product(*(getattr(second, field.name)[shortest : shortest + 1] for field in dataclasses.fields(Product)))
        if (second.shift == one.shift).all():
            return first, one
        other = one  # the channel that can afford least of it decides for all


def _copied(product: Product, channels: int) -> Product:
    columns = (getattr(product, field.name) for field in dataclasses.fields(Product))
    return Product(*(np.array(np.broadcast_to(column, channels), np.int64) for column in columns))


def _magnitude(product: Product, channel: int) -> int:
    return int(product.largest[channel]) * abs(int(product.multiplier[channel]))


def _sum(first: Product, second: Product, channel: int) -> int:
    common = max(int(first.shift[channel]), int(second.shift[channel]))
    return sum(_magnitude(p, channel) << common - int(p.shift[channel]) for p in (first, second))


def _shorten(small: Product, large: Product, channel: int) -> bool:
    """Give the operand that counts less the largest shift that leaves the other one room; False if that shows."""
    room = (_LIMIT >> 1).bit_length() - 1 - _magnitude(large, channel).bit_length()
    shift = int(large.shift[channel]) + room
    dropped = int(small.shift[channel]) - shift
    if room < 0 or dropped <= 0 or int(small.largest[channel]) * 2.0 ** -(shift + 1) > _FINEST:
        return False
    small.multiplier[channel] = round_half_even_shift(small.multiplier[channel : channel + 1], min(dropped, 62))[0]
    small.shift[channel] = shift
    return True
