"""Executes the steps of a program for one image on one device."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from numpy.typing import NDArray

from sliceflow.devices.base import Device
from sliceflow.errors import UserError
from sliceflow.graph.program import CpuStep, FpgaStep, Program, TransformStep
from sliceflow.runtime import transform
from sliceflow.runtime.cpu import CpuLayers

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Wall time of a step.

    Attributes:
        name: of the layer, or what crosses where.
        kind: ``transform``, ``cpu`` or ``fpga``.
        seconds: wall time, for all images so far.
        images: how many that were.
    """

    name: str
    kind: str
    seconds: float
    images: int


@dataclasses.dataclass(frozen=True)
class Times:
    """Wall times of finished images.

    Attributes:
        images: how many.
        seconds: of each step, over all of them.
    """

    images: int
    seconds: tuple[float, ...]


class Executor:
    """Runs images one after the other, on one thread at a time; the CPU layers may be shared.

    Args:
        program: what to run.
        device: has the program loaded.
        cpu: the program's CPU layers.

    Attributes:
        device: where it runs.
        times: so far; replaced as a whole behind each image, so that another thread may read it.
        cycles: clocks of each layer by its descriptor's number, where the device counts them; of the latest launch.
    """

    def __init__(self, program: Program, device: Device, cpu: CpuLayers) -> None:
        self._program, self._cpu = program, cpu
        self.device = device
        self.times = Times(0, (0.0,) * len(program.steps))
        self.cycles: dict[int, int] = {}

    def run(self, values: dict[str, Array]) -> dict[str, Array]:
        """Run one image.

        Args:
            values: the model's inputs, batch 1.

        Returns:
            All host values, the model's outputs among them.
        """
        values = dict(values)
        seconds = []
        for step, before in zip(self._program.steps, self.times.seconds, strict=True):
            begin = time.perf_counter()
            self.execute(step, values)
            seconds.append(before + time.perf_counter() - begin)
        self.times = Times(self.times.images + 1, tuple(seconds))
        return values

    def beside(self) -> Executor | None:
        """An executor that may run at the same time, with the same CPU layers; ``None`` if the device has no room."""
        device = self.device.replicate()
        return None if device is None else Executor(self._program, device, self._cpu)

    def execute(self, step: TransformStep | CpuStep | FpgaStep, values: dict[str, Array]) -> None:
        """Run one step; what it produces is added to ``values``."""
        if isinstance(step, FpgaStep):
            report = self.device.launch(step.first, step.count)
            self.cycles |= dict(enumerate(report.cycles, step.first))
        elif isinstance(step, CpuStep):
            values |= self._cpu.run(step, values)
        else:
            self._transform(step, values)

    def _transform(self, step: TransformStep, values: dict[str, Array]) -> None:
        profile, tensor = self._program.profile, self._program.tensors[step.tensor]
        if step.direction == "to_device":
            value = values[step.value]
            if value.dtype != step.dtype or value.size != math.prod(step.shape):
                raise UserError(
                    f"the value is {value.dtype} {value.shape}, not {step.dtype} {step.shape}",
                    where=f"value {step.value!r}",
                    why="a CPU layer made another tensor than the program expects",
                    fix="compile the model again, with --shape if an input's shape is free",
                )
            self.device.write(tensor.base, transform.to_device(value, step, tensor, profile))
        else:
            data = self.device.read(tensor.base, tensor.words * profile.word_bytes)
            values[step.value] = transform.to_host(data, step, tensor, profile)


def step_name(program: Program, index: int) -> tuple[str, str]:
    """Name and kind of a step, for reports."""
    step = program.steps[index]
    if isinstance(step, CpuStep):
        return step.layer, "cpu"
    if isinstance(step, TransformStep):
        return f"{step.direction} {step.value}", "transform"
    layers = program.fpga_layers[step.first : step.first + step.count]
    return layers[0].name if len(layers) == 1 else f"{layers[0].name} .. {layers[-1].name}", "fpga"
