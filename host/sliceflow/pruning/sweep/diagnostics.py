"""Which weights went: whether their magnitude tells them from those that stayed."""

from __future__ import annotations

import torch
from torch import Tensor


def separation(kept: Tensor, gone: Tensor) -> float:
    """Area under the ROC curve: how likely a kept magnitude is larger than a removed one; ties count half.

    Args:
        kept: magnitudes ``[n]``, one at least.
        gone: magnitudes ``[m]``, one at least.
    """
    ordered = gone.flatten().double().sort().values
    values = kept.flatten().double()
    below = torch.searchsorted(ordered, values, right=False)
    up_to = torch.searchsorted(ordered, values, right=True)
    return float((below + up_to).double().mean() / (2 * len(ordered)))


def histograms(kept: Tensor, gone: Tensor, bins: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Histograms of magnitudes over the same bins, from 0 to the largest.

    Returns:
        Edges ``[bins + 1]``, counts of kept and of removed weights ``[bins]``.
    """
    largest = max(float(values.max()) if values.numel() else 0.0 for values in (kept, gone))
    edges = torch.linspace(0, largest or 1.0, bins + 1)
    counts = [torch.histogram(values.flatten().float(), edges).hist for values in (kept, gone)]
    return edges, counts[0], counts[1]
