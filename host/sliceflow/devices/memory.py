"""Activation memory of a device that computes on the host: NumPy bytes, with every access checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import InternalError, UserError
from sliceflow.graph.program import Program

_ALIGNMENT = 64


class HostMemory:
    """The activation memory of one image.

    Args:
        program: says the size.

    Attributes:
        data: the bytes, whole beats, aligned to 64.

    Raises:
        UserError: the host has not enough memory.
    """

    def __init__(self, program: Program) -> None:
        self._word_bytes = program.profile.word_bytes
        self._size = program.activation_bytes
        self.data = aligned(self._size + -self._size % program.profile.beat_bytes)

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words in."""
        first, last = self._range(word_address, len(data))
        self.data[first:last] = np.frombuffer(data, np.uint8)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out."""
        first, last = self._range(word_address, byte_count)
        return self.data[first:last].tobytes()

    def _range(self, word_address: int, byte_count: int) -> tuple[int, int]:
        first = word_address * self._word_bytes
        if not 0 <= first <= first + byte_count <= self._size:
            raise InternalError(
                f"bytes {first}..{first + byte_count} lie outside the activation memory of {self._size} bytes"
            )
        return first, first + byte_count


def aligned(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that begin at a multiple of 64, as the kernel's memory ports read them.

    Raises:
        UserError: the host has not enough memory.
    """
    try:
        raw = np.zeros(size + _ALIGNMENT, np.uint8)
    except (MemoryError, ValueError) as error:
        raise UserError(
            f"there is no memory for {size} bytes of activations",
            fix="run on a machine with more memory, or compile the model for smaller inputs",
        ) from error
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size]
