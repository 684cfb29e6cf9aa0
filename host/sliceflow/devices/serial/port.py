"""A serial port of this machine, through pyserial."""

from __future__ import annotations

import time
from typing import Any

from sliceflow.errors import UserError

BAUD = 1_000_000
"""Bits a second that the bitstreams are made for."""
_TIMEOUT = 0.5
"""Seconds without a byte after which an answer is over; USB adapters deliver within a few hundredths."""
_PATIENCE = 10.0
_FORGOTTEN = 0.1
"""Seconds without a byte after which a board has forgotten a request: more than 2^20 clocks of 12 MHz."""


class PortChannel:
    """A ``Channel`` over a serial port.

    Args:
        name: the port as pyserial takes it: ``/dev/ttyUSB0``, ``COM3``, or a URL such as ``socket://host:port``.
        baud: bits a second.

    Raises:
        UserError: pyserial is missing, or the port cannot be opened.
    """

    unit = "seconds"

    def __init__(self, name: str, baud: int = BAUD) -> None:
        try:
            import serial
        except ImportError as error:
            raise UserError(
                "a board on a serial port needs the package pyserial", fix="pip install 'sliceflow[serial]'"
            ) from error
        self.where = f"serial port {name}"
        self._errors: tuple[type[Exception], ...] = (serial.SerialException, OSError, ValueError)
        try:
            self._port: Any = serial.serial_for_url(name, baudrate=baud, timeout=_TIMEOUT, write_timeout=10 * _TIMEOUT)
        except self._errors as error:
            raise self._failure("the serial port cannot be opened", error) from error

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""
        try:
            self._port.write(data)
        except self._errors as error:
            raise self._failure("the serial port does not take data", error) from error

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer if the line falls silent."""
        try:
            return bytes(self._port.read(count))
        except self._errors as error:
            raise self._failure("the serial port does not deliver data", error) from error

    def clear(self) -> None:
        """Wait until the board has forgotten a request that was cut off, and drop what has arrived."""
        time.sleep(_FORGOTTEN)
        try:
            self._port.reset_input_buffer()
        except self._errors as error:
            raise self._failure("the serial port does not deliver data", error) from error

    def now(self) -> float:
        """Seconds."""
        return time.monotonic()

    def pause(self, longest: float) -> None:
        """Let a moment pass; asking again takes longer."""
        time.sleep(min(longest, 0.001))

    def clocks(self, count: int, khz: int) -> float:
        """Seconds of so many clocks, and what host and adapters may add."""
        return count / (1000 * khz) + _PATIENCE

    def close(self) -> None:
        """Give the port back."""
        self._port.close()

    def _failure(self, what: str, error: Exception) -> UserError:
        return UserError(
            what,
            where=self.where,
            why=str(error),
            fix="see that the board is plugged in, that you may use the port (on Linux: group dialout), and that no "
            "other program does",
        )
