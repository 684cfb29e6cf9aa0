"""The protocol on the line (hls/rtl/serial/README.md): words, checksums, repetitions."""

from __future__ import annotations

import binascii
from typing import Protocol

from sliceflow.errors import UserError

_WRITE, _READ, _OK, _BAD = b"W", b"R", b"K", b"E"
_TOGGLE = 0x20
_MOST = 1024
"""Bytes of one request's data."""
_TRIES = 5


class Channel(Protocol):
    """A line that carries bytes both ways.

    Attributes:
        where: what it is, for messages.
        unit: of its times, in the plural: ``clocks`` or ``seconds``.
    """

    where: str
    unit: str

    def send(self, data: bytes) -> None:
        """Put bytes on the line."""

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer if the line falls silent."""

    def clear(self) -> None:
        """Wait until a request that was cut off is forgotten at the other end, and drop what has arrived."""

    def now(self) -> float:
        """The time, from any origin."""

    def pause(self, longest: float) -> None:
        """Let time pass, at most so long."""

    def clocks(self, count: int, khz: int) -> float:
        """So many clocks of the accelerator, in the channel's unit."""

    def close(self) -> None:
        """Give the line back."""


class SerialLink:
    """Reads and writes aligned words at the other end.

    Args:
        channel: the line.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._toggle = False

    def continue_from(self, toggle: bool) -> None:
        """Say which toggle the last register write had: the next one has the other."""
        self._toggle = toggle

    def write(self, address: int, data: bytes) -> None:
        """Write whole words to memory.

        Args:
            address: a multiple of 4.
            data: a multiple of 4 bytes.

        Raises:
            UserError: the other end does not answer, or not rightly.
        """
        for start in range(0, len(data), _MOST):
            part = data[start : start + _MOST]
            self._ask(_WRITE, address + start, len(part), part)

    def read(self, address: int, count: int) -> bytes:
        """Read whole words from memory or registers.

        Args:
            address: a multiple of 4.
            count: a multiple of 4 bytes.

        Raises:
            UserError: the other end does not answer, or not rightly.
        """
        starts = range(0, count, _MOST)
        return b"".join(self._ask(_READ, address + start, min(_MOST, count - start)) for start in starts)

    def write_register(self, address: int, value: int) -> None:
        """Write one register, once, however often the request must be repeated.

        Raises:
            UserError: the other end does not answer, or not rightly.
        """
        self._toggle = not self._toggle
        opcode = bytes([_WRITE[0] | (_TOGGLE if self._toggle else 0)])
        self._ask(opcode, address, 4, value.to_bytes(4, "little"))

    def _ask(self, opcode: bytes, address: int, size: int, data: bytes = b"") -> bytes:
        """Send a request until it is answered."""
        message = _sealed(opcode + bytes([size // 4 - 1]) + address.to_bytes(3, "little")) + _sealed(data)
        wanted = 0 if data else size
        answer = b""
        for _ in range(_TRIES):
            self._channel.send(message)
            answer = self._channel.receive(1)
            if answer == _OK:
                answer += self._channel.receive(wanted + 2)
                if len(answer) == wanted + 3 and _checksum(answer[:-2]) == answer[-2:]:
                    return answer[1:-2]
            self._channel.clear()
        raise UserError(
            "the accelerator does not answer" if not answer else "the line to the accelerator is disturbed",
            where=self._channel.where,
            why=f"no right answer to {_TRIES} requests" + (f", the last one {answer[:8].hex(' ')}" if answer else ""),
            fix="see that the board is plugged in, has our bitstream, and that no other program uses the port; "
            "then press its reset",
        )


def _sealed(part: bytes) -> bytes:
    """A part of a message and its checksum; nothing if there is no such part."""
    return part + _checksum(part) if part else b""


def _checksum(message: bytes) -> bytes:
    """CRC-16/CCITT, high byte first."""
    return binascii.crc_hqx(message, 0xFFFF).to_bytes(2, "big")
