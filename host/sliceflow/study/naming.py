"""Errors that say at which stage they happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sliceflow.errors import SliceflowError


@contextmanager
def named(place: str) -> Iterator[None]:
    """Put a place in front of where an error of the block says that it happened."""
    try:
        yield
    except SliceflowError as error:
        error.where = f"{place}, {error.where}" if error.where else place
        raise
