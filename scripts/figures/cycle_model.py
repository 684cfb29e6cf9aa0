"""The cycle model's error: its prediction against the clock log of the simulated RTL kernel, layer by layer.

usage: python -m scripts.figures.cycle_model [PROFILE ...] [--launches N] [--networks NAME,...] [--write]

For each profile N random launches run, of one and of three layers in turn, over the whole space of the contract
(tests/support/random_program.py); for the first profile whole networks too. Memory answers after the profile's latency.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.figures import record
from scripts.figures.networks import compiled
from sliceflow.devices.cache import default_cache
from sliceflow.devices.registers import KernelDriver, LayerClocks, Pointers
from sliceflow.devices.rtl.build import build_library
from sliceflow.devices.rtl.device import ACTIVATIONS, PROGRAM, WEIGHTS, RtlDevice
from sliceflow.devices.rtl.simulation import MemoryModel, Simulation
from sliceflow.graph.descriptor import Descriptor, Op
from sliceflow.graph.program import FpgaStep
from sliceflow.hardware.cycles import predict_launch
from sliceflow.hardware.profile import Profile
from tests.support.random_program import Case, random_program

PROFILES = ("int8-8x8", "int8-2x2", "int8-4x4", "int8-4x8", "int8-16x16", "int8-32x32", "w4a8-8x8", "w8a16-8x8")
NETWORKS = ("vgg-mnist", "vgg16-hcr", "resnet18", "inception-v1")
LIMIT = 0.02
"""Error that each layer is to keep."""
SHORT = 150
"""Clocks of a layer below which the error counts as if it had so many."""
_MOST_CLOCKS = 2_000_000


@dataclasses.dataclass(frozen=True)
class Sample:
    """One layer.

    Attributes:
        source: where the layer is from.
        op: its operation.
        measured: clocks by the kernel's log.
        predicted: clocks by the model.
    """

    source: str
    op: str
    measured: int
    predicted: int

    @property
    def error(self) -> float:
        """Of the measured clocks."""
        return self.predicted / self.measured - 1

    @property
    def misses(self) -> bool:
        """Whether the error is beyond the limit."""
        return abs(self.predicted - self.measured) > LIMIT * max(SHORT, self.measured)


def samples(
    source: str, profile: Profile, layers: Sequence[Descriptor], clocks: Sequence[LayerClocks]
) -> Iterable[Sample]:
    """Compare a launch with its prediction."""
    for layer, estimate, measured in zip(layers, predict_launch(layers, profile), clocks, strict=True):
        yield Sample(source, Op(layer.op).name, measured.cycles, estimate.predicted)


def random_samples(profile: Profile, launches: int) -> list[Sample]:
    """Run random launches; seeds count from 0."""
    library = build_library(profile, cache=default_cache())
    found: list[Sample] = []
    for seed in range(launches):
        case = random_program(seed, profile, layers=1 + 2 * (seed % 2))
        clocks = _launch(library, case)
        found += samples(f"{profile.name} seed {seed}", profile, case.descriptors, clocks)
    return found


def _launch(library: Path, case: Case) -> list[LayerClocks]:
    latency = case.profile.read_latency
    simulation = Simulation(library, MemoryModel(read_latency=latency, write_latency=latency))
    simulation.map(PROGRAM, case.program)
    simulation.map(WEIGHTS, case.weights)
    simulation.map(ACTIVATIONS, case.activations, writable=True)
    driver = KernelDriver(simulation, [f"layer {number}" for number in range(len(case.descriptors))], interrupts=True)
    pointers = Pointers(program=PROGRAM, weights=WEIGHTS, activations=ACTIVATIONS)
    clocks = driver.launch(pointers, 0, len(case.descriptors), _MOST_CLOCKS)
    simulation.check()
    simulation.close()
    return clocks


def network_samples(name: str, profile: Profile) -> list[Sample]:
    """Run the FPGA's part of a network once, on zeros: the clocks do not depend on the data."""
    program = compiled(name, profile)
    device = RtlDevice(1)
    device.load(program)
    found: list[Sample] = []
    for step in program.steps:
        if isinstance(step, FpgaStep):
            device.launch(step.first, step.count)
            layers = program.descriptors[step.first : step.first + step.count]
            found += samples(f"{name} {profile.name}", profile, layers, device.clocks)
    device.close()
    return found


def summary(name: str, chosen: Sequence[Sample]) -> dict[str, Any]:
    """The errors of some layers, absolute."""
    errors = np.abs([sample.error for sample in chosen])
    measured = sum(sample.measured for sample in chosen)
    return {
        "layers of": name,
        "layers": len(chosen),
        "clocks": measured,
        "exact": sum(sample.predicted == sample.measured for sample in chosen) / len(chosen),
        "median": float(np.median(errors)),
        "p95": float(np.percentile(errors, 95)),
        "max": float(errors.max()),
        "beyond 2 %": sum(sample.misses for sample in chosen),
        "total": sum(sample.predicted for sample in chosen) / measured - 1,
    }


def page(data: dict[str, Any]) -> str:
    """The Markdown page."""
    summaries, missed = data["summaries"], [Sample(**found) for found in data["beyond"]]
    rows = [
        [
            row["layers of"], row["layers"], f"{row['clocks']:,}", f"{row['exact']:.1%}", f"{row['median']:.2%}",
            f"{row['p95']:.2%}", f"{row['max']:.2%}", row["beyond 2 %"], f"{row['total']:+.3%}",
        ]
        for row in summaries
    ]  # fmt: skip
    header = ["layers of", "layers", "clocks", "exact", "median", "95 %", "largest", "beyond 2 %", "all clocks"]
    text = f"""# The cycle model against the simulated RTL kernel

Error of the predicted clocks of each layer, from its begin to its last write response, against the kernel's own clock
log. Memory ports of 64 bytes a clock; read and write latency as the profile says (100 clocks). *Exact*: layers that are
predicted to the clock. *Beyond 2 %*: by more than 2 % of the layer, or of {SHORT} clocks if it is shorter. *All
clocks*: error of the sum. Random layers are drawn over the whole contract, most of them shorter than 1,000 clocks,
alone and in launches of three.

{record.table(header, rows)}
"""
    if missed:
        cells = [[s.source, s.op, s.measured, s.predicted, f"{s.error:+.1%}"] for s in missed]
        text += (
            "\n## Layers beyond 2 %\n\n" + record.table(["from", "op", "measured", "predicted", "error"], cells) + "\n"
        )
    return text


def _summaries(random: Sequence[Sample], networks: Sequence[Sample]) -> list[dict[str, Any]]:
    parts: dict[str, list[Sample]] = defaultdict(list)
    for sample in random:
        parts[f"random, {sample.source.split()[0]}"].append(sample)
    for sample in sorted(random, key=lambda sample: Op[sample.op]):
        parts[f"random, {sample.op}"].append(sample)
    parts["random, all"] = list(random)
    for sample in networks:
        parts[sample.source.replace(" ", ", ")].append(sample)
    return [summary(name, chosen) for name, chosen in parts.items() if chosen]


def main() -> int:
    """Measure, print, and with ``--write`` record. Returns 1 if one layer in 200, or one of a network, misses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profiles", nargs="*", default=PROFILES, metavar="PROFILE")
    parser.add_argument("--launches", type=int, default=200, metavar="N", help="random launches for each profile")
    parser.add_argument("--networks", default=",".join(NETWORKS), metavar="NAME,...", help="names in models/zoo.py")
    parser.add_argument("--write", action="store_true", help="record docs/benchmarks/cycle_model")
    arguments = parser.parse_args()
    random: list[Sample] = []
    for name in arguments.profiles:
        random += random_samples(Profile.load(name), arguments.launches)
        print(f"{name}: {len(random)} layers so far", file=sys.stderr, flush=True)
    networks: list[Sample] = []
    for name in filter(None, arguments.networks.split(",")):
        networks += network_samples(name, Profile.load(arguments.profiles[0]))
        print(name, file=sys.stderr, flush=True)
    summaries = _summaries(random, networks)
    missed = [sample for sample in (*random, *networks) if sample.misses]
    data = {"summaries": summaries, "beyond": [dataclasses.asdict(sample) for sample in missed]}
    print(page(data))
    if arguments.write:
        record.write("cycle_model", page, data)
    failed = any(sample.misses for sample in networks) or len([s for s in random if s.misses]) * 200 > len(random)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
