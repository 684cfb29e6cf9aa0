"""Mutations of files as bytes."""

from __future__ import annotations

import random
from collections.abc import Callable

ByteMutation = Callable[[bytes, random.Random], bytes]
_WORDS = (
    b"\x00" * 8,
    b"\xff" * 9 + b"\x01",  # the largest varint
    b"\xff" * 11,  # no varint at all
    b"\x80\x80\x80\x80\x08",
    b"\x7f",
    b"\x0b\x0c",  # group tags
)


def truncate(data: bytes, chance: random.Random) -> bytes:
    """Cut the end off."""
    return data[
        : chance.choice([0, 1, 7, len(data) - 1, chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)])
    ]


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    """Flip up to 32 bits."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 32])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def insert_bytes(data: bytes, chance: random.Random) -> bytes:
    """Insert random or awkward bytes at up to 3 places."""
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(data) + 1)
        data = data[:place] + chance.choice([chance.randbytes(chance.randint(1, 16)), *_WORDS]) + data[place:]
    return data


def delete_bytes(data: bytes, chance: random.Random) -> bytes:
    """Delete a run of bytes."""
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.choice([1, 2, 8, 100]) :]


def overwrite_bytes(data: bytes, chance: random.Random) -> bytes:
    """Overwrite a run with random or awkward bytes."""
    place, word = chance.randrange(len(data)), chance.choice([chance.randbytes(chance.randint(1, 64)), *_WORDS])
    return data[:place] + word + data[place + len(word) :]


def move_bytes(data: bytes, chance: random.Random) -> bytes:
    """Copy a run over another place."""
    size = chance.choice([4, 16, 64, 512])
    source, place = chance.randrange(len(data)), chance.randrange(len(data))
    return data[:place] + data[source : source + size] + data[place + chance.choice([0, size]) :]


BYTE_MUTATIONS: tuple[ByteMutation, ...] = (
    truncate,
    flip_bits,
    insert_bytes,
    delete_bytes,
    overwrite_bytes,
    move_bytes,
)
