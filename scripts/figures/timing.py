"""How fast the SystemVerilog kernel could be clocked: longest paths by a delay model, before placement.

usage: python -m scripts.figures.timing [RUN ...] [--commit COMMIT] [--write] [--netlist FILE]
       python -m scripts.figures.timing --module NAME [PARAMETER=VALUE ...] [--device usp] [--paths 5]

A RUN is a profile, or a profile and an option, as for scripts.figures.synthesis. With --commit the sources are those
of a commit. With --module one module is looked at alone, with registers directly outside its ports; that takes
seconds and records nothing.
Needs the extra 'synthesis'. The model is described in scripts/timing.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.figures import record
from scripts.figures.synthesis import groups, parameters_of, source_checksum
from scripts.timing.analysis import Analysis
from scripts.timing.delays import DEVICES
from scripts.timing.netlist import Netlist, flatten
from scripts.timing.synthesis import FAMILY, netlist_of
from sliceflow.hardware.kernel import TOP, rtl_folder, rtl_sources

RUNS = ("int8-2x2", "int8-8x8", "int8-16x16", "w8a16-8x8", "w4a8-8x8", "int8-32x32")
PERIOD = {"usp": 3.33, "zynq": 8.0}
"""What the kernel is to reach, in ns."""
_PATHS = 12


def netlist_quietly(files: Sequence[Path], top: str, parameters: Mapping[str, Any]) -> Netlist:
    """Synthesize and flatten, without the megabytes that Yosys prints."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        document = netlist_of(files, top, parameters)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
    return flatten(document, top)


def totals_of(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Cells of all modules by what a device has."""
    cells: collections.Counter[str] = collections.Counter()
    for module in counts.values():
        cells.update(module)
    return groups(cells)


def measure(run: str, files: Sequence[Path], commit: str) -> dict[str, Any]:
    """Everything about one run, for the JSON file."""
    begin = time.perf_counter()
    netlist = netlist_quietly(files, TOP, parameters_of(run))
    devices = {}
    for key, delays in DEVICES.items():
        found = Analysis(netlist, delays)
        devices[key] = {
            "name": delays.name,
            "worst": round(found.worst(), 2),
            "ends": len(found.times),
            "late": found.late(PERIOD[key]),
            "period": PERIOD[key],
            "modules": {name: round(value, 2) for name, value in found.by_module().items()},
            "paths": [
                {"time": round(path.time, 2), "levels": path.levels, "from": path.start, "to": path.end}
                | {"from_module": path.start_module, "to_module": path.end_module}
                for path in found.paths(_PATHS)
            ],
        }
    return {
        "run": run,
        "commit": commit,
        "sources": source_checksum() if not commit else "",
        "family": FAMILY,
        "totals": totals_of(netlist.counts),
        "modules": {name: {"copies": netlist.copies[name], **groups(cells)} for name, cells in netlist.counts.items()},
        "devices": devices,
        "seconds": round(time.perf_counter() - begin),
    }


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The text of the page for all results."""
    text = [
        "# How fast the kernel could be clocked\n",
        "Longest path from register to register of the netlist that Yosys makes",
        f"(`synth_xilinx -family {rows[0]['family']}`), by",
        "the delay model in `scripts/timing`: cells as in data sheets, nets by their fanout, before placement.",
        "Registers beside multipliers and block memories count as absorbed. The same netlist is timed for all devices.",
        "A vendor's tool retimes and replicates; routing of a full device costs. Nothing here was placed.\n",
    ]
    header = ["profile", "sources"]
    header += [
        f"{device['name']}: ns (MHz), ends beyond {device['period']} ns" for device in rows[0]["devices"].values()
    ]
    header += ["LUT", "FF", "DSP", "RAMB36 + 18"]
    lines = []
    for row in rows:
        total = row["totals"]
        shown = [
            f"{device['worst']} ({1000 / device['worst']:.0f}), {device['late']:,} of {device['ends']:,}"
            for device in row["devices"].values()
        ]
        cost = [f"{total[kind]:,}" for kind in ("lut", "ff", "dsp")]
        lines.append([row["run"], _sources(row), *shown, *cost, f"{total['ramb36']} + {total['ramb18']}"])
    text += [record.table(header, lines), ""]
    runs = list(dict.fromkeys(row["run"] for row in rows))
    for run in runs:
        text += _by_module([row for row in rows if row["run"] == run])
    return "\n".join(text)


def _sources(row: Mapping[str, Any]) -> str:
    return f"commit {row['commit']}" if row["commit"] else "older" if row["older"] else "these"


def _by_module(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The modules of one profile, the states of the sources beside each other."""
    key = next(iter(rows[0]["devices"]))
    slowest = {name: value for row in reversed(rows) for name, value in row["devices"][key]["modules"].items()}
    header = ["module"]
    for row in rows:
        header += [f"{_sources(row)}: ns", "LUT", "FF", "DSP"]
    lines = []
    for name in sorted(slowest, key=lambda name: -slowest[name]):
        line: list[Any] = [f"`{name}`"]
        for row in rows:
            cost = row["modules"].get(name)
            line += [row["devices"][key]["modules"].get(name, "")]
            line += [f"{cost[kind]:,}" if cost else "" for kind in ("lut", "ff", "dsp")]
        lines.append(line)
    last = rows[-1]["devices"][key]
    paths = [
        [path["time"], path["levels"], *(f"`{path[f'{end}_module']}`: {path[end]}" for end in ("from", "to"))]
        for path in last["paths"]
    ]
    return [
        f"## {rows[0]['run']}: modules\n",
        f"Longest path that ends in a module, {last['name']}; cells of all copies, without modules in it.\n",
        record.table(header, lines),
        "",
        f"## {rows[0]['run']}: longest paths ({_sources(rows[-1])} sources)\n",
        "The longest between any two modules.\n",
        record.table(["ns", "LUT levels", "from", "to"], paths),
        "",
    ]


@contextmanager
def sources_of(commit: str) -> Iterator[list[Path]]:
    """The files that are synthesized, as they are or as they were in a commit."""
    if not commit:
        yield rtl_sources()
        return
    folder = rtl_folder()
    with tempfile.TemporaryDirectory(prefix="sliceflow-sources-") as place:
        git = ["git", "-C", str(folder)]
        names = subprocess.run(
            [*git, "ls-tree", "--name-only", commit, "./"], capture_output=True, check=True, text=True
        )
        files = []
        for name in names.stdout.split():
            if name.endswith(".sv") and name != "mul_fast.sv":
                text = subprocess.run([*git, "show", f"{commit}:./{name}"], capture_output=True, check=True).stdout
                files.append(Path(place, name))
                files[-1].write_bytes(text)
        packages = [path for path in files if path.stem.endswith("_pkg")]
        yield packages + [path for path in files if path not in packages]


def main() -> int:
    """Time the runs or one module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=RUNS, metavar="RUN")
    parser.add_argument("--commit", default="", help="take the sources of this commit")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    parser.add_argument("--module", help="look at this module alone; RUNs are its parameters")
    parser.add_argument("--device", choices=DEVICES, default="usp")
    parser.add_argument("--paths", type=int, default=5)
    options = parser.parse_args()
    with sources_of(options.commit) as files:
        if options.module:
            parameters = dict(pair.split("=") for pair in options.runs) if options.runs is not RUNS else {}
            _show(netlist_quietly(files, options.module, parameters), options)
            return 0
        rows = _recorded() if options.write else {}
        for run in options.runs:
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # gives its memory back
                row = pool.apply(measure, (run, files, options.commit))
            rows[run, options.commit] = row
            worst = {device["name"]: device["worst"] for device in row["devices"].values()}
            print(json.dumps({"run": run, **worst, **row["totals"], "seconds": row["seconds"]}), flush=True)
            if options.write:
                _record(rows)
    return 0


def _show(netlist: Netlist, options: argparse.Namespace) -> None:
    found = Analysis(netlist, DEVICES[options.device], ports=True)
    cost = {kind: count for kind, count in totals_of(netlist.counts).items() if count}
    print(f"{options.module}: {found.worst():.2f} ns, {found.late(PERIOD[options.device])} ends late, {cost}")
    for path in found.paths(options.paths):
        print(f"  {path.time:.2f} ns, {path.levels} levels: {path.start} -> {path.end}")
        for name, arrival in path.nets:
            print(f"      {arrival:.2f} {name}")


def _recorded() -> dict[tuple[str, str], dict[str, Any]]:
    path = record.FOLDER / "timing.json"
    if not path.exists():
        return {}
    return {(row["run"], row["commit"]): row for row in json.loads(path.read_text())["data"]}


def _record(rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    order = [*RUNS, *(run for run, _ in rows if run not in RUNS)]
    ordered = sorted(rows.values(), key=lambda row: (order.index(row["run"]), not row["commit"]))
    older = [{**row, "older": not row["commit"] and row["sources"] != source_checksum()} for row in ordered]
    record.write("timing", page, older)


if __name__ == "__main__":
    sys.exit(main())
