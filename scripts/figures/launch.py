"""Runs whole programs on the RTL kernel and on csim, compares their memories, and reads the kernel's clock log."""

from __future__ import annotations

import dataclasses
import enum
import time

import numpy as np

from sliceflow.devices.base import open_device
from sliceflow.devices.registers import LayerClocks
from sliceflow.devices.rtl.device import RtlDevice
from sliceflow.graph.descriptor import Descriptor
from sliceflow.graph.program import FpgaStep, Program
from sliceflow.hardware.cycles import ideal_cycles
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor
from sliceflow.runtime.values import random_inputs


class Kind(enum.StrEnum):
    """What a layer counts as in figures of efficiency."""

    BODY = "body"
    """Multiplies, and the array computes more than one pixel."""
    FULLY_CONNECTED = "fully connected"
    """Multiplies for a single pixel, so that every weight is used once and the weight port is the bound."""
    COPY = "no MACs"
    """Pools, additions and copies of their own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer in a launch. Times are clocks since the launch began.

    Attributes:
        name, op: as the compilation report shows them.
        kind: what it counts as.
        macs: useful multiply-accumulates.
        ideal: the contract's bound (``ideal_cycles``).
        predicted: by the cycle model.
        cycles: from the layer before's last write response to this layer's, so that they add up to the launch.
        begin, first_frame, last_frame, end: the kernel's own log.
    """

    name: str
    op: str
    kind: Kind
    macs: int
    ideal: int
    predicted: int
    cycles: int
    begin: int
    first_frame: int
    last_frame: int
    end: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """A program, executed once with a random image.

    Attributes:
        layers: in the order of their execution.
        launches: launches that the program takes.
        bytes_compared: of the activation memory behind each launch, and of the results.
        bytes_differing: of those, where RTL and csim disagree.
        seconds: wall time of the RTL simulation.
    """

    layers: list[LayerRun]
    launches: int
    bytes_compared: int
    bytes_differing: int
    seconds: float


def kind_of(layer: Descriptor, macs: int) -> Kind:
    """What a layer counts as."""
    if not macs:
        return Kind.COPY
    return Kind.FULLY_CONNECTED if layer.conv_height * layer.conv_width == 1 else Kind.BODY


def run_network(program: Program, *, seed: int = 0) -> NetworkRun:
    """Execute a program on both devices with one random image and compare the whole activation memory.

    Raises:
        UserError: the kernel refuses a layer or does not end.
        InternalError: it broke a rule of its ports.
    """
    rtl, csim = RtlDevice(1), open_device("csim", program)
    rtl.load(program)
    cpu = CpuLayers(program, None)
    on_rtl, on_csim = Executor(program, rtl, cpu), Executor(program, csim, cpu)
    values = {name: array[:1] for name, array in random_inputs(program.inputs, 1, seed=seed).items()}
    expected = dict(values)
    layers: list[LayerRun] = []
    compared = differing = 0
    seconds = 0.0
    for step in program.steps:
        begin = time.perf_counter()
        on_rtl.execute(step, values)
        seconds += time.perf_counter() - begin if isinstance(step, FpgaStep) else 0
        on_csim.execute(step, expected)
        if isinstance(step, FpgaStep):
            layers += _layers(program, step, rtl.clocks)
            memories = (device.read(0, program.activation_bytes) for device in (rtl, csim))
            first, second = (np.frombuffer(memory, np.uint8) for memory in memories)
            compared += first.size
            differing += int(np.count_nonzero(first != second))
    for value in program.outputs:
        compared += values[value.name].nbytes
        differing += int(np.count_nonzero(values[value.name] != expected[value.name]))
    rtl.close()
    csim.close()
    return NetworkRun(
        layers=layers,
        launches=sum(isinstance(step, FpgaStep) for step in program.steps),
        bytes_compared=compared,
        bytes_differing=differing,
        seconds=seconds,
    )


def _layers(program: Program, step: FpgaStep, clocks: list[LayerClocks]) -> list[LayerRun]:
    runs, before = [], 0
    for index, clock in enumerate(clocks, step.first):
        layer, descriptor = program.fpga_layers[index], program.descriptors[index]
        runs.append(
            LayerRun(
                name=layer.name,
                op=layer.op,
                kind=kind_of(descriptor, layer.macs),
                macs=layer.macs,
                ideal=ideal_cycles(descriptor, program.profile),
                predicted=layer.predicted_cycles,
                cycles=clock.end - before,
                begin=clock.begin,
                first_frame=clock.first_frame,
                last_frame=clock.last_frame,
                end=clock.end,
            )
        )
        before = clock.end
    return runs
