"""The benchmark: ONNX Runtime on the CPU, and the accelerator as its models predict it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sliceflow.bench.answers import compare_answers
from sliceflow.bench.measure import measure
from sliceflow.devices.base import Device
from sliceflow.errors import UserError
from sliceflow.graph.program import CpuStep, FpgaStep, Program, TransformStep
from sliceflow.hardware.cycles import caveat
from sliceflow.hardware.transfer import LINKS, Link, crossing_bytes
from sliceflow.machine import cores, cpu_model
from sliceflow.onnx_runtime import user_session
from sliceflow.runtime.cpu import CpuLayers
from sliceflow.runtime.executor import Executor
from sliceflow.runtime.values import check_inputs

Array = NDArray[Any]
PRECISE = "int8, x64quantprecision"
"""Name of the int8 model where ONNX Runtime is told not to add in 16 bits."""
COUNTED = {"rtl": "cycles of the RTL simulation", "csim": "clocks of the HLS C++ as its simulation counts them"}
"""What simulated cycles are, by device."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How to measure.

    Attributes:
        threads: numbers of ONNX Runtime threads, each measured.
        warmup: calls that do not count.
        repeats: calls that do.
        link: name of the assumed connection (``sliceflow.hardware.transfer.LINKS``).
    """

    threads: Sequence[int] = ()
    warmup: int = 5
    repeats: int = 30
    link: str = "pcie"

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.repeats < 1 or any(count < 1 for count in self.threads):
            raise UserError("repeats and threads must be at least 1, and warmup at least 0", where="benchmark options")
        if self.link not in LINKS:
            raise UserError(f"there is no link called {self.link!r}", fix=f"name one of {', '.join(LINKS)}")


def bench(
    program: Program,
    device: Device,
    inputs: Mapping[str, Array],
    models: Mapping[str, Path | bytes],
    options: BenchOptions | None = None,
    labels: Array | None = None,
) -> dict[str, Any]:
    """Compare, for one image.

    Args:
        program: the compiled model.
        device: has the program loaded; CPU layers and transforms are measured around it.
        inputs: an array for each input; the first image is timed, all of them are answered.
        models: models for ONNX Runtime, path or content, by what they are (``fp32``, ``int8``).
        options: how to measure.
        labels: class of each image.

    Returns:
        ``{"cpu": [...], "answers": {...}, "fpga": {"layers": [...], "totals": {...}}}``; times in milliseconds for one
        image. Simulated cycles are those of a device that counts them (``rtl``, and ``csim``
        opened with clocks); None with others. ``answers`` says
        what the timed int8 answers are worth (``Answers``; None without an int8 model); where they are wrong, the int8
        model is timed with ONNX Runtime's cure as well.

    Raises:
        UserError: inputs or models do not fit.
    """
    options = options or BenchOptions()
    images = check_inputs(program.inputs, inputs).images()
    feed = images[0]
    threads = list(options.threads) or sorted({1, cores()})
    answers = compare_answers(models, images, labels, max(threads))
    cpu = [_on_cpu(kind, model, feed, count, options) for kind, model in models.items() for count in threads]
    if answers is not None and answers.differ:
        cpu += [_on_cpu(PRECISE, models["int8"], feed, count, options) for count in threads]
    executor = Executor(program, device, CpuLayers(program, max(threads)))
    host = _host_times(program, executor, feed, options)
    layers = [
        {
            "name": layer.name,
            "ideal_cycles": layer.ideal_cycles,
            "predicted_cycles": layer.predicted_cycles,
            "simulated_cycles": executor.cycles.get(index),
        }
        for index, layer in enumerate(program.fpga_layers)
    ]
    totals = _totals(program, device.name, executor.cycles, host, max(threads), options)
    told = None if answers is None else dataclasses.asdict(answers)
    return {"cpu": cpu, "answers": told, "fpga": {"layers": layers, "totals": totals}}


def _on_cpu(
    kind: str, model: Path | bytes, feed: Mapping[str, Array], threads: int, options: BenchOptions
) -> dict[str, Any]:
    where = f"{kind} model" if isinstance(model, bytes) else str(model)
    session = user_session(model, threads, where=where, precise=kind == PRECISE)
    wanted = {value.name: value.shape for value in session.get_inputs()}
    if set(wanted) != set(feed):
        raise UserError(
            "the model has other inputs than the artifact",
            where=where,
            why=f"{sorted(wanted)} and {sorted(feed)}",
            fix="name the model that the artifact was made from",
        )
    given = session.typed(feed)
    timing = measure(lambda: session.run(None, given), warmup=options.warmup, repeats=options.repeats)
    return {
        "model": kind,
        "engine": "ONNX Runtime",
        "label": "measured",
        "processor": cpu_model(),
        "threads": threads,
        "batch": 1,
        **dataclasses.asdict(timing),
    }


def _totals(
    program: Program,
    device: str,
    cycles: Mapping[int, int],
    host: Mapping[str, float],
    threads: int,
    options: BenchOptions,
) -> dict[str, Any]:
    link = LINKS[options.link]
    layers = program.fpga_layers
    predicted = sum(layer.predicted_cycles for layer in layers)
    launches = sum(isinstance(step, FpgaStep) for step in program.steps)
    crossings = crossing_bytes(program)
    simulated = sum(cycles.values()) if len(cycles) == len(layers) > 0 else None
    clock = program.profile.clock
    fpga = 1e3 * program.profile.seconds(predicted if simulated is None else simulated)
    parts = [
        _part("fpga", fpga, "predicted", clock)
        if simulated is None
        else _part("fpga", fpga, "simulated", f"{COUNTED.get(device, device)}, {clock}"),
        _part("transfers", 1e3 * _transfer_seconds(link, crossings, launches), "predicted", link.name),
        _part("transforms", host["transform"], "measured", f"median of {options.repeats}, NumPy"),
        _part("cpu layers", host["cpu"], "measured", f"median of {options.repeats}, ONNX Runtime, {threads} threads"),
    ]
    total = sum(part["ms"] for part in parts)
    return {
        "profile": program.profile.name,
        "clock_mhz": program.profile.mhz,
        "clock_basis": program.profile.clock_basis,
        "clock_device": program.profile.clock_device,
        "ideal_cycles": sum(layer.ideal_cycles for layer in layers),
        "predicted_cycles": predicted,
        "cycles_caveat": caveat(program.profile),
        "simulated_cycles": simulated,
        "launches": launches,
        "bytes_to_device": crossings["to_device"][1],
        "bytes_to_host": crossings["to_host"][1],
        "parts": parts,
        "total_ms": total,
        "label": "predicted (the sum of the parts, nothing overlapped)",
    }


def _part(name: str, milliseconds: float, label: str, basis: str) -> dict[str, Any]:
    return {"part": name, "ms": milliseconds, "label": label, "basis": basis}


def _transfer_seconds(link: Link, crossings: Mapping[str, tuple[int, int]], launches: int) -> float:
    calls = sum(count for count, _ in crossings.values())
    return link.seconds(sum(size for _, size in crossings.values()), calls + launches)


def _host_times(
    program: Program, executor: Executor, feed: Mapping[str, Array], options: BenchOptions
) -> dict[str, float]:
    """Median time of the host's own steps for one image, in milliseconds, by kind.

    Each of them is measured by itself, on the values that one run of the whole program leaves.
    """
    values = executor.run(dict(feed))
    spent = {"transform": 0.0, "cpu": 0.0}
    for step in program.steps:
        if isinstance(step, FpgaStep):
            continue
        kind = "cpu" if isinstance(step, CpuStep) else "transform"

        def call(step: CpuStep | TransformStep = step) -> None:
            executor.execute(step, values)

        spent[kind] += measure(call, warmup=options.warmup, repeats=options.repeats).median_ms
    return spent
