"""Runs tests under an emulated processor of another sort, one whose integer kernels saturate in ONNX Runtime.

    scripts/other_processor.py [--processor NAME] [--quick] [pytest's options] [tests]

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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
    "tests/csim/test_widths.py::test_digits_are_recognized_in_every_width[int8-4x8-8-8]",
    "tests/e2e/test_commands.py",
    "tests/e2e/test_light_models.py::test_csim_is_within_a_step_of_onnxruntime",
)


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
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    found = re.search(r"(\d+)\.(\d+)", told)
    if found is None or (int(found[1]), int(found[2])) < (7, 2):
        raise SystemExit(f"error: {told} does not emulate AVX2\n  fix: install QEMU 7.2 or newer")
    print(f"{told}, processor {processor} ({PROCESSORS[processor]})", flush=True)
    return [path, "-cpu", PROCESSORS[processor]]


def main() -> int:
    """Run; returns the exit code of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processor", choices=PROCESSORS, default="intel-avx2")
    parser.add_argument("--quick", action="store_true", help="only the tests of a minute")
    parser.add_argument("tests", nargs="*", help="instead of those; options go to pytest")
    options, arguments = parser.parse_known_args()
    command = [*emulator(options.processor), sys.executable]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    probe = "from sliceflow.kernel_probe import probe_kernels; print(probe_kernels().told())"
    done = subprocess.run([*command, "-c", probe], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    print(f"ONNX Runtime's integer kernels there: {done.stdout.strip()}", flush=True)
    tests = options.tests or (QUICK if options.quick else COMPLETE)
    pytest = [*command, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5", *arguments, *tests]
    return subprocess.run(pytest, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
