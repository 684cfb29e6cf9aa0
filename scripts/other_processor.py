"""Runs tests under an emulated processor of another sort, one whose integer kernels saturate in ONNX Runtime.

    scripts/other_processor.py [--processor NAME] [--quick] [--write] [pytest's options] [tests]

Needs qemu-user (Debian, Ubuntu: ``apt install qemu-user``), of version 7.2 or newer for AVX2. It says first what is
emulated and what ONNX Runtime's integer kernels do there. Without arguments the tests that depend on the processor run,
an hour on one core; ``--quick`` runs those of a minute. QEMU does not emulate AVX-512: run the suite itself on such a
processor.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.figures import record  # noqa: E402

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PROCESSORS = {
    "intel-avx2": "Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid",
    "amd-avx2": "EPYC-Rome",
    "sse4": "Nehalem",
}
"""QEMU's models by what they stand for; without the features that QEMU cannot emulate and would warn of."""
QUICK = (
    "tests/unit/test_onnx_runtime.py",
    "tests/unit/test_unsigned_operators.py",
    "tests/unit/test_quantization.py::test_random_networks_stay_close_to_float[1]",
    "tests/unit/test_quantization_placement.py::test_clamp_belongs_to_its_convolution",
    "tests/e2e/test_commands.py::test_a_stem_is_unrolled_unless_told_otherwise",
)
COMPLETE = (
    "tests/unit/test_onnx_runtime.py",
    "tests/unit/test_unsigned_operators.py",
    "tests/unit/test_against.py",
    "tests/unit/test_quantization.py",
    "tests/unit/test_quantization_data.py",
    "tests/unit/test_quantization_placement.py",
    "tests/unit/test_reference_numerics.py",
    "tests/unit/test_reference_onnx.py",
    "tests/csim/test_instructions.py",
    "tests/e2e/test_commands.py",
    "tests/e2e/test_light_models.py::test_csim_is_within_a_step_of_onnxruntime",
    "tests/csim/test_widths.py::test_digits_are_recognized_in_every_width[int8-4x8-8-8]",
)


def version(path: str) -> str:
    """What QEMU says of itself."""
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def emulator(processor: str) -> list[str]:
    """The command that runs a program on an emulated processor.

    Raises:
        SystemExit: QEMU is missing or too old.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise SystemExit(f"error: the emulated processors are x86-64, and this Python is for {platform.machine()}")
    path = shutil.which("qemu-x86_64")
    if path is None:
        raise SystemExit(
            "error: qemu-x86_64 is missing, and other processors cannot be emulated\n"
            "  fix: sudo apt-get install qemu-user"
        )
    told = version(path)
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < (7, 2):
        raise SystemExit(f"error: {told} does not emulate AVX2\n  fix: install QEMU 7.2 or newer")
    print(f"{told}, processor {processor} ({PROCESSORS[processor]})", flush=True)
    return [path, "-cpu", PROCESSORS[processor]]


def kernels(command: list[str]) -> str:
    """What ONNX Runtime's integer kernels do there, in a sentence.

    Raises:
        SystemExit: Python does not run there.
    """
    probe = "from sliceflow.kernel_probe import probe_kernels; print(probe_kernels().told())"
    done = subprocess.run([*command, "-c", probe], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def results(report: Path) -> list[dict[str, Any]]:
    """For each file of tests how many passed, did not, were skipped, and the seconds they took; from JUnit's XML."""
    files: dict[str, dict[str, Any]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname", "").replace(".", "/") + ".py"
        row = files.setdefault(name, {"file": name, "passed": 0, "failed": 0, "skipped": 0, "seconds": 0.0})
        tags = {child.tag for child in case}
        row["failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"] += 1
        row["seconds"] = round(row["seconds"] + float(case.get("time", 0)), 1)
    return list(files.values())


def page(data: dict[str, Any]) -> str:
    """The page's text."""
    header = ["tests", "passed", "failed", "skipped", "seconds there"]
    rows = [[row[key] for key in ("file", "passed", "failed", "skipped", "seconds")] for row in data["files"]]
    return (
        f"# Tests on another processor: {data['processor']}\n\n"
        "Tests whose results could depend on the processor, run on an emulated one:\n"
        f"{data['emulator']}, `-cpu {data['model']}`.\n\n"
        f"ONNX Runtime's integer kernels there: {data['kernels']}.\n\n{record.table(header, rows)}\n\n"
        "Below stands the processor that ran the emulator."
    )


def main() -> int:
    """Run; returns the exit code of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processor", choices=PROCESSORS, default="intel-avx2")
    parser.add_argument("--quick", action="store_true", help="only the tests of a minute")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/other_processor_PROCESSOR.md")
    parser.add_argument("tests", nargs="*", help="instead of those; options go to pytest")
    options, arguments = parser.parse_known_args()
    command = [*emulator(options.processor), sys.executable]
    told = kernels(command)
    print(f"ONNX Runtime's integer kernels there: {told}", flush=True)
    tests = options.tests or (QUICK if options.quick else COMPLETE)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        pytest = [*command, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5", f"--junitxml={report}"]
        code = subprocess.run([*pytest, *arguments, *tests], cwd=ROOT, env=ENVIRONMENT, check=False).returncode
        found = results(report) if report.exists() else []
    if options.write:
        data = {
            "processor": options.processor,
            "model": PROCESSORS[options.processor],
            "emulator": version(command[0]),
            "kernels": told,
            "files": found,
        }
        record.write(f"other_processor_{options.processor.replace('-', '_')}", page, data)
    return code


if __name__ == "__main__":
    sys.exit(main())
