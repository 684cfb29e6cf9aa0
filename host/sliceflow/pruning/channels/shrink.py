"""Pruned channels are cut out of a live network, in place, and training goes on.

A group of coupled channels (``groups``) loses a channel when nothing that reads it can notice:

1. every weight that reads it is zero; or
2. all weights that make it are zero, and what is left of it behind biases, norms and activations is zero; or
3. all weights that make it are zero, and what is left is a constant that every reader can take into its bias: fully
   connected layers, and convolutions without zero padding.

What is left of a channel is observed while the network runs, at two sizes if it takes two. A constant in front of a
zero-padded convolution stays: its effect at the border differs. (In an ONNX model ``sliceflow.passes.simplify`` merges
all such channels of a layer into one.) Rules 1 and 2 leave training as it is if ``Masks`` hold what is pruned; a
constant that moved into a bias is exact in evaluation only.

Source: "training mode" of Simplify, A. Bragagnolo, PhD thesis, University of Turin, 2023, chapter 6.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels import observe
from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.surgery import CONVOLUTIONS, MIXING, Surgery, can_be_cut, is_depthwise, nonzero, sides
from sliceflow.pruning.training.masks import Masks

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference of an output that is accepted, as a share of the largest element: sums in another order."""


@dataclasses.dataclass(frozen=True)
class Size:
    """A layer's size. Norms and the like have as many inputs as outputs."""

    inputs: int
    outputs: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class LayerShrink:
    """A layer before and after."""

    name: str
    kind: str
    before: Size
    after: Size


@dataclasses.dataclass(frozen=True)
class Held:
    """Channels that stay although all weights that make them are zero, and why."""

    group: str
    channels: int
    reason: str


@dataclasses.dataclass(frozen=True)
class ShrinkReport:
    """What shrinking did.

    Attributes:
        layers: every layer with channels, in the network's order.
        held: channels that stay although they are pruned.
        folded: channels whose constant moved into biases.
        difference: largest difference of an output, as a share of its largest element, on random inputs.
    """

    layers: list[LayerShrink]
    held: list[Held]
    folded: int
    difference: float

    def totals(self) -> dict[str, int]:
        """Output channels of layers with weights for each pair of channels, and all parameters; before and after."""
        mixing = [layer for layer in self.layers if layer.kind in {kind.__name__ for kind in MIXING}]
        return {
            "channels_before": sum(layer.before.outputs for layer in mixing),
            "channels_after": sum(layer.after.outputs for layer in mixing),
            "parameters_before": sum(layer.before.parameters for layer in self.layers),
            "parameters_after": sum(layer.after.parameters for layer in self.layers),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "totals": self.totals()}


def shrink(
    model: nn.Module,
    example: Tensor,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    masks: Masks | None = None,
    protect: Collection[str] = (),
) -> ShrinkReport:
    """Cut pruned channels out of a network, in place. In evaluation mode its outputs stay the same, at any input size.

    Layers get new, smaller parameters. What else holds the old ones (a callback, an average of weights) must be made
    anew.

    Args:
        model: the network; every layer is used once.
        example: inputs, ``[N, ...]``; shape and type matter, and not the values if they are floating-point.
        optimizer: it gets the new parameters, and goes on with what it keeps for the elements that stay (momentum,
            Adam's moments).
        masks: they get the new parameters, and are cut alike.
        protect: layers whose outputs all stay.

    Returns:
        What went, and what could not.

    Raises:
        UserError: the channels of the network cannot be traced, the optimizer's state does not fit its parameters, or
            the network does something with its channels that is not understood; it is left as it was.
    """
    before = _sizes(model)
    surgery = Surgery(model, optimizer, masks)
    try:
        rounds, difference = _cut(model, example, surgery, masks, protect)
    except BaseException:
        surgery.undo()
        raise
    after = _sizes(model)
    layers = [LayerShrink(name, kind, size, after[name][1]) for name, (kind, size) in before.items()]
    return ShrinkReport(layers, rounds.held, rounds.folded, difference)


def _cut(
    model: nn.Module, example: Tensor, surgery: Surgery, masks: Masks | None, protect: Collection[str]
) -> tuple[_Rounds, float]:
    """Cut all that can go; returns what was found, and the largest difference of an output."""
    examples = observe.probes(model, example)
    expected = [tensor for probe in examples for tensor in observe.outputs(model, probe)]
    for fixed_size in (False, True):
        rounds = _Rounds(model, examples, surgery, masks, protect, fixed_size=fixed_size)
        try:
            rounds.run()
            found = [tensor for probe in examples for tensor in observe.outputs(model, probe)]
            break
        except (RuntimeError, UserError) as error:  # UserError: it could not be traced again
            if not rounds.cuts:
                raise
            if fixed_size:
                raise _not_understood(model, str(error).strip().splitlines()[0]) from error
            logger.info("the network does not run without some channels: %s", error)
            surgery.undo()
    difference = observe.largest_difference(expected, found)
    if not difference <= TOLERANCE:
        raise _not_understood(model, f"its outputs would differ by {difference:.1e} of the largest")
    return rounds, difference


def _not_understood(model: nn.Module, found: str) -> UserError:
    return UserError(
        "the network cannot be shrunk",
        where=type(model).__name__,
        why=f"{found}: it does something with its channels besides convolutions, fully connected layers, norms and "
        "elementwise functions, or computes what it does not return",
        fix="name the layers concerned in `protect`, or export the network and use `sliceflow simplify`",
    )


class _Rounds:
    """Finds what can go and cuts it, until nothing more can: without its input, a layer may be constant in turn."""

    def __init__(
        self,
        model: nn.Module,
        examples: list[Tensor],
        surgery: Surgery,
        masks: Masks | None,
        protect: Collection[str],
        *,
        fixed_size: bool = False,
    ) -> None:
        self._model, self._examples, self._surgery, self._masks = model, examples, surgery, masks
        self._protect, self._fixed_size = protect, fixed_size
        self.held: list[Held] = []
        self.folded = self.cuts = 0

    def run(self) -> None:
        while self._round():
            pass

    def _round(self) -> bool:
        groups = find_groups(self._model, self._examples[0], self._protect)
        constants = observe.constant_inputs(self._model, self._examples)
        self.held = []
        gone = [self._removable(group, constants) for group in groups]
        _even_out(groups, gone)
        if not any(mask.any() for mask in gone):
            return False
        self._fold(groups, gone, constants)
        inputs: dict[nn.Module, Tensor] = {}
        outputs: dict[nn.Module, Tensor] = {}
        for group, mask in zip(groups, gone, strict=True):
            for member in group.members if mask.any() else ():
                keep = (outputs if member.makes else inputs).setdefault(member.module, _all(member))
                keep[member.positions[mask].flatten()] = False
        for layer in {**inputs, **outputs}:
            self._surgery.cut(layer, inputs.get(layer), outputs.get(layer))
            self.cuts += 1
        return True

    def _removable(self, group: ChannelGroup, constants: dict[nn.Module, Tensor]) -> Tensor:
        """Which channels of a group can go; one stays always."""
        silent = torch.full((group.size,), bool(group.makers))
        for member in group.makers:
            silent &= ~nonzero(member.module).any(2).flatten()[member.positions].any(1)
        gone, reasons = torch.ones(group.size, dtype=torch.bool), []
        for member in group.readers:
            unread = ~nonzero(member.module).any(1).flatten()[member.positions].any(1)
            values = constants.get(member.module)
            if values is None:
                gone &= unread
                continue
            values = values[member.positions]
            refused = self._cannot_fold(member)
            allowed = (values == 0).all(1) if refused else ~values.isnan().any(1)
            if refused and (silent & ~unread & ~allowed).any():
                reasons.append(refused)
            gone &= unread | (silent & allowed)
        odd = [m for m in group.members if not can_be_cut(m.module)]
        if odd or (self._fixed_size and _flattens(group)):
            gone[:] = False
            name = f"{odd[0].layer} ({type(odd[0].module).__name__}) cannot lose channels" if odd else ""
            reasons = [name or "the network's code has the number of elements that a fully connected layer reads"]
        if gone.all():
            gone[0] = False
        left = int((silent & ~gone).sum())
        if left and reasons:
            self.held.append(Held(group.name, left, "; ".join(dict.fromkeys(reasons))))
        return gone

    def _cannot_fold(self, reader: Member) -> str:
        """Why a layer cannot take constants of its inputs into its bias; empty if it can."""
        layer = reader.module
        if getattr(layer, "groups", 1) > 1 or not isinstance(layer, (nn.Linear, *CONVOLUTIONS)):
            return f"a constant is left in front of {reader.layer}, a grouped or transposed convolution"
        if isinstance(layer, CONVOLUTIONS) and layer.padding_mode == "zeros" and not _unpadded(layer):
            return f"a constant is left in front of {reader.layer}, which pads with zeros"
        if layer.bias is None:
            return f"a constant is left in front of {reader.layer}, which has no bias to take it"
        rows = nonzero(layer).any(2).flatten()
        if self._masks is not None and not self._masks[f"{reader.layer}.bias".lstrip(".")][rows].all():
            return f"a constant is left in front of {reader.layer}, whose bias is pruned"
        return ""

    def _fold(self, groups: list[ChannelGroup], gone: list[Tensor], constants: dict[nn.Module, Tensor]) -> None:
        for group, mask in zip(groups, gone, strict=True):
            folded = torch.zeros_like(mask)
            for member in group.readers:
                layer, places = member.module, member.positions[mask].flatten()
                values = constants.get(layer, torch.zeros(sides(layer)[0]))[places]
                weights = layer.weight.detach()
                if values.count_nonzero() and layer.bias is not None and not self._cannot_fold(member):
                    read = weights[:, places].flatten(2).sum(2) if weights.ndim > 2 else weights[:, places]
                    amount = (read.double() @ values.nan_to_num().double()).to(layer.bias)
                    self._surgery.add_to_bias(layer, amount)
                    folded |= mask & (constants[layer][member.positions].nan_to_num() != 0).any(1)
            self.folded += int(folded.sum())


def _even_out(groups: list[ChannelGroup], gone: list[Tensor]) -> None:
    """Let channels of grouped convolutions stay, so that all of their groups that stay are equally large."""
    sites: dict[tuple[nn.Module, bool], list[tuple[int, Member]]] = {}
    for number, group in enumerate(groups):
        for member in group.members:
            if getattr(member.module, "groups", 1) > 1 and not is_depthwise(member.module):
                sites.setdefault((member.module, member.makes), []).append((number, member))
    layers = {layer for layer, _ in sites}
    changed = True
    while changed:
        changed = False
        for layer in layers:
            count = layer.groups
            keeps = []
            for makes in (False, True):
                keep = torch.ones(sides(layer)[makes], dtype=torch.bool)
                for number, member in sites.get((layer, makes), ()):
                    keep[member.positions[gone[number]].flatten()] = False
                keeps.append(keep.reshape(count, -1))
            stays = keeps[0].any(1) | keeps[1].any(1)
            for makes, keep in zip((False, True), keeps, strict=True):
                wanted = max(1, int(keep.sum(1).max()))
                for block in stays.nonzero().flatten().tolist():
                    missing = (~keep[block]).nonzero().flatten()[: max(0, wanted - int(keep[block].sum()))]
                    for place in (missing + block * keep.shape[1]).tolist():
                        changed |= _bring_back(sites.get((layer, makes), ()), gone, place)


def _bring_back(sites: Collection[tuple[int, Member]], gone: list[Tensor], place: int) -> bool:
    for number, member in sites:
        channel = (member.positions == place).any(1)
        if (gone[number] & channel).any():
            gone[number] &= ~channel
            return True
    return False


def _all(member: Member) -> Tensor:
    layer = member.module
    if isinstance(layer, MIXING):
        return torch.ones(sides(layer)[member.makes], dtype=torch.bool)
    return torch.ones(layer.num_parameters if isinstance(layer, nn.PReLU) else layer.num_features, dtype=torch.bool)


def _flattens(group: ChannelGroup) -> bool:
    """Whether maps become vectors between the layers of a group."""
    return any(isinstance(m.module, nn.Linear) for m in group.readers) and any(
        not isinstance(m.module, nn.Linear) for m in group.makers
    )


def _unpadded(layer: nn.Module) -> bool:
    return layer.padding == "valid" or (not isinstance(layer.padding, str) and not any(layer.padding))


def _sizes(model: nn.Module) -> dict[str, tuple[str, Size]]:
    found = {}
    for name, layer in model.named_modules():
        count = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
        if isinstance(layer, MIXING):
            found[name] = type(layer).__name__, Size(*sides(layer), count)
        elif count:
            channels = getattr(layer, "num_features", 0)
            found[name] = type(layer).__name__, Size(channels, channels, count)
    return found
