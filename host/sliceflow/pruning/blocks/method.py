"""Pruning of residual blocks as a method among others: the network keeps its form, and what is pruned is masked."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.network import TOLERANCE, BlockNetwork
from sliceflow.pruning.blocks.pruner import BlockOptions, BlockResult, Step, prune_blocks
from sliceflow.pruning.blocks.schedules import Every, LowHigh, Schedule, Threshold, Uniform
from sliceflow.pruning.channels.observe import largest_difference, outputs
from sliceflow.pruning.method import Outcome, Request
from sliceflow.pruning.training.fit import Training
from sliceflow.pruning.training.fresh import copied
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blocks(BlockOptions):
    """Removes residual blocks, as large a share of all as is asked for, rounded down. See ``BlockOptions``.

    Attributes:
        schedule: when to train: in ``uniform`` loops, after ``every`` so many removals, at a ``threshold`` of lost
            metric, or ``low-high``, a little after each removal. All train after the last.
        loops: of ``uniform``.
        every: of ``every``.
        drop: of ``threshold``, as a fraction.
        low_epochs: of ``low-high``.
        kind: class of the blocks; None takes all that are found.
    """

    schedule: Literal["uniform", "every", "threshold", "low-high"] = "uniform"
    loops: int = 1
    every: int = 1
    drop: float = 0.02
    low_epochs: int = 1
    kind: str | None = None

    structured: ClassVar[bool] = True

    def prune(self, model: nn.Module, task: Task, request: Request, run: Run) -> Outcome:
        """See ``Method``. The request's seed is added to the options'. Blocks with protected layers stay.

        The log has one record for each removal.

        Raises:
            UserError: the network has no blocks, or they are such that a masked block is no removed one.
        """
        shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        network = BlockNetwork(copied(model, shared), task.example(), self.kind, request.protect)
        options = dataclasses.replace(self, seed=self.seed + request.seed)
        masks = Masks(model)
        target = int(request.ratio * len(network.blocks))
        if not target:
            return Outcome(masks, [])
        branches = {name: [inner for inner, _ in b.branch.named_parameters()] for name, b in network.blocks.items()}
        result = prune_blocks(network, task, target, self._schedule(request.training), options, run)
        for name in result.removed:
            for inner in branches[name]:
                masks.prune(f"{name}.{inner}", torch.ones_like(masks[f"{name}.{inner}"]))
        removed, masked = (outputs(one, task.example()) for one in (network.model, model))
        if largest_difference(removed, masked) > TOLERANCE:
            raise UserError(
                "blocks whose weights are zero differ from blocks that are removed",
                where=type(model).__name__,
                why="their branches do not end with a layer or an affine normalization, or no ReLU is behind the sum",
            )
        return Outcome(masks, [_record(result, step) for step in result.steps])

    def _schedule(self, training: Training) -> Schedule:
        if self.schedule == "uniform":
            return Uniform(self.loops, training)
        if self.schedule == "every":
            return Every(self.every, training)
        if self.schedule == "threshold":
            return Threshold(self.drop, training)
        return LowHigh(dataclasses.replace(training, epochs=self.low_epochs), training)


def _record(result: BlockResult, step: Step) -> dict[str, Any]:
    return {
        "block": step.block,
        "parameters": step.parameters,
        "macs": step.macs,
        "metric": step.validation.metric,
        "trained_metric": step.loops[-1].after.metric if step.loops else None,
        "scores": step.scores,
        "loops": [dataclasses.asdict(loop) for loop in step.loops],
        "cost_of_all": result.cost,
        "cost_kept_of_all": result.cost_kept,
    }
