"""Graph rewrites on onnx-ir, one named pass per file, and the normalized form they lead to.

The normalized form, which the rest of Sliceflow reads:

- The standard domain is at the canonical opset (``sliceflow.frontend.OPSET``). Nodes are in topological order and have
  names of their own. Inputs and outputs of the model keep name, order and type.
- No Constant nodes. Constants are initializers, also if the file computes them through Reshape, Unsqueeze,
  ConstantOfShape, Cast, Transpose ... A DequantizeLinear over a constant is never folded: it carries the quantization
  of a weight. A QuantizeLinear of a constant is folded, so such a weight is an integer initializer and a
  DequantizeLinear.
- Nothing that changes nothing: no Identity, Dropout, empty Pad, reshapes to the same shape ... except between a model
  input and a model output. No Sum, only Add.
- Conv, MaxPool and AveragePool state ``kernel_shape``, ``strides``, ``dilations``, ``pads``, ``group`` (``ceil_mode``,
  ``count_include_pad``), except that an AveragePool has ``dilations`` only if one is not 1. ``auto_pad`` is left only
  on a dynamic map with a stride; binding the shapes resolves it.
- A fully connected layer is ``Gemm(x, W[O, I], bias[O] or none)``, transB = 1, alpha = beta = 1, transA = 0; W and
  bias are initializers or DequantizeLinear of initializers.
- ``[N, ...]`` to ``[N, rest]`` is Flatten(axis=1). A mean or maximum over height and width is a global pool.
- BatchNormalization of rank 4 is gone: folded into a neighbour, or a depthwise 1x1 Conv. So are Mul, Add, Sub and Div
  by constants for each channel that follow a layer. Constant padding is in the ``pads`` of the layer that reads it,
  where that is exact.
- Clip has its limits as inputs, Upsample is Resize, axes are inputs (the opset adaptors of the front end see to it).

Everything else, known or unknown, is as it was: those nodes run on the CPU.

On normalized models, ``simplify`` removes what pruning has made useless, by passes of its own: constant channels move
into biases (``propagate_constants``) or, in front of zero padding, into one channel (``merge_constants``), and channels
that nobody needs are cut (``remove_channels``). What operators do with channels is in ``channels``.
"""

from __future__ import annotations

from sliceflow.passes.base import Pass
from sliceflow.passes.normalize import PASSES, normalize

__all__ = ["PASSES", "Pass", "normalize"]
