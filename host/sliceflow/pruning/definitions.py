"""The figures by which pruned networks are compared. Each is defined here, once.

Sources: D. Blalock et al., "What is the state of neural network pruning?", 2020, section 2; A. Bragagnolo, PhD thesis,
University of Turin, 2023, chapter 3.
"""

from __future__ import annotations

from torch import nn


def parameters(model: nn.Module) -> int:
    """All parameters, weights and biases, of the whole network."""
    return sum(parameter.numel() for parameter in model.parameters())


def nonzero_parameters(model: nn.Module) -> int:
    """Parameters that are not zero."""
    return sum(int(parameter.detach().count_nonzero()) for parameter in model.parameters())


def sparsity(zeros: int, total: int) -> float:
    """Share of parameters that are zero or removed, 0 to 1, of the *original* network."""
    return zeros / total if total else 0.0


def compression_ratio(original: int, remaining: int) -> float:
    """Original size divided by the remaining one, at least 1 if anything went."""
    return original / remaining if remaining else float("inf")


def speed_up(original: float, remaining: float) -> float:
    """Original cost (MACs: theoretical; cycles or seconds: real) divided by the remaining one."""
    return original / remaining if remaining else float("inf")
