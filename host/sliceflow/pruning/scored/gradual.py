"""Score, select, mask, train: the loop that most pruning methods are."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sliceflow.errors import UserError
from sliceflow.pruning.definitions import nonzero_parameters
from sliceflow.pruning.method import Outcome, Request
from sliceflow.pruning.scored.criteria import ChannelCriterion, Choices, make_criterion
from sliceflow.pruning.scored.schedules import Cubic, OneShot, Schedule, Threshold, Uniform
from sliceflow.pruning.scored.selection import Guards, Normalize, Scope, select
from sliceflow.pruning.scored.targets import Layers, Targets, find_targets
from sliceflow.pruning.training import fingerprint
from sliceflow.pruning.training.fit import History, Training
from sliceflow.pruning.training.masks import Masks
from sliceflow.pruning.training.run import Run
from sliceflow.pruning.training.task import Quality, Task, evaluate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradual:
    """Prunes in steps what a criterion scores lowest, and trains what is left.

    Attributes:
        criterion: a name of ``criteria.CRITERIA``.
        scope: ``layer`` prunes the same share of each layer, ``global`` compares all scores.
        normalize: see ``selection.select``.
        layers: which layers are pruned; the ratio is a share of their channels or weights.
        schedule: ``one-shot``, ``uniform``, ``cubic`` or ``threshold``, see ``schedules``.
        rounds: steps of the schedule, but for ``one-shot``.
        limit: of ``threshold``: metric that may be lost without training.
        low_epochs: epochs of training behind each step but the last; None trains as long as behind the last.
        batches: of training examples that criteria look at.
        least: channels or weights that every layer keeps, if it has so many.
        guard: see ``selection.Guards.part``.
    """

    criterion: str = "l2"
    scope: Scope = "layer"
    normalize: Normalize = "none"
    layers: Layers = "all"
    schedule: Literal["one-shot", "uniform", "cubic", "threshold"] = "one-shot"
    rounds: int = 4
    limit: float = 0.01
    low_epochs: int | None = None
    batches: int = 8
    least: int = 1
    guard: float = 0.1

    def __post_init__(self) -> None:
        self._schedule()
        self._guards()
        make_criterion(self.criterion, Choices())
        if self.batches < 1 or (self.low_epochs is not None and self.low_epochs < 0):
            why = f"`batches` is {self.batches}, `low_epochs` {self.low_epochs}"
            raise UserError("batches must be at least 1, epochs not negative", where="pruning options", why=why)

    @property
    def structured(self) -> bool:
        """Whether the criterion scores channels."""
        return isinstance(make_criterion(self.criterion, Choices()), ChannelCriterion)

    def prune(self, model: nn.Module, task: Task, request: Request, run: Run) -> Outcome:
        """See ``Method.prune``."""
        criterion = make_criterion(self.criterion, Choices(self.batches, request.seed))
        targets = find_targets(criterion, model, task.example(), layers=self.layers, protect=request.protect)
        loop = _Loop(self, targets, model, task, request, run)
        shares = self._schedule().shares(request.ratio)
        for step, share in enumerate(shares, 1):
            loop.step(step, len(shares), share)
        return Outcome(loop.masks, loop.log)

    def _schedule(self) -> Schedule:
        if self.schedule == "one-shot":
            return OneShot()
        if self.schedule == "threshold":
            return Threshold(self.rounds, self.limit)
        return (Uniform if self.schedule == "uniform" else Cubic)(self.rounds)

    def _guards(self) -> Guards:
        return Guards(least=self.least, part=self.guard)


class _Loop:
    """The state of one run: what is gone, and what it was trained to. All of it can be had from the run's folder."""

    def __init__(
        self, method: Gradual, targets: Targets, model: nn.Module, task: Task, request: Request, run: Run
    ) -> None:
        self.masks, self.log = Masks(model), list[dict[str, Any]]()
        self._method, self._targets, self._model, self._task = method, targets, model, task
        self._request, self._run = request, run
        self._gone = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in targets.shapes().items()}
        self._identity = {
            "method": dataclasses.asdict(method),
            "ratio": request.ratio,
            "protect": sorted(request.protect),
            "seed": request.seed,
            "weights": fingerprint.of_model(model),
        }
        self._reference: float | None = None  # metric behind the last training

    def step(self, step: int, steps: int, share: float) -> None:
        identity = {**self._identity, "step": step, "share": share}
        found = self._run.once(f"{step:03}-prune", identity, lambda: self._select(step, share))
        self._gone = found["gone"]
        self._targets.prune(self.masks, self._gone)
        reference, pruned = Quality(**found["before"]), Quality(**found["pruned"])
        if self._reference is None:
            self._reference = reference.metric
        record = self._record(step, share, reference, pruned)
        if self._method._schedule().trains(step, steps, self._reference - pruned.metric):
            history = self._train(step, last=step == steps)
            self._reference = history.best.validation.metric
            record |= {
                "trained": history.best.validation.to_json(),
                "epochs": len(history.epochs) - 1,
                "epoch_parameters": (len(history.epochs) - 1) * record["parameters"],
            }
        self.log.append(record)

    def _select(self, step: int, share: float) -> dict[str, Any]:
        """What is gone behind this step, and the network's quality before and after; the network is masked."""
        before = evaluate(self._model, self._task.validation, self._task)
        torch.manual_seed(self._request.seed * 100_003 + step)  # of shuffling and augmentation
        scores = self._targets.score(self._model, self._task)
        gone = select(
            scores,
            self._gone,
            share,
            scope=self._method.scope,
            guards=self._method._guards(),
            normalize=self._method.normalize,
        )
        self._targets.prune(self.masks, gone)
        pruned = evaluate(self._model, self._task.validation, self._task)
        return {"gone": gone, "before": dataclasses.asdict(before), "pruned": dataclasses.asdict(pruned)}

    def _train(self, step: int, *, last: bool) -> History:
        training: Training = self._request.training
        if not last and self._method.low_epochs is not None:
            training = dataclasses.replace(training, epochs=self._method.low_epochs)
        return self._run.fit(f"{step:03}-train", self._model, self._task, training, [self.masks])

    def _record(self, step: int, share: float, before: Quality, pruned: Quality) -> dict[str, Any]:
        return {
            "step": step,
            "share": share,
            "gone": {name: _count(chosen) for name, chosen in self._gone.items()},
            "of": {name: chosen.numel() for name, chosen in self._gone.items()},
            "parameters": nonzero_parameters(self._model),
            "before": before.to_json(),
            "pruned": pruned.to_json(),
        }


def _count(chosen: Tensor) -> int:
    return int(chosen.sum())
