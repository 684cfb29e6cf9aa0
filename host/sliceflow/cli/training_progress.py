"""Progress of training: a bar for each stage on a terminal, log lines elsewhere. Its imports load torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sliceflow.cli import output
from sliceflow.pruning.training.callback import Batch, Callback, Epoch
from sliceflow.pruning.training.run import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

logger = logging.getLogger(__name__)


@contextmanager
def training_progress() -> Iterator[Progress]:
    """Makes observers of stages of training, for ``Run.progress``."""
    if not output.on_terminal():
        yield _Lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs {task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield lambda stage: _Bar(bars, stage)


class _Lines(Callback):
    def __init__(self, stage: str) -> None:
        self._stage = stage

    def on_epoch(self, epoch: Epoch) -> None:
        logger.info("%s, epoch %d: %s", self._stage, epoch.number, _facts(epoch))


class _Bar(Callback):
    def __init__(self, bars: Bars, stage: str) -> None:
        self._bars, self._stage = bars, stage
        self._task: TaskID | None = None
        self._steps, self._facts = 0, ""

    def on_start(self, model: Any, epochs: int) -> None:
        self._task = self._bars.add_task(self._stage, total=epochs, facts="")

    def on_step(self, batch: Batch) -> None:
        self._steps += 1
        self._show()

    def on_epoch(self, epoch: Epoch) -> None:
        self._steps, self._facts = 0, _facts(epoch)
        if self._task is not None:
            self._bars.update(self._task, completed=epoch.number)
        self._show()

    def on_end(self, model: Any) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)

    def _show(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, facts=f"{self._facts} batch {self._steps}")


def _facts(epoch: Epoch) -> str:
    return f"loss {epoch.validation.loss:.4g}, metric {epoch.validation.metric:.4f} on {epoch.validation.examples}"
