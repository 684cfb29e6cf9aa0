"""read_addend: when the addends of a strip are there."""

from __future__ import annotations

from sliceflow.hardware.clock_model import latencies
from sliceflow.hardware.clock_model.load import NEVER
from sliceflow.hardware.profile import Profile


class AddendReader:
    """Reads ahead by as many strips as it has orders: one that it joins, and two that wait."""

    def __init__(self, profile: Profile) -> None:
        # With several slices side by side, a FIFO for each of them.
        self._latency = profile.read_latency + latencies.ADDEND_READ + (profile.cpo > profile.cpi)
        self._joins = (NEVER, NEVER)  # when the last two strips were taken from the orders
        self._asked = self._joined = self._first = self._admitted = NEVER

    def begin(self, commands: int, turns: int) -> int:
        """Take a strip; returns the clock of its first addend.

        Args:
            commands: clock of the strip's commands.
            turns: turns that it asks for, at least.
        """
        accepted = max(commands + 1, self._joins[0] + 1, self._asked)
        joins = max(accepted + 1, self._joined + 1)
        self._joins = (self._joins[1], joins)
        self._asked = accepted + 1 + turns
        self._first = max(accepted + self._latency, joins + 2)
        return self._first

    def end(self, pixels: int, admitted: int) -> None:
        """The strip's last pixel, of ``pixels`` in all, was admitted behind the array in clock ``admitted``."""
        # An addend is joined when the one before has left.
        self._joined = admitted - 1 if pixels > 1 else max(self._first - 1, self._admitted)
        self._admitted = admitted

    def delay(self, clocks: int) -> None:
        """Move everything so much later."""
        self._joins = (self._joins[0] + clocks, self._joins[1] + clocks)
        self._asked += clocks
        self._joined += clocks
        self._admitted += clocks
