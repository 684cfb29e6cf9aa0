"""One accelerator with a program in its memory, at the end of a serial line."""

from __future__ import annotations

from sliceflow.devices.registers import KernelDriver, LayerClocks, Pointers, clock_limit
from sliceflow.devices.serial.link import Channel, SerialLink
from sliceflow.errors import InternalError, UserError
from sliceflow.graph.program import Program
from sliceflow.hardware.cycles import predict
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.serial_system import IDENTITY, MAGIC, REGISTERS, identity

_ROW = 64
"""Bytes of a beat: what buffers begin at multiples of."""


class Board:
    """Takes a program: writes its program and weight memories into the board's.

    Args:
        program: the program.
        channel: the line.

    Raises:
        UserError: there is no accelerator of ours at the other end, it is of another profile, or has too little memory.
    """

    def __init__(self, program: Program, channel: Channel) -> None:
        self._program, self._channel, self._link = program, channel, SerialLink(channel)
        memory, self._khz = self._identify(program.profile)
        parts = (program.program.tobytes(), program.weights.tobytes())
        self._weights = _rows(len(parts[0]))
        self._activations = self._weights + _rows(len(parts[1]))
        self._check_room(memory)
        for address, part in zip((0, self._weights), parts, strict=True):
            self._link.write(address, part + bytes(-len(part) % 4))
        self._driver = KernelDriver(
            _Registers(channel, self._link), [layer.name for layer in program.fpga_layers], interrupts=False
        )

    def write(self, word_address: int, data: bytes) -> None:
        """Copy words of activations in; bytes that share a word of the line with them stay."""
        if not data:
            return
        address = self._place(word_address, len(data))
        first, end = address & ~3, -(-(address + len(data)) // 4) * 4
        before = self._link.read(first, 4)[: address - first] if address != first else b""
        behind = end - address - len(data)
        after = self._link.read(end - 4, 4)[4 - behind :] if behind else b""
        self._link.write(first, before + data + after)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes of activations out."""
        if not byte_count:
            return b""
        address = self._place(word_address, byte_count)
        first = address & ~3
        found = self._link.read(first, -(-(address + byte_count - first) // 4) * 4)
        return found[address - first : address - first + byte_count]

    def launch(self, first: int, count: int) -> list[LayerClocks]:
        """Execute descriptors, and read the clocks of each.

        Raises:
            UserError: the kernel refuses a descriptor, meets a memory error, or does not end in time.
        """
        layers = self._program.descriptors[first : first + count]
        predicted = sum(predict(layer, self._program.profile).predicted for layer in layers)
        limit = self._channel.clocks(clock_limit(predicted), self._khz)
        pointers = Pointers(program=0, weights=self._weights, activations=self._activations)
        return self._driver.launch(pointers, first, count, limit)

    def _identify(self, profile: Profile) -> tuple[int, int]:
        """Bytes of memory and clock in kHz of the accelerator that answers."""
        words = self._link.read(IDENTITY, 20)
        magic, found, memory, khz, toggle = (int.from_bytes(words[i : i + 4], "little") for i in range(0, 20, 4))
        if magic != MAGIC:
            raise UserError(
                "what answers is no accelerator of ours",
                where=self._channel.where,
                fix="load our bitstream into the board",
            )
        if found != identity(profile):
            raise UserError(
                f"the board's accelerator is not of profile {profile.name}",
                where=self._channel.where,
                why=f"it says 0x{found:08x}, the program needs 0x{identity(profile):08x}",
                fix="compile the model for the board's profile, or load a bitstream of the program's",
            )
        self._link.continue_from(bool(toggle))
        return memory, khz

    def _check_room(self, memory: int) -> None:
        program = self._program
        needed = self._activations + program.activation_bytes
        if needed > memory:
            raise UserError(
                f"the network needs {needed} bytes of memory, the board has {memory}",
                where=self._channel.where,
                why=f"program {program.program.size}, weights {program.weights.size}, "
                f"activations {program.activation_bytes}",
                fix="prune it further, or use a larger board",
            )

    def _place(self, word_address: int, size: int) -> int:
        start = word_address * self._program.profile.word_bytes
        if not 0 <= start <= start + size <= self._program.activation_bytes:
            raise InternalError(f"bytes {start}..{start + size} lie outside the activation memory", where="serial")
        return self._activations + start


class _Registers:
    """The kernel's registers (a ``RegisterBus``)."""

    def __init__(self, channel: Channel, link: SerialLink) -> None:
        self._channel, self._link = channel, link
        self.unit = channel.unit

    def read(self, offset: int) -> int:
        return int.from_bytes(self._link.read(REGISTERS + offset, 4), "little")

    def write(self, offset: int, value: int) -> None:
        self._link.write_register(REGISTERS + offset, value)

    def now(self) -> float:
        return self._channel.now()

    def pause(self, longest: float) -> None:
        self._channel.pause(longest)

    def detail(self) -> str:
        return ""


def _rows(size: int) -> int:
    """Bytes, up to whole beats."""
    return -(-size // _ROW) * _ROW
