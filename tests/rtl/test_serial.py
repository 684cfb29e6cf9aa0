"""The system at the end of a serial line: its bridge by itself, and all of it through every bit of the line."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import random
import select
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sliceflow.cli import main
from sliceflow.devices import open_device
from sliceflow.devices.cache import default_cache
from sliceflow.devices.serial.board import Board
from sliceflow.devices.serial.emulated import EmulatedChannel, build_system
from sliceflow.devices.serial.link import SerialLink
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.artifact import save_program
from sliceflow.graph.program import Program
from sliceflow.hardware.kernel import rtl_folder
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.serial_system import MEMORY_BYTES
from sliceflow.mapping import compile_model
from sliceflow.quantization import CalibrationData, quantize
from sliceflow.runtime import Session
from tests.csim.support import expected
from tests.rtl.support.simulation import simulate
from tests.rtl.test_device import as_program
from tests.support.random_program import Case, random_program

PROFILE = "ecp5-2x2"
MODELS = Path(__file__).parents[2] / "models"


@functools.cache
def system() -> Path:
    return build_system(Profile.load(PROFILE), cache=default_cache())


def fits(case: Case) -> bool:
    return case.program.size + case.weights.size + case.activations.size < MEMORY_BYTES - 256


def fitting(count: int) -> Iterator[Case]:
    cases = (random_program(seed, Profile.load(PROFILE)) for seed in range(1000))
    found = (case for case in cases if fits(case))
    return (next(found) for _ in range(count))


@functools.cache
def digits() -> Program:
    model = load_model(MODELS / "mnist_vgg_pruned.onnx")
    images = np.random.default_rng(1).random((8, 1, 28, 28)).astype(np.float32)
    quantized = quantize(model, CalibrationData({model.graph.inputs[0].name: images})).model
    return compile_model(quantized, Profile.load(PROFILE), name="digits", source_sha256="0" * 64)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_bridge(seed):
    sources = sorted((rtl_folder() / "serial").glob("*.sv"))
    simulate("serial_bridge", "tests.rtl.cocotb_serial_bridge", {"SILENCE": 256}, sources=sources, seed=seed)


def test_random_programs_through_the_line():
    for case in fitting(8):
        board = Board(as_program(case), EmulatedChannel(system()))
        board.write(0, case.activations.tobytes())
        clocks = board.launch(0, len(case.descriptors))
        memory = np.frombuffer(board.read(0, case.activations.size), np.uint8)
        assert np.array_equal(memory, expected(case)), case.describe()
        assert all(layer.end > layer.begin for layer in clocks)


def test_bytes_at_any_place_leave_their_neighbours():
    case = next(fitting(1))
    board = Board(as_program(case), EmulatedChannel(system()))
    rng = random.Random(5)
    content = bytearray(case.activations.tobytes())
    board.write(0, bytes(content))
    word = case.profile.word_bytes
    for _ in range(30):
        first = rng.randrange(len(content) // word)
        size = min(rng.choice([2, 4, 6, 10, 64]), len(content) - first * word)
        data = rng.randbytes(size)
        board.write(first, data)
        content[first * word : first * word + size] = data
        assert board.read(first, size) == data
    assert board.read(0, len(content)) == bytes(content)


def test_a_network_answers_as_the_reference_does():
    program = digits()
    images = {program.inputs[0].name: np.random.default_rng(2).random((2, 1, 28, 28)).astype(np.float32)}
    with Session(program, device="serial-emulated") as session, Session(program, device="reference") as reference:
        for found, right in zip(session.run(None, images), reference.run(None, images), strict=True):
            assert np.array_equal(found, right)


def test_flipped_bits_in_the_weights_are_caught():
    program = digits()
    weights = program.weights.copy()
    weights[np.flatnonzero(weights)[::500]] ^= 0x40  # a zero may be padding
    images = {program.inputs[0].name: np.random.default_rng(3).random((1, 1, 28, 28)).astype(np.float32)}
    with (
        Session(dataclasses.replace(program, weights=weights), device="serial-emulated") as session,
        Session(program, device="reference") as reference,
    ):
        assert not np.array_equal(session.run(None, images)[0], reference.run(None, images)[0])


class Noise:
    """A line that loses, doubles and changes bytes, both ways."""

    def __init__(self, channel: EmulatedChannel, seed: int, rate: float) -> None:
        self._channel, self._random, self._rate = channel, random.Random(seed), rate
        self.unit, self.where = channel.unit, channel.where
        self.now, self.pause, self.clocks, self.clear = channel.now, channel.pause, channel.clocks, channel.clear
        self.faults = 0

    def send(self, data: bytes) -> None:
        self._channel.send(self._disturbed(data))

    def receive(self, count: int) -> bytes:
        return self._disturbed(self._channel.receive(count))

    def close(self) -> None:
        self._channel.close()

    def _disturbed(self, data: bytes) -> bytes:
        if not data or self._random.random() >= self._rate:
            return data
        self.faults += 1
        place = self._random.randrange(len(data))
        change = self._random.choice(
            [b"", data[place : place + 1] * 2, bytes([data[place] ^ 1 << self._random.randrange(8)])]
        )
        return data[:place] + change + data[place + 1 :]


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbed_line_delivers_what_is_right(seed):
    case = next(fitting(1))
    noise = Noise(EmulatedChannel(system()), seed, 0.05)
    board = Board(as_program(case), noise)
    board.write(0, case.activations.tobytes())
    board.launch(0, len(case.descriptors))
    memory = np.frombuffer(board.read(0, case.activations.size), np.uint8)
    assert np.array_equal(memory, expected(case)), case.describe()
    assert noise.faults > 3


def test_what_is_refused():
    program = digits()
    other = dataclasses.replace(program, profile=dataclasses.replace(program.profile, pool_width=64))
    with pytest.raises(UserError, match="not of profile"):
        Board(other, EmulatedChannel(system()))
    large = dataclasses.replace(program, activation_words=MEMORY_BYTES)
    with pytest.raises(UserError, match=r"needs \d+ bytes of memory, the board has 65536"):
        Board(large, EmulatedChannel(system()))
    with pytest.raises(UserError, match="there is no device called 'serial'"):
        open_device("serial", program)
    with pytest.raises(UserError, match="the serial port cannot be opened"):
        open_device("serial:/dev/no-such-port", program)
    with pytest.raises(UserError, match="disturbed"):  # a line that ends in itself
        open_device("serial:loop://", program)


class _Silent(EmulatedChannel):
    def send(self, data: bytes) -> None:
        pass


def test_nobody_at_the_other_end():
    with pytest.raises(UserError, match="does not answer"):
        SerialLink(_Silent(system())).read(0, 4)


def test_a_wrong_pointer_ends_in_a_status():
    case = next(fitting(1))
    program = as_program(case)
    board = Board(program, EmulatedChannel(system()))
    board._activations = MEMORY_BYTES + 4096  # beyond the memory
    with pytest.raises(UserError, match="memory"):
        board.launch(0, len(case.descriptors))
    board._activations = board._weights + -(-case.weights.size // 64) * 64
    board.write(0, case.activations.tobytes())
    board.launch(0, len(case.descriptors))  # without a reset
    assert np.array_equal(np.frombuffer(board.read(0, case.activations.size), np.uint8), expected(case))


@contextlib.contextmanager
def plugged_in() -> Iterator[str]:
    """A serial port of this machine with the simulated system behind it."""
    master, slave = os.openpty()
    tty.setraw(slave, termios.TCSANOW)
    channel, end = EmulatedChannel(system()), threading.Event()

    def carry() -> None:
        while not end.is_set():
            if not select.select([master], [], [], 0.05)[0]:
                channel.pause(20_000)
                continue
            channel.send(os.read(master, 4096))
            while found := channel.receive(4096):
                os.write(master, found)

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        end.set()
        thread.join()
        os.close(slave)
        os.close(master)
        channel.close()


def test_a_port_of_this_machine_and_the_command_line(tmp_path, capsys):
    save_program(digits(), tmp_path / "a")
    with plugged_in() as port:
        assert main(["verify", str(tmp_path / "a"), "--device", f"serial:{port}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["match"] is True
        words = ["run", str(tmp_path / "a"), "--device", f"serial:{port}"]
        np.save(tmp_path / "x.npy", np.random.default_rng(4).random((1, 1, 28, 28)).astype(np.float32))
        assert main([*words, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npz")]) == 0
    assert np.load(tmp_path / "y.npz")[digits().outputs[0].name].shape == (1, 10)
