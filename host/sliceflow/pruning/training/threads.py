"""Threads that torch computes with."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Let torch use so many threads within an operator. Sums, and so results, may depend on it."""
    torch.set_num_threads(count)
