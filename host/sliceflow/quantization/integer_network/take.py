"""Takes exported integer networks where they appear, and says so."""

from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.frontend.forms import add_notes
from sliceflow.quantization.dataset import CalibrationData
from sliceflow.quantization.integer_network.network import IntegerNetwork, find_integer_network

logger = logging.getLogger(__name__)
_LOOKED_AT = "sliceflow.integer_network"


def with_own_integers(model: ir.Model, bits: int, samples: CalibrationData | None = None) -> ir.Model:
    """A model with the integers that its exporter wrote into it, if it is an exported integer network.

    Args:
        model: from ``sliceflow.frontend.load_model``; it is not changed.
        bits: of the accelerator's activations, 8 or 16.
        samples: inputs of the model; they show whether its integers are signed. Without them they are 0 to 255.

    Returns:
        A quantized model with notes (``sliceflow.frontend.notes_of``); the given model if it is no such network, or
        cannot be taken as one, which is then a warning.

    Raises:
        UserError: the samples are not integers, but the network reads integers.
    """
    if model.meta.get(_LOOKED_AT) == bits:
        return model
    found = find_integer_network(model, bits=bits)
    if found is not None and found.inputs and samples is not None:
        span = _span_of(samples, found, bits)
        found = found if span == (0, 255) else find_integer_network(model, bits=bits, input_range=span)
    else:
        span = (0, 255)
    model.meta[_LOOKED_AT] = bits
    if found is None:
        return model
    if found.model is None:
        logger.warning(
            "the model looks like an exported integer network, but it is calibrated like a float network, and will "
            "not give its integers: %s",
            found.obstacle,
        )
        return model
    read = [f"input {name} is read as integers from {span[0]} to {span[1]}" for name in found.inputs]
    taken = "the model is an exported integer network: its own integers are taken, and nothing is calibrated"
    found.model.meta.update(model.meta)
    add_notes(found.model, taken, *read, *found.notes)
    return found.model


def _span_of(samples: CalibrationData, found: IntegerNetwork, bits: int) -> tuple[int, int]:
    """The range of the integer type that the samples of these inputs have."""
    low, high = 0.0, 0.0
    for index in range(samples.count):
        for name, array in samples.batch(index, index + 1).items():
            if name not in found.inputs:
                continue
            broken = array[array != np.rint(array)]
            if broken.size:
                raise _no_integers(name, f"one of them is {broken.flat[0]:g}")
            low, high = min(low, float(array.min())), max(high, float(array.max()))
    for width in (8, 16) if bits == 16 else (8,):
        for kind in (f"uint{width}", f"int{width}"):
            limits = np.iinfo(kind)
            if limits.min <= low and high <= limits.max:
                return int(limits.min), int(limits.max)
    raise _no_integers(found.inputs[0], f"they reach from {low:g} to {high:g}, which is more than {bits} bits")


def _no_integers(name: str, why: str) -> UserError:
    return UserError(
        "the samples are not the integers that the network reads",
        where=f"calibration data, input {name!r}",
        why=f"the model is an exported integer network; {why}",
        fix="give the samples as its exporter's input, such as 0 to 255 (--scale 255 for samples from 0 to 1), "
        "or leave out --calibration: nothing is calibrated",
    )
