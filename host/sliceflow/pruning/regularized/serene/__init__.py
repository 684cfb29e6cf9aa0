"""SeReNe: weights of neurons to which the network's outputs are insensitive decay.

Source: E. Tartaglione, A. Bragagnolo et al., "SeReNe: Sensitivity-based regularization of neurons for structured
sparsity in neural networks", 2021; A. Bragagnolo, PhD thesis, University of Turin, 2023, chapter 5, whose numbers of
equations and algorithms are cited.
"""

from sliceflow.pruning.regularized.serene.method import Serene
from sliceflow.pruning.regularized.serene.regularizer import NeuronDecay
from sliceflow.pruning.regularized.serene.sensitivity import Kind, sensitivities, sensitivity_maps

__all__ = ["Kind", "NeuronDecay", "Serene", "sensitivities", "sensitivity_maps"]
