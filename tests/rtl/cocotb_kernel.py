"""cocotb tests of the whole kernel."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
import numpy as np

from sliceflow.hardware.cycles import predict
from sliceflow.hardware.profile import Profile
from tests.csim.support import profile_of
from tests.rtl.support.kernel_bench import KernelBench
from tests.support.random_program import Case, random_program


def profile() -> Profile:
    return profile_of(os.environ["KERNEL_PROFILE"])


def small_program(rng: random.Random, *, layers: int = 3, clocks: int = 4000) -> Case:
    """A random program that takes the kernel at most some clocks."""
    while True:
        case = random_program(rng.getrandbits(30), profile(), layers=layers)
        if sum(predict(layer, case.profile).predicted for layer in case.descriptors) <= clocks:
            return case


async def started(dut: Any) -> KernelBench:
    bench = KernelBench(dut, random.Random(random.getrandbits(64)))
    await bench.reset()
    return bench


@cocotb.test
async def programs(dut: Any) -> None:
    """Several programs one after the other, under all kinds of memory."""
    bench = await started(dut)
    for idle, latency, interrupt in ((0.0, 0, False), (0.3, 20, True), (0.7, 100, False), (0.05, 300, True)):
        bench.behaviour.idle, bench.behaviour.latency = idle, latency
        case = small_program(bench.rng)
        dut._log.info("idle %s, latency %s\n%s", idle, latency, case.describe())
        loaded = bench.load(case)
        expected = loaded.expected()
        assert await bench.launch(loaded, interrupt=interrupt) == 0
        bench.check(loaded, expected)
        assert not np.array_equal(np.frombuffer(expected, np.uint8)[: case.activations.size], case.activations)
