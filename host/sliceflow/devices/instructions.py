"""The instruction sets that simulators are compiled for, and those that the processor of this process can run.

A compiled simulator stays in a cache that machines may share, and the compiler's own answer (``-march=native``) may be
another processor's: an emulator need not reach the compiler that the emulated process starts. So this process looks
itself, and only what a set names is compiled in.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Mapping
from pathlib import Path

from sliceflow.devices.build import call, checksum, compiler_identity, require
from sliceflow.devices.cache import cached
from sliceflow.errors import UserError

_AVX2 = ("avx2", "fma", "bmi", "bmi2")
INSTRUCTION_SETS: Mapping[str, tuple[str, ...]] = {
    "generic": (),
    "avx2": _AVX2,
    "avx512vnni": (*_AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"),
}
"""By name, slowest first: what it takes of an x86-64 processor, in the compiler's words. ``generic`` takes no more than
the compiler's default, on any processor."""
VARIABLE = "SLICEFLOW_INSTRUCTIONS"
"""Environment variable that chooses a set, instead of the best one that the processor has."""

_PROBE = """
extern "C" __attribute__((visibility("default"))) int sliceflow_runs(int set) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  switch (set) {
%s
  }
#endif
  return set == 0;
}
"""


def compiler_flags(instructions: str) -> list[str]:
    """The compiler's options for a set."""
    features = INSTRUCTION_SETS[instructions]
    # Only code that asks for it uses 512 bits: a load of so many waits for all the narrower stores behind it.
    narrow = ["-mprefer-vector-width=256"] if "avx512f" in features else []
    return [*(f"-m{feature}" for feature in features), *narrow]


def choose_instructions(wanted: str | None, compiler: str, cache: Path) -> str:
    """The set to compile for.

    Args:
        wanted: its name; None takes what the environment variable names, or else the best that this processor has.
        compiler: path of the compiler, which also compiles the question to the processor.
        cache: folder for compiled files.

    Returns:
        A key of ``INSTRUCTION_SETS`` that this processor can run.

    Raises:
        UserError: there is no such set, or this processor lacks it.
    """
    name = wanted or os.environ.get(VARIABLE) or ""
    if name == "generic":
        return name
    where = "" if wanted else f"environment variable {VARIABLE}"
    if name and name not in INSTRUCTION_SETS:
        known = ", ".join(INSTRUCTION_SETS)
        raise UserError(f"there is no instruction set {name!r}", where=where, fix=f"take one of {known}")
    available = available_instructions(compiler, cache)
    if name and name not in available:
        raise UserError(
            f"this processor cannot run instruction set {name!r}",
            where=where,
            why=f"it has {', '.join(available)}",
            fix="take one of these",
        )
    return name or available[-1]


@functools.cache
def available_instructions(compiler: str, cache: Path) -> tuple[str, ...]:
    """Names of the sets that the processor which executes this process has, slowest first.

    Args:
        compiler: path of the compiler.
        cache: folder for compiled files.

    Raises:
        UserError: the compiler fails, or the cache cannot be written.
    """
    cases = []
    for number, features in enumerate(INSTRUCTION_SETS.values()):
        has = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in features)
        cases.append(f"    case {number}: return {has or '1'};")
    source = _PROBE % "\n".join(cases)

    def make(output: Path) -> None:
        text = output.with_name("processor.cpp")
        text.write_text(source, encoding="ascii")
        done = call([compiler, "-shared", "-fPIC", str(text), "-o", str(output)])
        require(done, "compiling the simulator failed", output, fix="install a working g++ (version 9 or newer)")

    name = checksum([compiler, compiler_identity(compiler, ()), source])
    path = cached(cache / f"processor-{name}.so", make)
    try:
        runs = ctypes.CDLL(str(path)).sliceflow_runs
    except (OSError, AttributeError) as error:
        raise UserError(
            "the compiled question for the processor's instructions cannot be loaded",
            where=str(path),
            why=str(error),
            fix="delete that file, so that it is compiled again",
        ) from error
    return tuple(name for number, name in enumerate(INSTRUCTION_SETS) if runs(number))
