"""cocotb tests of schedule.sv with layer_setup, strip_setup and layer_check: what the units are told, and when."""

from __future__ import annotations

import dataclasses
import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer

from sliceflow.graph import geometry
from sliceflow.graph.descriptor import AddMode, Descriptor, PoolMode, TableMode
from sliceflow.hardware.profile import Profile
from tests.csim.support import profile_of
from tests.rtl.support.kernel_commands import Bases, Strip, plan, shape
from tests.rtl.support.packed import unpack
from tests.rtl.support.streams import start
from tests.support.random_program import random_layer, sub_ranges

_UNITS = ("load", "pad", "pool", "addend", "write")
_TYPES = {
    "load": "load_cmd_t",
    "pad": "pad_cmd_t",
    "pool": "pool_cmd_t",
    "addend": "addend_cmd_t",
    "write": "write_cmd_t",
}
_BEAT = 64


class _Units:
    """Everything around the scheduler; one call a clock, between its edges."""

    def __init__(self, dut: Any, layers: list[Descriptor], first: int, idle: float) -> None:
        self.dut, self.layers, self.first, self.idle = dut, layers, first, idle
        self.profile = profile_of(os.environ["SCHEDULE_PROFILE"])
        self.program, act_in, act_add, act_out = (random.getrandbits(44) * _BEAT for _ in range(4))
        bases = Bases(act_in, act_add, act_out)
        self.strips = deque(
            (number, Strip(layer, self.profile, bases, group, strip).commands())
            for number, layer in enumerate(layers)
            for group in range(layer.group_first, layer.group_first + layer.group_count)
            for strip in range(layer.strip_first, layer.strip_first + layer.strip_count)
        )
        self.ahead = {name: deque(range(len(layers))) for name in ("weights", "block", "lanes")}
        self.fetched = 0
        self.beats: deque[bytes] = deque()
        self.taken: set[str] = set()  # units that have the command of the strip at hand
        self.busy = 0  # clocks until everything is drained
        self.logged = 0
        self.done = False
        for name, value in (("program", self.program), ("act_in", act_in), ("act_add", act_add), ("act_out", act_out)):
            getattr(dut, f"{name}_i").value = value
        dut.first_i.value, dut.count_i.value = first, len(layers)

    def random_inputs(self) -> None:
        dut = self.dut
        dut.fetch_ready_i.value = self._ready()
        for name in self.ahead:
            getattr(dut, f"{name}_ready_i").value = self._ready()
        dut.strip_ready_i.value = sum(self._ready() << n for n in range(len(_UNITS)))
        dut.frame_i.value = self._ready()
        dut.drained_i.value = int(self.busy == 0)
        valid = int(bool(self.beats) and self._ready())
        dut.beat_valid_i.value = valid
        if valid:
            dut.beat_i.value = int.from_bytes(self.beats[0], "little")
        self._offered = valid

    def _ready(self) -> int:
        return int(random.random() >= self.idle)

    def observe(self) -> None:
        """What is transferred at the coming edge."""
        dut = self.dut
        self.busy = max(0, self.busy - 1)
        if self._offered and int(dut.beat_ready_o.value):
            self.beats.popleft()
        if int(dut.fetch_valid_o.value) and int(dut.fetch_ready_i.value):
            self._fetch(int(dut.fetch_address_o.value))
        if any(int(getattr(dut, f"{name}_valid_o").value) for name in self.ahead):
            self._fetch_ahead()
        valid = int(dut.strip_valid_o.value)
        if valid:
            self._strip(valid, valid & int(dut.strip_ready_i.value))
        if int(dut.log_write_o.value):
            self._log(int(dut.log_index_o.value), int(dut.log_data_o.value))
        self.done = bool(int(dut.done_o.value))
        assert not int(dut.abort_o.value)

    def _fetch(self, address: int) -> None:
        assert address == self.program + 512 * (self.first + self.fetched)
        data = self.layers[self.fetched].encode()
        self.beats.extend(data[n : n + _BEAT] for n in range(0, len(data), _BEAT))
        self.fetched += 1

    def _fetch_ahead(self) -> None:
        dut, values = self.dut, unpack("layer_plan_t", int(self.dut.plan_o.value))
        for name, waiting in self.ahead.items():
            if not int(getattr(dut, f"{name}_valid_o").value) or not int(getattr(dut, f"{name}_ready_i").value):
                continue
            layer = self.layers[waiting[0]]
            wanted = plan(layer, self.profile)
            assert {field: values[field] for field in wanted} == wanted, (name, layer)
            assert int(dut.next_o.value) == int.from_bytes(layer.encode(), "little")
            if name == "lanes" and (layer.table_mode != TableMode.OFF or wanted["scale_beats"]):
                assert self.logged == waiting[0], "tables while the layer before may use its own"
            waiting.popleft()

    def _strip(self, valid: int, moved: int) -> None:
        number, commands = self.strips[0]
        layer = self.layers[number]
        assert self.logged == number, "a layer begins before the one before has ended"
        assert int(self.dut.layer_o.value) == int.from_bytes(layer.encode(), "little")
        assert unpack("shape_t", int(self.dut.shape_o.value)) == shape(layer), layer
        assert bool(valid >> _UNITS.index("addend") & 1) <= (layer.add_mode != AddMode.OFF)
        for bit, unit in enumerate(_UNITS):
            if moved >> bit & 1:
                got = unpack(_TYPES[unit], int(getattr(self.dut, f"{unit}_o").value))
                wanted = commands[unit]
                assert {field: got[field] for field in wanted} == wanted, (unit, layer)
                self.taken.add(unit)
                self.busy = random.randint(2, 60)
        if self.taken == set(commands):
            self.taken.clear()
            self.strips.popleft()

    def _log(self, index: int, data: int) -> None:
        began, first_frame, last_frame, end = (data >> 32 * n & 0xFFFF_FFFF for n in range(4))
        assert index == self.logged
        assert began <= first_frame <= last_frame <= end
        assert not self.strips or self.strips[0][0] == index + 1, "a layer ends before its last strip"
        self.logged += 1


def _layers(profile: Profile) -> list[Descriptor]:
    """Random layers, half of them large; some divided as compute units would."""
    layers = []
    for _ in range(24):
        seed = random.getrandbits(30)
        layer = random_layer(seed, profile).descriptor
        if random.random() < 0.5:
            layer = _grown(layer, profile)
        parts = sub_ranges(seed, layer, profile) if random.random() < 0.3 else [layer]
        layers += [part for part in parts if part.group_count and part.strip_count and part.out_count]
    return layers


def _grown(layer: Descriptor, profile: Profile) -> Descriptor:
    """The layer over a large input, anywhere in a large memory, with few enough strips for a test."""
    for _ in range(1000):
        large = dataclasses.replace(layer, in_height=random.randint(20, 400), in_width=random.randint(20, 1500))
        for field in ("in_base", "add_base", "out_base", "weights_base", "lanes_base"):
            setattr(large, field, random.getrandbits(31))
        reach_x = (layer.windows_x - 1) * layer.window_step_x + (layer.taps_x - 1) * layer.dilation_x + 1
        for side, axis, before, reach in (
            ("height", "y", "top", geometry.window_reach(layer)),
            ("width", "x", "left", reach_x),
        ):
            room = getattr(large, f"in_{side}") + getattr(large, f"pad_{before}") - reach
            mapped = room // getattr(large, f"stride_{axis}") + 1
            setattr(large, f"conv_{side}", mapped)
            pad = getattr(large, f"pool_pad_{before}")
            windowed = (mapped - 1 + pad) // getattr(large, f"pool_stride_{axis}") + 1
            pooled = windowed if large.pool_mode in (PoolMode.MAX, PoolMode.AVERAGE) else mapped
            setattr(large, f"pool_{side}", 1 if large.pool_is_global else pooled)
        if min(large.conv_height, large.conv_width) < 1:
            continue
        large.strip_rows = random.randint(1, large.conv_height if large.pool_is_global else large.pool_height)
        large.strip_first, large.strip_count = 0, large.strips
        if large.strips * large.groups < 100 and _fits(large, profile):
            return large
    return layer


def _fits(layer: Descriptor, profile: Profile) -> bool:
    if layer.pool_is_global and layer.strips > 1 and geometry.output_groups(layer, profile) > 1:
        return False
    if layer.pool_mode != PoolMode.OFF and layer.conv_width > profile.pool_width:
        return False
    for strip in range(layer.strips):
        first, end = geometry.array_rows(layer, strip)
        low, high = geometry.input_rows(layer, (first, end))
        words = geometry.bank_words(layer, high - low)
        if words > profile.bank_words or (end - first) * layer.conv_width > profile.accumulator_pixels:
            return False
    return True


@cocotb.test
async def random_layers(dut: Any) -> None:
    """Every command of launches of many layers, for units of every speed; two launches, no reset between."""
    for name in ("start", "fetch_ready", "beat_valid", "beat", "weights_ready", "block_ready", "lanes_ready"):
        getattr(dut, f"{name}_i").value = 0
    dut.strip_ready_i.value = dut.frame_i.value = dut.memory_error_i.value = 0
    dut.stop_i.value = dut.watchdog_i.value = dut.progress_i.value = 0
    dut.quiet_i.value = dut.drained_i.value = 1
    await start(dut)
    profile = profile_of(os.environ["SCHEDULE_PROFILE"])
    for idle in (0.0, 0.6):
        units = _Units(dut, _layers(profile), random.getrandbits(20), idle)
        await FallingEdge(dut.clk_i)
        assert int(dut.idle_o.value)
        dut.start_i.value = 1
        await FallingEdge(dut.clk_i)
        dut.start_i.value = 0
        for _ in range(100_000):
            units.random_inputs()
            await Timer(1, "ns")  # outputs follow inputs
            units.observe()
            await FallingEdge(dut.clk_i)
            if units.done:
                break
        assert units.done
        assert not units.strips
        assert not any(units.ahead.values())
        assert units.logged == len(units.layers)
        assert int(dut.status_o.value) == 0
