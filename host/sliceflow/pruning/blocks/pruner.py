"""Greedy pruning of residual blocks: score, remove the least salient, train when it is due, and again."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Literal

from sliceflow.errors import UserError
from sliceflow.pruning.blocks.network import BlockNetwork
from sliceflow.pruning.blocks.phasing import Fading, divide
from sliceflow.pruning.blocks.ranking import order
from sliceflow.pruning.blocks.repair import add_noise, recalibrate
from sliceflow.pruning.blocks.saliencies import SALIENCIES, Context, Scores
from sliceflow.pruning.blocks.schedules import Schedule
from sliceflow.pruning.training.fit import History, Training
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Quality, Task, evaluate

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """How blocks are chosen and removed.

    Attributes:
        saliency: a name of ``saliencies.SALIENCIES``.
        measured: what its activations are; see ``saliencies.Context``.
        recompute: scores are computed anew after every so many removals; None computes them once.
        noise: standard deviation of noise on the weights before each loop of training, as a share of a layer's own.
        recalibrate: take the statistics of batch normalizations anew after each removal.
        fade: epochs, out of those of each loop, in which blocks that were chosen since the last loop fade out.
        equalize: the stages take turns, so that they shrink alike; a stage without blocks is left out.
        seed: of random scores and of noise.
    """

    saliency: str = "activation-change"
    measured: Literal["branch", "block"] = "branch"
    recompute: int | None = 1
    noise: float = 0.0
    recalibrate: bool = False
    fade: int = 0
    equalize: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.saliency not in SALIENCIES:
            raise UserError(f"there is no saliency {self.saliency!r}", fix=f"they are {', '.join(SALIENCIES)}")
        if (self.recompute is not None and self.recompute < 1) or self.noise < 0 or self.fade < 0:
            raise UserError("recompute must be at least 1, noise and fade not negative", where="block pruning")


@dataclasses.dataclass(frozen=True)
class Loop:
    """One loop of training.

    Attributes:
        parameters: that the network had.
        epochs: that were run.
        kept: the epoch whose weights were kept; 0 if training found nothing better.
        before, after: on validation data.
    """

    parameters: int
    epochs: int
    kept: int
    before: Quality
    after: Quality


@dataclasses.dataclass(frozen=True)
class Step:
    """One removal.

    Attributes:
        block: that went.
        scores: of all blocks that were there, the block among them.
        parameters: that are left.
        macs: that are left, for one example.
        validation: right after the removal.
        loops: of training after it, none, one, or two if blocks faded first.
    """

    block: str
    scores: Scores
    parameters: int
    macs: int
    validation: Quality
    loops: tuple[Loop, ...]


@dataclasses.dataclass(frozen=True)
class BlockResult:
    """What was removed, in order, and what it cost."""

    initial: Quality
    steps: tuple[Step, ...]

    @property
    def removed(self) -> list[str]:
        """Blocks in the order in which they went."""
        return [step.block for step in self.steps]

    @property
    def cost(self) -> int:
        """Epoch-parameters: the sum over loops of epochs *run*, times parameters. Earlier training does not count."""
        return sum(loop.epochs * loop.parameters for step in self.steps for loop in step.loops)

    @property
    def cost_kept(self) -> int:
        """The same with epochs up to the one that was *kept*: 0 where training found nothing better."""
        return sum(loop.kept * loop.parameters for step in self.steps for loop in step.loops)

    def ranking(self, step: int) -> list[str]:
        """The order of all blocks as it stood before a removal, counted from 0."""
        return order(self.removed[:step], self.steps[step].scores)


def prune_blocks(
    network: BlockNetwork, task: Task, target: int, schedule: Schedule, options: BlockOptions, run: Run
) -> BlockResult:
    """Remove blocks from a trained network, in place.

    After each loop of training the network has the weights of the loop's best epoch, or those before the loop (with
    their noise, if noise was asked for).

    Args:
        network: the network and its blocks.
        task: examples and loss; validation examples decide.
        target: blocks to remove, at least 1.
        schedule: when to train.
        options: how to choose.
        run: how it is carried out; a killed run goes on where it was.

    Returns:
        What was done.

    Raises:
        UserError: there are not so many blocks, or the schedule does not fit.
    """
    if not 1 <= target <= len(network.blocks):
        raise UserError(f"{target} blocks cannot be removed", why=f"there are {len(network.blocks)}")
    return _Pruner(network, task, target, schedule, options, run).prune()


class _Pruner:
    def __init__(
        self, network: BlockNetwork, task: Task, target: int, schedule: Schedule, options: BlockOptions, run: Run
    ) -> None:
        self._network, self._task, self._target, self._schedule = network, task, target, schedule
        self._options, self._run = options, run
        self._stages = sorted({network.stages[name] for name in network.blocks})
        self._scores: Scores = {}
        self._waiting: list[str] = []  # chosen since the last loop

    def prune(self) -> BlockResult:
        initial = self._evaluate()
        reference = initial.metric
        steps: list[Step] = []
        for number in range(1, self._target + 1):
            scores = self._score(number)
            block = self._choose(scores, number)
            self._network.remove(block)
            self._waiting.append(block)
            if self._options.recalibrate:
                recalibrate(self._network.model, self._task.train)
            found, size, macs = self._evaluate(), self._network.parameters, self._network.macs
            training = self._schedule.training(number, self._target, reference - found.metric)
            loops = self._train(number, training) if training is not None else ()
            steps.append(Step(block, scores, size, macs, found, loops))
            reference = loops[-1].after.metric if loops else reference
            after = loops[-1].after.metric if loops else found.metric
            _log.info("%s removed: %d parameters, %.4f, trained %.4f", block, size, found.metric, after)
        return BlockResult(initial, tuple(steps))

    def _evaluate(self) -> Quality:
        return evaluate(self._network.model, self._task.validation, self._task)

    def _score(self, number: int) -> Scores:
        """Scores of the blocks that are left; new ones when they are due."""
        options, blocks = self._options, self._network.blocks
        due = not self._scores if options.recompute is None else (number - 1) % options.recompute == 0
        if due:
            context = Context(self._network, self._task, options.measured, options.seed * 100_003 + number)
            identity = {"saliency": options.saliency, "measured": options.measured, "blocks": list(blocks)}
            work = SALIENCIES[options.saliency]
            found = self._run.once(f"scores-{number}", identity, lambda: {"scores": work(context)})
            self._scores = found["scores"]
        return {name: self._scores[name] for name in blocks}

    def _choose(self, scores: Scores, number: int) -> str:
        allowed: Sequence[str] = list(scores)
        if self._options.equalize:
            turns = [self._stages[(number - 1 + skip) % len(self._stages)] for skip in range(len(self._stages))]
            allowed = next(
                names for turn in turns if (names := [name for name in scores if self._network.stages[name] == turn])
            )
        return min(allowed, key=lambda name: scores[name])  # the first of equals in the order in which they run

    def _train(self, number: int, training: Training) -> tuple[Loop, ...]:
        """One loop; the waiting blocks fade before it if they shall."""
        training = dataclasses.replace(training, keep="best", initial=True)
        if self._options.noise:
            add_noise(self._network.model, self._options.noise, self._options.seed * 100_003 + number)
        loops = []
        if self._options.fade:
            fading, training = divide(training, self._options.fade)
            loops.append(self._fade(number, fading))
        size = self._network.parameters
        history = self._run.fit(f"loop-{number}", self._network.model, self._task, training)
        loops.append(_loop(history, size))
        self._waiting = []
        return tuple(loops)

    def _fade(self, number: int, training: Training) -> Loop:
        for name in self._waiting:
            self._network.restore(name)
        blocks = [self._network.blocks[name] for name in self._waiting]
        size = self._network.parameters
        history = self._run.fit(
            f"fade-{number}",
            self._network.model,
            self._task,
            dataclasses.replace(training, keep="last"),
            [Fading(blocks)],
        )
        for name in self._waiting:
            self._network.remove(name)
        return _loop(history, size)


def _loop(history: History, size: int) -> Loop:
    return Loop(size, len(history.epochs) - 1, history.kept, history.epochs[0].validation, history.best.validation)


def as_data(result: BlockResult) -> dict[str, Any]:
    """A result as plain data, for reports."""
    return {**dataclasses.asdict(result), "cost": result.cost, "cost_kept": result.cost_kept}
