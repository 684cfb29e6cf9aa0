"""Which channels of a live network can go; they are cut out round by round, and each round is tried out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.channels import observe
from sliceflow.pruning.channels.group import ChannelGroup, Member
from sliceflow.pruning.channels.groups import find_groups
from sliceflow.pruning.channels.layers import CONVOLUTIONS, LAYERS, count, is_depthwise, sharing, sides
from sliceflow.pruning.channels.surgery import Surgery, can_be_cut, nonzero
from sliceflow.pruning.training.masks import Masks

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""Largest difference of an output that is accepted, as a share of the largest element: sums in another order."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Channels that stay although all weights that make them are zero, and why."""

    group: str
    channels: int
    reason: str


class Rounds:
    """Finds what can go and cuts it, until nothing more can: without its input, a layer may be constant in turn.

    The network runs behind each cut. If it fails or computes something else, the groups of channels are tried one by
    one, and those at fault stay: the network's code has their number in it, or does something with them that is not
    known here.

    Attributes:
        held: channels that stay although they are pruned.
        folded: channels whose constant moved into biases.
        difference: the largest of an output, as a share of its tensor's largest element.
    """

    def __init__(
        self, model: nn.Module, example: Tensor, surgery: Surgery, masks: Masks | None, protect: Collection[str]
    ) -> None:
        self._model, self._surgery, self._masks, self._protect = model, surgery, masks, protect
        self._shared = sharing(model)
        self._fixed: dict[str, str] = {}  # groups that were tried in vain, and what happened
        self.held: list[Held] = []
        self.folded, self.difference = 0, 0.0
        self._groups = find_groups(model, example, protect)
        self._examples = observe.probes(model, example)
        self._expected = self._outputs()

    def run(self) -> None:
        """Cut all that can go."""
        while self._round():
            try:
                self._groups = find_groups(self._model, self._examples[0], self._protect)
            except UserError as error:  # the network runs, but what is left of it cannot be traced
                logger.info("the network cannot be traced again: %s", error)
                return

    def _outputs(self) -> list[Tensor]:
        return [tensor for probe in self._examples for tensor in observe.outputs(self._model, probe)]

    def _round(self) -> bool:
        groups = self._groups
        constants = observe.constant_inputs(self._model, self._examples)
        self.held = []
        gone = [self._removable(group, constants) for group in groups]
        _even_out(groups, gone)
        done = self._surgery.done
        if self._try(groups, gone, constants):
            gone = self._blameless(groups, gone, constants, done)
        return any(mask.any() for mask in gone)

    def _blameless(
        self, groups: list[ChannelGroup], gone: list[Tensor], constants: dict[nn.Module, Tensor], done: int
    ) -> list[Tensor]:
        """Cut what can go without the groups that the network does not run without, and say what that is."""
        allowed = [torch.zeros_like(mask) for mask in gone]
        for number, group in enumerate(groups):
            if not gone[number].any():
                continue
            trial = [*allowed[:number], gone[number].clone(), *allowed[number + 1 :]]
            _even_out(groups, trial)
            if reason := self._try(groups, trial, constants):
                self._fixed[group.name] = reason
                self.held.append(Held(group.name, int(gone[number].sum()), reason))
            else:
                self._surgery.undo(done)
                allowed[number] = gone[number]
        _even_out(groups, allowed)
        self._try(groups, allowed, constants)
        return allowed

    def _try(self, groups: list[ChannelGroup], gone: list[Tensor], constants: dict[nn.Module, Tensor]) -> str:
        """Cut channels; if the network is no longer what it was, take it back and say what is wrong, else ''."""
        done = self._surgery.done
        folded = self._fold(groups, gone, constants)
        self._cut(groups, gone)
        try:
            difference = observe.largest_difference(self._expected, self._outputs())
            wrong = "" if difference <= TOLERANCE else f"its outputs would differ by {difference:.1e} of the largest"
        except Exception as error:  # the network's own code runs here
            lines = str(error).strip().splitlines()
            wrong = f"the network does not run without them: {lines[0] if lines else type(error).__name__}"
        if wrong:
            self._surgery.undo(done)
            return wrong
        self.folded += folded
        self.difference = difference
        return ""

    def _cut(self, groups: list[ChannelGroup], gone: list[Tensor]) -> None:
        keeps: dict[nn.Module, list[Tensor | None]] = {}
        for group, mask in zip(groups, gone, strict=True):
            for member in group.members if mask.any() else ():
                keep = keeps.setdefault(member.module, [None, None])
                side = keep[member.makes]
                chosen = ~member.chosen(mask)
                keep[member.makes] = chosen if side is None else side & chosen
        for layer, (inputs, outputs) in keeps.items():
            self._surgery.cut(layer, inputs, outputs)

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
        if fixed := self._fixed.get(group.name) or self._cannot_lose(group):
            gone[:] = False
            reasons = [fixed]
        if gone.all():
            gone[0] = False
        left = int((silent & ~gone).sum())
        if left and reasons:
            self.held.append(Held(group.name, left, "; ".join(dict.fromkeys(reasons))))
        return gone

    def _cannot_lose(self, group: ChannelGroup) -> str:
        """Why no channel of a group can be cut out of a layer; empty if all layers can be cut."""
        for member in group.members:
            if member.module in self._shared:
                return f"{member.layer} has a parameter with another use"
            if not can_be_cut(member.module):
                return f"{member.layer} ({type(member.module).__name__}) cannot lose channels"
        return ""

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

    def _fold(self, groups: list[ChannelGroup], gone: list[Tensor], constants: dict[nn.Module, Tensor]) -> int:
        """Move constants of channels that go into biases; returns how many channels had one."""
        total = 0
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
            total += int(folded.sum())
        return total


def _even_out(groups: list[ChannelGroup], gone: list[Tensor]) -> None:
    """Let channels of grouped convolutions stay, so that all of their groups that stay are equally large."""
    sites: dict[tuple[nn.Module, bool], list[tuple[int, Member]]] = {}
    for number, group in enumerate(groups):
        for member in group.members:
            grouped = isinstance(member.module, LAYERS) and getattr(member.module, "groups", 1) > 1
            if grouped and not is_depthwise(member.module):
                sites.setdefault((member.module, member.makes), []).append((number, member))
    changed = True
    while changed:
        changed = any([_even(layer, sites, gone) for layer in {layer for layer, _ in sites}])


def _even(layer: nn.Module, sites: dict[tuple[nn.Module, bool], list[tuple[int, Member]]], gone: list[Tensor]) -> bool:
    """Even out the groups of one convolution; returns whether something came back."""
    keeps = []
    for makes in (False, True):
        keep = torch.ones(count(layer, makes), dtype=torch.bool)
        for number, member in sites.get((layer, makes), ()):
            keep[member.positions[gone[number]].flatten()] = False
        keeps.append(keep.reshape(layer.groups, -1))
    stays = keeps[0].any(1) | keeps[1].any(1)
    changed = False
    for makes, keep in zip((False, True), keeps, strict=True):
        wanted = max(1, int(keep.sum(1).max()))
        for block in stays.nonzero().flatten().tolist():
            missing = (~keep[block]).nonzero().flatten()[: max(0, wanted - int(keep[block].sum()))]
            for place in (missing + block * keep.shape[1]).tolist():
                changed |= _bring_back(sites.get((layer, makes), ()), gone, place)
    return changed


def _bring_back(sites: Collection[tuple[int, Member]], gone: list[Tensor], place: int) -> bool:
    for number, member in sites:
        channel = (member.positions == place).any(1)
        if (gone[number] & channel).any():
            gone[number] &= ~channel
            return True
    return False


def _unpadded(layer: nn.Module) -> bool:
    return layer.padding == "valid" or (not isinstance(layer.padding, str) and not any(layer.padding))
