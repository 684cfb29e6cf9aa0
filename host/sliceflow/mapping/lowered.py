"""Adjust a whole schedule: lanes, addresses and descriptors of all its layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from sliceflow.errors import UserError
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.validate import validate_program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping.allocate import Lifetime, allocate
from sliceflow.mapping.layout import Layout, assign_lanes, share_buffers
from sliceflow.mapping.lower import DoesNotFitError, Lowering, Placement
from sliceflow.mapping.pack import Memory
from sliceflow.mapping.plan import ConcatPlan, LayerPlan, TensorSpec
from sliceflow.mapping.schedule import Action, ToDevice, ToHost


@dataclasses.dataclass(frozen=True)
class Lowered:
    """All layers of a schedule as descriptors, before their constants are packed.

    Attributes:
        descriptors: in order.
        placement: lanes and addresses of the tensors.
        activation_words: size of the activation memory.
        program, weights: the other two memories.
    """

    descriptors: tuple[Descriptor, ...]
    placement: Placement
    activation_words: int
    program: Memory
    weights: Memory


def lower_layers(actions: Sequence[Action], profile: Profile) -> Lowered:
    """Give every tensor its lanes and every layer its descriptor.

    Raises:
        DoesNotFitError: a layer cannot run on this profile after all.
        UserError: the layers fit, but the program as a whole does not.
    """
    plans = [action for action in actions if isinstance(action, LayerPlan)]
    concats = [action for action in actions if isinstance(action, ConcatPlan)]
    layouts = assign_lanes(plans, concats, profile)
    placement, words = _place(actions, layouts, concats, profile)
    lowering = Lowering(profile, placement, len(plans))
    descriptors = tuple(lowering.lower(plan, number) for number, plan in enumerate(plans))
    lowered = Lowered(descriptors, placement, words, lowering.program, lowering.weights)
    try:
        _validate(descriptors, lowered, profile)
    except UserError:
        for plan, descriptor in zip(plans, descriptors, strict=True):
            try:
                _validate([descriptor], lowered, profile)
            except UserError as error:
                reason = f"no descriptor can hold it: {error.what}"
                raise DoesNotFitError(plan, reason, "split it into smaller layers, or keep it on the CPU") from error
        raise
    return lowered


def _validate(descriptors: Sequence[Descriptor], lowered: Lowered, profile: Profile) -> None:
    validate_program(descriptors, profile, lowered.program.size, lowered.weights.size, lowered.activation_words)


def touched(action: Action) -> list[TensorSpec]:
    """The accelerator's tensors that an action reads or writes."""
    if isinstance(action, LayerPlan):
        return [*action.inputs, action.output]
    if isinstance(action, ConcatPlan):
        return [*action.parts, action.output]
    return [action.tensor] if isinstance(action, (ToDevice, ToHost)) else []


def _place(
    actions: Sequence[Action], layouts: dict[ir.Value, Layout], concats: Sequence[ConcatPlan], profile: Profile
) -> tuple[Placement, int]:
    homes = share_buffers(concats, layouts)
    words: dict[ir.Value, int] = {}
    uses: dict[ir.Value, list[int]] = {}
    for time, action in enumerate(actions):
        for tensor in touched(action):
            root = homes[tensor.value].root
            uses.setdefault(root, []).append(time)
            if root is tensor.value:
                words[root] = layouts[root].slices * tensor.height * tensor.width
    lives = {root: Lifetime(words[root], min(times), max(times)) for root, times in uses.items()}
    # Tensors begin on a memory beat, so that a read never shares its first beat with another tensor.
    align = max(1, profile.beat_bytes // profile.word_bytes)
    bases, total = allocate(lives, align=align)
    return Placement(layouts, homes, bases), total
