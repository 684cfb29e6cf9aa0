"""From an exporter's rescaling to one rounded multiplication."""

from __future__ import annotations

import numpy as np

from sliceflow.quantization.integer_network.chain import Chain
from sliceflow.quantization.integer_network.codes import CODE_MAX, Codes
from sliceflow.quantization.weights import QuantizedWeights

_INT32 = 2**31


def requantized(found: Codes, chain: Chain, unit: float) -> QuantizedWeights | None:
    """The weights of a layer whose accumulator, rounded to nearest, gives what the exporter's chain gives.

    The accelerator rounds ``acc * scale`` to nearest, ties to even. A Floor behind a division by D becomes a shift of
    the bias: ``floor(a / D) = nearest((a - c) / D)``.

    - D odd: ``c = (D - 1) / 2``, and no sum meets a tie.
    - D even, results not negative: ``c = D/2 - 1``; the one tie, at ``n + 1/2``, must go down, so the scale is the
      float32 number just below ``1 / D``.
    - D even, negative results: weights and bias are doubled, and ``c = D - 1`` is in the middle between two sums.
      Weights of nine bits are the price.

    Args:
        found: the layer's integers.
        chain: what follows it.
        unit: what one step of the output stands for, over that of the input (``Units``).

    Returns:
        Weights for ``Rewriter.add_weights``; None where float32 scales, or the int32 bias, are too coarse for that.
    """
    codes, bias, scale = found.codes, found.bias, found.scale * chain.factor
    if chain.rounding == "Floor":
        divisor = np.maximum(np.rint(1 / scale), 1)
        whole = scale >= 1
        if not (whole | np.isclose(divisor * scale, 1, rtol=1e-12)).all():
            return None
        if (np.maximum(abs(chain.low), abs(chain.high)) + 1) * divisor.max() >= 2.0**23:
            return None
        divisor = np.where(whole, 1, divisor).astype(np.int64)
        even = divisor % 2 == 0
        if chain.low < 0 and even.any():
            codes, bias, scale = 2 * codes, 2 * bias - np.where(whole, 0, divisor - 1), scale / 2
        else:
            bias = bias - np.where(even, divisor // 2 - 1, (divisor - 1) // 2)
            below = np.nextafter(scale.astype(np.float32), np.float32(0)).astype(np.float64)
            scale = np.where(even, below, scale)
    if np.abs(bias).max(initial=0) >= _INT32:
        return None
    narrow = codes.max(initial=0) <= CODE_MAX and codes.min(initial=0) >= -CODE_MAX - 1
    return QuantizedWeights(
        weights=codes.astype(np.int8 if narrow else np.int16),
        dtype="int8" if narrow else "int16",
        scale=(scale * unit).astype(np.float32),
        bias=bias.astype(np.int32),
        raised=(),
        accumulator_bits=0,
    )
