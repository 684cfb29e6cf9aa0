"""How a long run is carried out: what is kept of it, and who looks on. It has no influence on the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sliceflow.pruning.training import checkpoint
from sliceflow.pruning.training.callback import Callback
from sliceflow.pruning.training.fit import History, Training, fit
from sliceflow.pruning.training.task import Task

Progress = Callable[[str], Callback]
"""Makes the observer of a stage from the stage's name."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Stages of a run, each carried out once.

    Attributes:
        folder: where checkpoints are kept; None keeps none, and a killed run begins anew.
        progress: makes an observer for each stage of training.
    """

    folder: Path | None = None
    progress: Progress | None = None

    def under(self, name: str) -> Run:
        """The same for a part of the run, with a folder of its own."""
        return dataclasses.replace(self, folder=self.folder / name if self.folder else None)

    def fit(
        self, stage: str, model: nn.Module, task: Task, training: Training, callbacks: Sequence[Callback] = ()
    ) -> History:
        """``training.fit`` as one stage, resumed within it. A stage that is done is loaded from its checkpoint.

        Args:
            stage: its name, unique within the run; also the checkpoint's.
            model: trained in place.
            task: examples and loss.
            training: how.
            callbacks: what takes part.
        """
        observers = [self.progress(stage)] if self.progress is not None else []
        path = self.folder / f"{stage}.pt" if self.folder is not None else None
        return fit(model, task, training, callbacks, observers=observers, resume_from=path)

    def once(self, stage: str, identity: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A result that is computed once, and read from the folder afterwards.

        Args:
            stage: its name, unique within the run.
            identity: plain data; what the result depends on.
            work: makes the result: tensors, numbers, strings, and lists and dictionaries of them.
        """
        path = self.folder / f"{stage}.pt" if self.folder is not None else None
        if path is not None and path.exists():
            return dict(checkpoint.load(path, identity)["result"])
        result = work()
        if path is not None:
            checkpoint.save(path, {"identity": identity, "result": result})
        return result
