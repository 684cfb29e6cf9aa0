"""The executors of a session: an image has one of them to itself, and images on several threads run side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sliceflow.errors import UserError
from sliceflow.runtime.executor import Executor

logger = logging.getLogger(__name__)


class ExecutorPool:
    """Lends executors; safe to use from several threads.

    Args:
        first: has the whole device, with all of its threads.
        most: further executors, each with a device beside the first, that may be made when all others are in use. A
            device that is one piece of hardware has none: its images wait for each other.
    """

    def __init__(self, first: Executor, most: int) -> None:
        self._first = first
        self._most = most
        self._all = [first]
        self._free = [first]
        self._making = 0
        self._calls = 0
        self._closing = self._closed = False
        self._changed = threading.Condition()

    @property
    def executors(self) -> tuple[Executor, ...]:
        """All executors made so far."""
        with self._changed:
            return tuple(self._all)

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call of the session; ``close`` waits for its end.

        Raises:
            UserError: the pool is closed.
        """
        with self._changed:
            if self._closing:
                raise UserError(
                    "the session is closed", fix="run before `close`, inside the `with` block, or open another session"
                )
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextmanager
    def executor(self, *, whole: bool) -> Iterator[Executor]:
        """An executor for one image, within a ``call``. Waits until one is free.

        Args:
            whole: rather the whole device than one beside it: for an image that has no others beside it.
        """
        executor = self._take(whole)
        try:
            yield executor
        finally:
            with self._changed:
                self._free.append(executor)
                self._changed.notify_all()

    def close(self) -> None:
        """Wait for the calls under way, refuse later ones, and close the devices."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._calls)
            if not self._closed:
                for executor in self._all:
                    executor.device.close()
            self._closed = True

    def _take(self, whole: bool) -> Executor:
        with self._changed:
            while True:
                beside = [executor for executor in self._free if executor is not self._first]
                may_grow = len(self._all) - 1 + self._making < self._most
                if self._free and (whole or beside or not may_grow):
                    chosen = self._first if self._first in self._free and (whole or not beside) else beside[0]
                    self._free.remove(chosen)
                    return chosen
                if may_grow:
                    self._making += 1
                    break
                self._changed.wait()
        return self._grow(whole)

    def _grow(self, whole: bool) -> Executor:
        """Make a further executor, and take it. Without the lock, since that takes a while."""
        made = None
        try:
            made = self._first.beside()
        except UserError as error:  # no memory for one more
            logger.info("images on other threads wait for each other: %s", error)
        finally:
            with self._changed:
                self._making -= 1
                if made is None:
                    self._most = len(self._all) - 1
                else:
                    self._all.append(made)
                self._changed.notify_all()
        return made or self._take(whole)
