"""cocotb tests of upsample.sv."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import pytest

from tests.rtl.support.streams import Sink, Source, reset, start, until


@cocotb.test
async def copies(dut: Any) -> None:
    """Every pixel comes out once for each place, at a copy a clock. Factors change between layers."""
    source, sink = Source(dut, "pixel", ("data",), random), Sink(dut, "copy", random)
    dut.repeat_y_i.value = dut.repeat_x_i.value = 1
    await start(dut)
    for idle in (0.0, 0.4):
        source.idle = sink.idle = idle
        for y, x in ((1, 1), (2, 2), (1, 3), (4, 1), (3, 2)):
            dut.repeat_y_i.value, dut.repeat_x_i.value = y, x
            sink.clear()
            pixels = [random.getrandbits(len(dut.pixel_data_i)) for _ in range(30)]
            for pixel in pixels:
                source.send(data=pixel)
            expected = [pixel for pixel in pixels for _ in range(y * x)]
            await until(dut, lambda expected=expected: len(sink.items) == len(expected), clocks=5000)
            assert sink.items == expected
            if not idle:
                assert sink.clocks[-1] - sink.clocks[0] == len(expected) - 1
            expected[-1] ^= 1
            with pytest.raises(AssertionError):
                assert sink.items == expected
        await reset(dut)
