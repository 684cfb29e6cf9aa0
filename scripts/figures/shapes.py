"""Runs single layers on the simulated RTL kernel, each shape once, and compares what they leave in memory with csim."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scripts.figures.keep import Keeper
from sliceflow.devices.base import Device, open_device
from sliceflow.devices.cache import default_cache
from sliceflow.devices.rtl.build import build_library
from sliceflow.devices.rtl.device import RtlDevice
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.program import Program

_NO_INFLUENCE = (
    "layer", "in_base", "add_base", "out_base", "weights_base", "lanes_base", "table_base", "pool_scales_base",
    "pad_value", "out_zero", "out_low", "out_high", "leaky_slope", "add_main_zero", "add_main_multiplier",
    "add_main_shift", "add_other_zero", "add_other_multiplier", "add_other_shift", "add_shift", "add_zero", "add_low",
    "add_high", "pool_in_zero", "pool_out_zero", "pool_low", "pool_high",
)  # fmt: skip
"""Fields that say where something lies or what value it has. (Where a burst begins may cost a clock or two.)"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShapeRun:
    """A launch of one layer.

    Attributes:
        clocks: from the start of the launch to the last write response; nothing is prefetched, so it includes the
            descriptor's and the first weights' way from memory, which a launch of many layers hides.
        bytes_compared: the activation memory behind the launch.
        bytes_differing: of those, where RTL and csim disagree.
    """

    clocks: int
    bytes_compared: int
    bytes_differing: int


def shape_of(layer: Descriptor) -> str:
    """What decides how long a layer takes, as one text."""
    fields = dataclasses.asdict(layer)
    return json.dumps({name: int(value) for name, value in fields.items() if name not in _NO_INFLUENCE})


class ShapeRunner:
    """Runs the layers of one program by themselves, on random activations.

    Args:
        program: whose layers.
        keeper: keeps the results, also for other programs with the same shapes.
    """

    def __init__(self, program: Program, keeper: Keeper) -> None:
        self._program, self._keeper = program, keeper
        self._library = build_library(program.profile, cache=default_cache()).stem

    def runs(self) -> Iterator[ShapeRun]:
        """Every layer's run, in order; shapes that were run before are not run again."""
        source = Path(__file__).read_text("utf-8")
        for index, layer in enumerate(self._program.descriptors):
            known = [self._library, shape_of(layer), source]
            yield ShapeRun(**self._keeper.result("shape", known, functools.partial(self._run, index)))

    def close(self) -> None:
        """Give the devices back."""
        if "_devices" in vars(self):
            for device in self._devices:
                device.close()

    @functools.cached_property
    def _devices(self) -> tuple[RtlDevice, Device]:
        rtl = RtlDevice(1)
        rtl.load(self._program)
        return rtl, open_device("csim", self._program, threads=1)

    def _run(self, index: int) -> dict[str, int]:
        rtl = self._devices[0]
        size = self._program.activation_bytes
        activations = np.random.default_rng(index).integers(0, 256, size, np.uint8).tobytes()
        for device in self._devices:
            device.write(0, activations)
            device.launch(index, 1)
        first, second = (np.frombuffer(device.read(0, size), np.uint8) for device in self._devices)
        differing = int(np.count_nonzero(first != second))
        return {"clocks": rtl.clocks[0].end, "bytes_compared": size, "bytes_differing": differing}
