"""Other spellings of a network, brought to the one that everything behind the front end knows.

Each form is a pass over the main graph; ``adapt`` runs them until none finds anything. They see the canonical opset,
constants as initializers, and the shapes that are known so far. Float types are another matter (``floats``): they are
settled before any inference, in sub-graphs too.
"""

from __future__ import annotations

import logging

import onnx_ir as ir

from sliceflow.frontend.forms.channels_last import ChannelsLast
from sliceflow.frontend.forms.contrib_qdq import ContribQdq
from sliceflow.frontend.forms.dynamic import Dynamic
from sliceflow.frontend.forms.floats import settle_floats
from sliceflow.frontend.forms.form import Form
from sliceflow.frontend.forms.fused import Fused
from sliceflow.frontend.forms.integer_moves import IntegerMoves
from sliceflow.frontend.forms.integer_products import IntegerProducts
from sliceflow.frontend.forms.kinds import DYNAMIC_OPS, is_integer_op, quantized_ops, refuse_dynamic
from sliceflow.frontend.forms.qoperator import QOperator
from sliceflow.frontend.forms.weight_only import WeightOnly
from sliceflow.frontend.nodes import verify_nodes
from sliceflow.frontend.opset import OPSET
from sliceflow.frontend.shapes import infer_shapes

logger = logging.getLogger(__name__)

FORMS: tuple[type[Form], ...] = (
    ContribQdq,
    Dynamic,
    WeightOnly,
    ChannelsLast,
    QOperator,
    IntegerProducts,
    IntegerMoves,
    Fused,
)
"""All forms, in the order in which they are looked for."""
_MAX_ROUNDS = 20
_NOTES = "sliceflow.import_notes"

__all__ = [
    "DYNAMIC_OPS",
    "FORMS",
    "adapt",
    "add_notes",
    "is_integer_op",
    "notes_of",
    "quantized_ops",
    "refuse_dynamic",
    "settle_floats",
]


def adapt(model: ir.Model, where: str) -> None:
    """Rewrite all known forms, in place; what was done becomes a note of the model.

    Shapes are inferred between the rounds: some forms need the rank of a tensor that another one makes known.

    Args:
        model: at the canonical opset.
        where: the model, for messages.

    Raises:
        UserError: a node contradicts itself.
    """
    counts: dict[type[Form], int] = dict.fromkeys(FORMS, 0)
    for _ in range(_MAX_ROUNDS):
        changed = 0
        for kind in FORMS:
            step = kind()
            step(model)
            counts[kind] += step.changes
            changed += step.changes
        if not changed:
            break
        model.graph.opset_imports.setdefault("", OPSET)
        verify_nodes(model, where)  # no schema has seen what operators of other domains brought along
        infer_shapes(model)
    for kind, count in counts.items():
        if count:
            add_notes(model, kind.note(count), level=logging.INFO if kind.exact else logging.WARNING)


def add_notes(model: ir.Model, *notes: str, level: int = logging.INFO) -> None:
    """Keep notes on how a model was read; see ``notes_of``. What changes numbers is worth a warning."""
    for note in notes:
        logger.log(level, "%s", note)
    model.meta[_NOTES] = (*notes_of(model), *notes)


def notes_of(model: ir.Model) -> tuple[str, ...]:
    """What ``load_model`` did to a model beyond normalizing it, one sentence for each form it met.

    Copies of the model do not have them.
    """
    notes: tuple[str, ...] = model.meta.get(_NOTES, ())
    return notes
