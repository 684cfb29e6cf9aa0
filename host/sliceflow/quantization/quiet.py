"""Quantization without its notes in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def notes_unlogged() -> Iterator[None]:
    """Within this block the notes on ranges are results only: they are not logged as well."""
    logger = logging.getLogger("sliceflow.quantization")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
