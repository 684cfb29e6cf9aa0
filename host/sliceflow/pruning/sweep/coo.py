"""Fully connected layers that multiply with sparse matrices in coordinate format (COO)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sliceflow.pruning.sweep.prune import hidden_layers
from sliceflow.pruning.training.fresh import copied


class CooLinear(nn.Module):
    """The same function as a fully connected layer, for inference; zeros are not stored.

    Args:
        layer: it is copied.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        self.register_buffer("weight", layer.weight.detach().to_sparse_coo().coalesce())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs ``[N, outputs]`` of inputs ``[N, inputs]``."""
        outputs = torch.sparse.mm(self.weight, inputs.t()).t()
        return outputs if self.bias is None else outputs + self.bias

    @property
    def stored_bytes(self) -> int:
        """Bytes of the matrix: two indices of 8 bytes and a value for each element that is not zero."""
        indices, values = self.weight.indices(), self.weight.values()
        return int(indices.numel() * indices.element_size() + values.numel() * values.element_size())


def to_coo(model: nn.Module) -> nn.Module:
    """A copy whose fully connected layers, but the last, are sparse."""
    sparse = copied(model)
    for name, layer in hidden_layers(sparse).items():
        sparse.set_submodule(name, CooLinear(layer))
    return sparse.eval()
