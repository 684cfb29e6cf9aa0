"""The register driver against a model of the `ap_ctrl` registers, written from hls/rtl/README.md."""

from __future__ import annotations

import dataclasses

import pytest

from sliceflow.devices.registers import KernelDriver, LayerClocks, Pointers
from sliceflow.errors import UserError

POINTERS = Pointers(program=0x1_2345_6780, weights=0x2_0000_0040, activations=0x3_0000_0000)


@dataclasses.dataclass
class Board:
    """Registers of a kernel that needs ``takes`` seconds for a launch and then has ``status``."""

    takes: float = 1.0
    status: int = 0
    unit: str = "seconds"

    def __post_init__(self) -> None:
        self.memory: dict[int, int] = {0x70: 0xABC}
        self.launches: list[tuple[int, int]] = []
        self.time = 0.0
        self.begin: float | None = None
        self.done = False
        self.interrupted = 0

    def now(self) -> float:
        return self.time

    def pause(self, longest: float) -> None:
        assert longest > 0
        self.time += min(longest, 0.3)

    def detail(self) -> str:
        return ""

    def _advance(self) -> None:
        if self.begin is not None and self.time - self.begin >= self.takes:
            self.begin, self.done = None, True
            self.interrupted = self.memory.get(8, 0)

    def read(self, offset: int) -> int:
        self._advance()
        if offset == 0:
            value = (2 if self.done else 0) | (4 if self.begin is None else 0)
            self.done = False
            return value
        if offset == 0xC:
            return self.interrupted
        if offset == 0x5C:
            return self.status
        if offset >= 0x4000:
            entry, word = divmod((offset - 0x4000) // 4, 4)
            return (entry * 100 + word * 10 - 5) & 0xFFFF_FFFF  # the first begins before the counter wraps
        return self.memory.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        if offset == 0:
            assert value == 1
            self.begin = self.time
            self.launches.append((self.memory[0x4C], self.memory[0x54]))
        elif offset == 0xC:
            self.interrupted ^= value
        else:
            self.memory[offset] = value


def test_a_launch_writes_the_arguments_and_reads_the_log() -> None:
    board = Board()
    clocks = KernelDriver(board, ["a", "b", "c"]).launch(POINTERS, 1, 2, 10)
    words = {0x10: 0x2345_6780, 0x14: 1, 0x1C: 0x40, 0x20: 2}
    words |= {offset + 4 * half: (0, 3)[half] for offset in (0x28, 0x34, 0x40) for half in (0, 1)}
    assert {offset: board.memory[offset] for offset in words} == words
    assert board.launches == [(1, 2)]
    assert clocks == [LayerClocks((1 << 32) - 5, 5, 15, 25), LayerClocks(95, 105, 115, 125)]
    assert [layer.cycles for layer in clocks] == [30, 30]
    assert board.interrupted == 0


def test_a_long_launch_is_divided_by_the_size_of_the_log() -> None:
    board = Board()
    clocks = KernelDriver(board).launch(POINTERS, 5, 2500, 10)
    assert board.launches == [(5, 1024), (1029, 1024), (2053, 452)]
    assert len(clocks) == 2500
    board = Board()
    assert KernelDriver(board, clock_log=False, interrupts=False).launch(POINTERS, 0, 3, 10) == []
    assert board.memory[8] == 0


@pytest.mark.parametrize(
    ("status", "what", "why"),
    [
        (2 << 8 | 1, "refuses descriptor 2", "rule 1: the descriptor has another version"),
        (2 << 8 | 3, "refuses descriptor 2", "exceeds the on-chip buffers"),
        (2 << 8 | 4, "stopped at descriptor 2", "a memory port answered with an error"),
        (2 << 8 | 16, "refuses descriptor 2", "rule 16: op must be in 0..3"),
        (2 << 8 | 5, "stopped at descriptor 2", "the host has given the launch up"),
        (2 << 8 | 6, "stopped at descriptor 2", "nothing has moved"),
        (2 << 8 | 250, "refuses descriptor 2", "unknown status 250"),
    ],
)
def test_a_status_names_the_layer(status: int, what: str, why: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        KernelDriver(Board(status=status), ["a", "b", "c"]).launch(POINTERS, 0, 3, 10)
    assert caught.value.where == "layer 'c'"
    assert why in caught.value.why


def test_a_memory_error_names_the_next_layer_too() -> None:
    with pytest.raises(UserError) as caught:
        KernelDriver(Board(status=1 << 8 | 4), ["a", "b", "c"]).launch(POINTERS, 0, 3, 10)
    assert caught.value.where == "layer 'b', or the parameters of the next layer, 'c'"


def test_a_launch_without_end_shows_the_registers() -> None:
    with pytest.raises(UserError, match="does not end within 4 seconds") as caught:
        KernelDriver(Board(takes=1e9), ["a", "b", "c"]).launch(POINTERS, 1, 2, 4)
    assert caught.value.where == "layers 'b' to 'c'"
    assert "first 0x1, count 0x2, debug 0 0xabc" in caught.value.why


def test_a_busy_accelerator_is_not_started() -> None:
    board = Board(takes=1e9)
    board.begin = 0.0
    with pytest.raises(UserError, match="busy"):
        KernelDriver(board).launch(POINTERS, 0, 1, 4)
    assert board.launches == []
