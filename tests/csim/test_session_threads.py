"""One session, several threads: every answer is that of a lone thread, and images run beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from sliceflow.devices.csim.device import CsimDevice
from sliceflow.devices.reference import ReferenceDevice
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.runtime import Session
from tests.support import light_models, tiny_models, tiny_program

DEVICES = {"csim": CsimDevice, "reference": ReferenceDevice}
THREADS = 8
SECONDS = 60
"""After which something hangs."""


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """``work(i)`` on threads that begin together; their results."""
    gate = threading.Barrier(count)

    def begin(index: int) -> Any:
        gate.wait(SECONDS)
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return [future.result(SECONDS) for future in [pool.submit(begin, index) for index in range(count)]]


def some_seed() -> int:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    return seed


def with_cpu_layers() -> Program:
    model = load_model(tiny_models.digit_model(softmax=True, unknown=True), input_shapes={"x": (1, 3, 12, 12)})
    program = light_models.compiled(light_models.quantized(model), "digits", "int8-4x4")
    assert {"cpu", "fpga"} <= {layer.placement for layer in program.layers}
    return program


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("device", DEVICES)
def test_threads_that_share_a_session_get_their_own_answers(device: str, threads: int | None) -> None:
    images = tiny_program.images(THREADS * 25, some_seed())
    expected = tiny_program.expected(images)
    with Session(tiny_program.tiny_program(), device=device, threads=threads) as session:

        def work(index: int) -> list[int]:
            answers = {i: session.run(["y"], {"x": images[i : i + 1]})[0] for i in range(index, len(images), THREADS)}
            return [i for i, answer in answers.items() if not np.array_equal(answer[0], expected[i])]

        assert in_threads(THREADS, work) == [[]] * THREADS
        assert {step.images for step in session.profile} == {len(images)}


@pytest.mark.parametrize("device", DEVICES)
def test_batches_of_several_threads_do_not_mix(device: str) -> None:
    program, seed = with_cpu_layers(), some_seed()
    batches = [tiny_models.samples(size, seed + size) for size in (1, 2, 3, 7, 12, 20)]
    with Session(program, device=device, threads=1) as session:
        alone = [session.run(None, {"x": batch}) for batch in batches]
    with Session(program, device=device, threads=3) as session:
        for _ in range(3):
            beside = in_threads(len(batches), lambda index: session.run(None, {"x": batches[index]}))
            for got, expected in zip(beside, alone, strict=True):
                for first, second in zip(got, expected, strict=True):
                    np.testing.assert_array_equal(first, second)
        assert {step.images for step in session.profile} == {3 * sum(map(len, batches))}


@pytest.mark.parametrize("device", DEVICES)
def test_images_of_two_threads_are_on_the_device_at_once(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No launch ends before another one, on a device of its own, has begun."""
    kind = DEVICES[device]
    launch, meeting, at_work = kind.launch, threading.Barrier(2), []

    def meet(self: Any, first: int, count: int) -> Any:
        at_work.append(self)
        meeting.wait(SECONDS)
        return launch(self, first, count)

    monkeypatch.setattr(kind, "launch", meet)
    x = tiny_program.images(2, some_seed())
    with Session(tiny_program.tiny_program(), device=device, threads=1) as session:
        answers = in_threads(2, lambda index: session.run(None, {"x": x[index : index + 1]})[0])
    np.testing.assert_array_equal(np.concatenate(answers), tiny_program.expected(x))
    assert len(set(map(id, at_work))) == 2


def test_a_device_that_is_one_piece_of_hardware_takes_one_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    launch, busy = ReferenceDevice.launch, threading.Lock()

    def alone(self: Any, first: int, count: int) -> Any:
        assert busy.acquire(blocking=False)
        try:
            return launch(self, first, count)
        finally:
            busy.release()

    monkeypatch.setattr(ReferenceDevice, "launch", alone)
    monkeypatch.setattr(ReferenceDevice, "replicate", lambda self: None)
    x = tiny_program.images(THREADS * 4, some_seed())
    with Session(tiny_program.tiny_program(), device="reference", threads=2) as session:
        parts = in_threads(THREADS, lambda index: session.run(None, {"x": x[4 * index : 4 * index + 4]})[0])
    np.testing.assert_array_equal(np.concatenate(parts), tiny_program.expected(x))


@pytest.mark.parametrize("device", DEVICES)
def test_closing_waits_for_the_calls_under_way_and_refuses_later_ones(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = DEVICES[device]
    launch, begun, go_on = kind.launch, threading.Event(), threading.Event()

    def wait(self: Any, first: int, count: int) -> Any:
        begun.set()
        assert go_on.wait(SECONDS)
        return launch(self, first, count)

    monkeypatch.setattr(kind, "launch", wait)
    x = tiny_program.images(3, some_seed())
    session = Session(tiny_program.tiny_program(), device=device, threads=2)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(session.run, None, {"x": x})
        assert begun.wait(SECONDS)
        closing = pool.submit(session.close)
        while not session._pool._closing:
            threading.Event().wait(0.001)
        with pytest.raises(UserError, match="the session is closed"):
            session.run(None, {"x": x})
        assert not closing.done()
        go_on.set()
        np.testing.assert_array_equal(answer.result(SECONDS)[0], tiny_program.expected(x))
        closing.result(SECONDS)
    session.close()
    with pytest.raises(UserError, match="the session is closed"):
        session.run(None, {"x": x})
    assert {step.images for step in session.profile} == {3}


def test_threads_share_what_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(self: Any) -> Any:
        raise UserError("there is no memory")

    monkeypatch.setattr(ReferenceDevice, "replicate", no_memory)
    x = tiny_program.images(6, some_seed())
    with Session(tiny_program.tiny_program(), device="reference", threads=2) as session:
        answers = in_threads(3, lambda index: session.run(None, {"x": x[2 * index : 2 * index + 2]})[0])
    np.testing.assert_array_equal(np.concatenate(answers), tiny_program.expected(x))


def test_an_error_in_one_thread_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = ReferenceDevice.launch

    def fail(self: Any, first: int, count: int) -> Any:
        if threading.current_thread().name == "unlucky":
            raise UserError("this launch fails")
        return launch(self, first, count)

    monkeypatch.setattr(ReferenceDevice, "launch", fail)
    x = tiny_program.images(THREADS, some_seed())

    def work(index: int) -> Any:
        threading.current_thread().name = "unlucky" if index % 2 else "lucky"
        answers = []
        for _ in range(5):
            try:
                answers.append(session.run(None, {"x": x[index : index + 1]})[0])
            except UserError as error:
                answers.append(str(error))
        return answers

    with Session(tiny_program.tiny_program(), device="reference", threads=2) as session:
        for index, answers in enumerate(in_threads(THREADS, work)):
            for answer in answers:
                np.testing.assert_equal(
                    answer, "this launch fails" if index % 2 else tiny_program.expected(x[index : index + 1])
                )
