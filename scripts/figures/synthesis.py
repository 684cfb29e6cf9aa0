"""What the SystemVerilog kernel costs: Yosys for Xilinx UltraScale+ over profiles and options.

usage: python -m scripts.figures.synthesis [RUN ...] [--write] [--list]

A RUN is a profile, or a profile and an option: int8-8x8, int8-8x8+PACK=0. Each takes minutes and a process of its own.
The hierarchy is kept, so that every module's cost is known; no logic is shared across modules' borders. With --write,
the runs named replace those of docs/benchmarks/synthesis.json, and the page is made anew from all that are there.
Needs the extra 'synthesis'. Returns 1 if a run has a latch or a structural problem, or a target is missed.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.figures import record
from scripts.timing.synthesis import FAMILY, Yosys
from sliceflow.devices.build import checksum
from sliceflow.hardware.kernel import TOP, rtl_parameters, rtl_sources
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.vitis_rtl import checked_options

RUNS = (
    "int8-8x8",
    "int8-2x2",
    "int8-4x4",
    "w4a8-8x8",
    "w8a16-8x8",
    "int8-8x8+PACK=0",
    "int8-8x8+LUT_TAPS=3",
    "int8-8x8+LANE_MULTIPLIERS=1",
    "int8-16x16",
)
DSP_TARGETS = {"int8-8x8": 300}
"""Most DSP48E2 that a run may need."""
_GROUPS = {
    "lut": ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6"),
    "ff": ("FDRE", "FDSE", "FDCE", "FDPE"),
    "dsp": ("DSP48E2",),
    "ramb36": ("RAMB36E2",),
    "ramb18": ("RAMB18E2",),
    "uram": ("URAM288",),
    "carry4": ("CARRY4",),
    "srl": ("SRL16E", "SRLC32E"),
    "mux": ("MUXF7", "MUXF8", "MUXF9"),
    "latch": ("LDCE", "LDPE"),
}
_RAM_LUTS = {
    **dict.fromkeys(("RAM32X1S", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM128X1S"), 2),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S"), 8),
}
"""LUTs that a cell of distributed memory takes."""


def parameters_of(run: str) -> dict[str, int]:
    """Parameters of the top module for a run's name.

    Raises:
        UserError: there is no such profile or option.
    """
    name, *options = run.split("+")
    pairs = (option.partition("=") for option in options)
    return rtl_parameters(Profile.load(name)) | checked_options({key: int(value) for key, _, value in pairs})


def source_checksum() -> str:
    """Names the state of the sources that a figure was made from."""
    return checksum([path.read_text(encoding="utf-8") for path in rtl_sources()])


def groups(cells: Mapping[str, int]) -> dict[str, int]:
    """Totals of the kinds of cells that a device has, from counts by type; ``ram_lut`` in LUTs."""
    found = {name: sum(cells.get(cell, 0) for cell in types) for name, types in _GROUPS.items()}
    return found | {"ram_lut": sum(luts * cells.get(cell, 0) for cell, luts in _RAM_LUTS.items())}


def by_module(statistics: Mapping[str, Any], top: str = TOP) -> dict[str, dict[str, Any]]:
    """Instances and cells of each module, without those of the modules inside it.

    Args:
        statistics: what Yosys' ``stat -json`` writes for a design with its hierarchy.
        top: the top module.
    """
    modules = {name.removeprefix("\\"): data["num_cells_by_type"] for name, data in statistics["modules"].items()}
    copies: collections.Counter[str] = collections.Counter()

    def visit(name: str, count: int) -> None:
        copies[name] += count
        for cell, times in modules[name].items():
            if cell.removeprefix("\\") in modules:
                visit(cell.removeprefix("\\"), count * times)

    visit(top, 1)
    found: dict[str, dict[str, Any]] = {}
    for name, count in copies.items():
        entry = found.setdefault(name.split("$")[0], {"instances": 0, "cells": collections.Counter()})
        entry["instances"] += count
        for cell, times in modules[name].items():
            if cell.removeprefix("\\") not in modules:
                entry["cells"][cell] += count * times
    return {name: entry | {"cells": dict(sorted(entry["cells"].items()))} for name, entry in sorted(found.items())}


def synthesize(files: Sequence[Path], top: str, parameters: Mapping[str, int]) -> dict[str, Any]:
    """Synthesize a design in this process. What Yosys says goes to standard output.

    Returns:
        ``statistics`` (as ``stat -json``, of all modules) and ``problems``: what ``check`` says of the flat design.
    """
    yosys = Yosys(files, top, parameters)
    statistics: dict[str, Any] = {"modules": {}}
    with tempfile.TemporaryDirectory(prefix="sliceflow-synthesis-") as folder:

        def count(names: list[str]) -> None:
            yosys.run(f"tee -q -o {folder}/stat stat -json")
            found = json.loads(Path(folder, "stat").read_text())
            statistics["creator"] = found["creator"]
            statistics["modules"] |= {f"\\{name}": found["modules"][f"\\{name}"] for name in names}

        yosys.read()
        yosys.run(f"tee -o {folder}/check check", "design -reset")
        yosys.map(count)
        lines = Path(folder, "check").read_text().splitlines()
    return {"statistics": statistics, "problems": [line for line in lines if line.startswith("Warning")]}


def measure(run: str) -> dict[str, Any]:
    """Everything about one run, for the JSON file."""
    begin, parameters, sources = time.perf_counter(), parameters_of(run), source_checksum()
    result = synthesize(rtl_sources(), TOP, parameters)
    modules = by_module(result["statistics"])
    cells: collections.Counter[str] = collections.Counter()
    for entry in modules.values():
        cells.update(entry["cells"])
    return {
        "run": run,
        "parameters": parameters,
        "tool": result["statistics"]["creator"].split(" (")[0],
        "family": FAMILY,
        "sources": sources,
        "seconds": round(time.perf_counter() - begin),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "problems": result["problems"],
        "totals": groups(cells),
        "cells": dict(sorted(cells.items())),
        "modules": modules,
    }


def problems_of(result: Mapping[str, Any]) -> list[str]:
    """What must not be: latches, loops, drivers that fight, too many DSPs."""
    found = [f"{result['run']}: {line}" for line in result["problems"]]
    if result["totals"]["latch"]:
        found.append(f"{result['run']}: {result['totals']['latch']} latches")
    limit = DSP_TARGETS.get(result["run"])
    if limit is not None and result["totals"]["dsp"] > limit:
        found.append(f"{result['run']}: {result['totals']['dsp']} DSP48E2, at most {limit} allowed")
    return found


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The text of the page for all results."""
    header = [
        "run",
        "multipliers",
        "LUT",
        "LUT as memory",
        "as shift register",
        "FF",
        "DSP48E2",
        "RAMB36 + 18",
        "CARRY4",
    ]
    rows = []
    for result in results:
        total, sizes = result["totals"], result["parameters"]
        rows.append(
            [
                result["run"] + " (older sources)" * result["older"],
                9 * sizes["CPI"] * sizes["CPO"],
                *(f"{total[name]:,}" for name in ("lut", "ram_lut", "srl", "ff", "dsp")),
                f"{total['ramb36']} + {total['ramb18']}",
                f"{total['carry4']:,}",
            ]
        )
    problems = [problem for result in results for problem in problems_of(result)]
    text = [
        "# What the kernel costs\n",
        f"The whole SystemVerilog kernel through {results[0]['tool']} (`synth_xilinx -family {FAMILY}`), before",
        "placement. The hierarchy is kept, so nothing is shared between modules. Yosys maps additions to CARRY4;",
        "two of them make a CARRY8.",
        "\n".join(problems) or "No latch, no combinational loop, no net with two drivers or none.",
        "",
        record.table(header, rows),
        "",
    ]
    for result in results[:1]:
        largest = sorted(result["modules"].items(), key=lambda item: -groups(item[1]["cells"])["lut"])[:12]
        rows = [
            [name, entry["instances"], *(f"{groups(entry['cells'])[kind]:,}" for kind in ("lut", "ff", "dsp"))]
            for name, entry in largest
        ]
        text += [
            f"## Where the LUTs are: {result['run']}\n",
            record.table(["module", "instances", "LUT", "FF", "DSP48E2"], rows),
        ]
    return "\n".join(text)


def main() -> int:
    """Synthesize the runs; returns 1 if one has a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=RUNS, metavar="RUN")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    parser.add_argument("--list", action="store_true", help="print the names of the runs, and stop")
    options = parser.parse_args()
    if options.list:
        print("\n".join(RUNS))
        return 0
    kept = _recorded() if options.write else {}
    problems = []
    for run in options.runs:
        parameters_of(run)
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # gives its memory back
            result = pool.apply(measure, (run,))
        problems += problems_of(result)
        kept[run] = result
        print(json.dumps({"run": run, **result["totals"], "seconds": result["seconds"]}), flush=True)
        if options.write:
            _record(kept)
    print("\n".join([page([{"older": False, **result} for result in kept.values()]), *problems]))
    return 1 if problems else 0


def _recorded() -> dict[str, dict[str, Any]]:
    path = record.FOLDER / "synthesis.json"
    return {row["run"]: row for row in json.loads(path.read_text())["data"]} if path.exists() else {}


def _record(results: Mapping[str, Mapping[str, Any]]) -> None:
    ordered = [results[run] for run in RUNS if run in results]
    ordered += [result for run, result in results.items() if run not in RUNS]
    record.write("synthesis", page, [{**result, "older": result["sources"] != source_checksum()} for result in ordered])


if __name__ == "__main__":
    sys.exit(main())
