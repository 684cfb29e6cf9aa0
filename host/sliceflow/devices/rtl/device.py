"""The RTL simulation as a device."""

from __future__ import annotations

import time
from pathlib import Path

from sliceflow.devices.base import LaunchReport, LayerTrace
from sliceflow.devices.cache import default_cache
from sliceflow.devices.memory import HostMemory
from sliceflow.devices.registers import KernelDriver, LayerClocks, Pointers, clock_limit
from sliceflow.devices.rtl.build import RtlBuildOptions, build_library
from sliceflow.devices.rtl.simulation import MemoryModel, Simulation
from sliceflow.errors import InternalError, UserError
from sliceflow.graph.program import Program
from sliceflow.hardware.cycles import predict

PROGRAM, WEIGHTS, ACTIVATIONS = 0x10_0000_0000, 0x20_0000_0000, 0x30_0000_0000
"""Device addresses of the buffers. They lie above 4 GiB, so that all 64 bits matter."""


class RtlDevice:
    """Executes descriptors with the simulated SystemVerilog kernel. See ``Device`` for the methods.

    Args:
        threads: not used: a simulation runs on one.
        cache: folder for the compiled kernel; ``default_cache`` if omitted.
        memory: how the simulated memory behaves; the profile's read latency and no stalls if omitted.
        options: how to compile.
        trace: write the signals of one layer, the first time that it runs.
        interrupts: wait for the kernel's interrupt; otherwise poll.
        limit: clocks after which a launch is given up; a multiple of the prediction if omitted.

    Attributes:
        clocks: of each layer of the latest launch.
    """

    name = "rtl"

    def __init__(
        self,
        threads: int | None = None,
        *,
        cache: Path | None = None,
        memory: MemoryModel | None = None,
        options: RtlBuildOptions | None = None,
        trace: LayerTrace | None = None,
        interrupts: bool = True,
        limit: int | None = None,
    ) -> None:
        self._cache = cache or default_cache()
        self._model = memory
        self._trace = trace
        self._options = options or RtlBuildOptions(trace=_trace_format(trace))
        self._interrupts, self._limit = interrupts, limit
        self._library: Path | None = None
        self._program: Program | None = None
        self._memory: HostMemory | None = None
        self._simulation: Simulation | None = None
        self.clocks: list[LayerClocks] = []

    def load(self, program: Program) -> None:
        """Take a program, make an activation memory for it, and compile the kernel if the cache lacks it.

        Raises:
            UserError: no kernel exists for this profile, it cannot be compiled, or the layer to be traced is not in the
                program.
        """
        names = [layer.name for layer in program.fpga_layers]
        if self._trace is not None and self._trace.layer not in names:
            raise UserError(
                f"no layer on the FPGA is called {self._trace.layer!r}",
                fix=f"name one of {', '.join(map(repr, names))}",
            )
        self.close()
        self._library = build_library(program.profile, cache=self._cache, options=self._options)
        self._attach(program)

    def write(self, word_address: int, data: bytes) -> None:
        """Copy whole words into the activation memory."""
        self._loaded()[1].write(word_address, data)

    def read(self, word_address: int, byte_count: int) -> bytes:
        """Copy bytes out of the activation memory."""
        return self._loaded()[1].read(word_address, byte_count)

    def launch(self, first: int, count: int) -> LaunchReport:
        """Execute descriptors in order; the report has the clocks of each by the kernel's own counters.

        Raises:
            UserError: the kernel refuses a descriptor, meets a memory error, or does not end in time.
            InternalError: it broke a rule of its ports.
        """
        program, _, simulation = self._loaded()
        begin = time.perf_counter()
        self.clocks = []
        try:
            for part_first, part_count, traced in self._parts(program, first, count):
                if traced is not None:
                    simulation.trace_start(traced.path)
                self.clocks += self._launch(program, simulation, part_first, part_count)
                if traced is not None:
                    simulation.trace_stop()
                    self._trace = None
        except BaseException:  # an interrupt too must not leave a kernel that is half-way
            simulation.trace_stop()
            simulation.forget()
            simulation.reset()
            raise
        return LaunchReport(time.perf_counter() - begin, tuple(layer.cycles for layer in self.clocks))

    def replicate(self) -> RtlDevice:
        """A further simulation, on one thread."""
        program, _, _ = self._loaded()
        replica = RtlDevice(
            cache=self._cache,
            memory=self._model,
            options=self._options,
            interrupts=self._interrupts,
            limit=self._limit,
        )
        replica._library = self._library
        replica._attach(program)
        return replica

    def close(self) -> None:
        """Give the memory and the simulation back."""
        if self._simulation is not None:
            self._simulation.close()
        self._program = self._memory = self._simulation = None

    def _attach(self, program: Program) -> None:
        """Make memories and a simulation for a program whose kernel is compiled."""
        if self._library is None:
            raise InternalError("the kernel is not compiled", where=self.name)
        latency = program.profile.read_latency
        model = self._model = self._model or MemoryModel(read_latency=latency, write_latency=latency)
        memory, simulation = HostMemory(program), Simulation(self._library, model)
        simulation.map(PROGRAM + model.offset, program.program)
        simulation.map(WEIGHTS + model.offset, program.weights)
        simulation.map(ACTIVATIONS + model.offset, memory.data, writable=True)
        self._program, self._memory, self._simulation = program, memory, simulation

    def _launch(self, program: Program, simulation: Simulation, first: int, count: int) -> list[LayerClocks]:
        names = [layer.name for layer in program.fpga_layers]
        offset, stall = (self._model.offset, self._model.stall) if self._model else (0, 0)
        pointers = Pointers(program=PROGRAM + offset, weights=WEIGHTS + offset, activations=ACTIVATIONS + offset)
        layers = program.descriptors[first : first + count]
        predicted = [predict(layer, program.profile).predicted for layer in layers]
        limit = self._limit or clock_limit(sum(predicted), stall=stall)
        watchdog = clock_limit(max(predicted, default=0), stall=stall)
        driver = KernelDriver(simulation, names, interrupts=self._interrupts)
        clocks = driver.launch(pointers, first, count, limit, watchdog=watchdog)
        simulation.check()
        return clocks

    def _parts(self, program: Program, first: int, count: int) -> list[tuple[int, int, LayerTrace | None]]:
        """The launch as (first, count, trace) of those that it takes; a layer to be traced has one of its own."""
        names = [layer.name for layer in program.fpga_layers[first : first + count]]
        if self._trace is None or self._trace.layer not in names:
            return [(first, count, None)]
        index = first + names.index(self._trace.layer)
        parts = [(first, index - first, None), (index, 1, self._trace), (index + 1, first + count - index - 1, None)]
        return [part for part in parts if part[1]]

    def _loaded(self) -> tuple[Program, HostMemory, Simulation]:
        if self._program is None or self._memory is None or self._simulation is None:
            raise InternalError("the device has no program", where=self.name)
        return self._program, self._memory, self._simulation


def _trace_format(trace: LayerTrace | None) -> str:
    """Verilator's name of the format that a file's name asks for."""
    if trace is None:
        return ""
    formats = {".vcd": "vcd", ".fst": "fst"}
    if trace.path.suffix not in formats:
        raise UserError(
            "the trace must be a .vcd or a .fst file", where=str(trace.path), fix="choose one of these two endings"
        )
    return formats[trace.path.suffix]
