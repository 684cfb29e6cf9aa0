"""Programs that lie behind correct checksums and pass the guard: the kernel runs them as the reference does."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scripts.fuzzing.hostile_artifacts import descriptor_words, memory_content
from sliceflow.devices.cache import default_cache
from sliceflow.devices.csim import BuildOptions, build_testbench
from sliceflow.devices.csim.cases import Case, write_cases
from sliceflow.devices.reference import ReferenceDevice
from sliceflow.errors import UserError
from sliceflow.frontend import load_model
from sliceflow.graph.artifact import load_program, save_program
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from tests.support.artifact_fuzz import flip_memory_bit
from tests.support.random_network import quantize_with_onnxruntime, random_network

MUTANTS = 120
MUTATIONS = (descriptor_words, descriptor_words, memory_content, flip_memory_bit)


def artifacts(folder: Path, profile: Profile) -> list[Path]:
    made = []
    for seed in (0, 1, 2):
        rng = np.random.default_rng(seed)
        model = random_network(rng)
        if not profile.is_float:
            model = quantize_with_onnxruntime(model, rng, str(folder), unsigned=True, per_channel=True, symmetric=False)
        program = compile_model(load_model(model), profile, name="hostile", source_sha256="0" * 64, keep_islands=True)
        save_program(program, folder / f"{seed}")
        made.append(folder / f"{seed}")
    return made


def expected(program: Program, seed: int) -> Case:
    """A launch of the whole program from random activations, and what the reference makes of it."""
    rng = np.random.default_rng(seed)
    size = program.activation_bytes
    before = rng.integers(0, 256, size, dtype=np.uint8)
    if program.profile.is_float:
        before = rng.standard_normal(size // 4).astype("<f4").view(np.uint8)
    device = ReferenceDevice()
    device.load(program)
    device.write(0, before.tobytes())
    count = len(program.descriptors)
    device.launch(0, count)
    after = np.frombuffer(device.read(0, size), np.uint8)
    return Case(program=program.program, weights=program.weights, before=before, after=after, count=count)


def accepted(folder: Path, profile: Profile) -> dict[str, Case]:
    """Mutants that the guard lets pass, by the number of the mutant."""
    sound = artifacts(folder, profile)
    cases = {}
    for number in range(MUTANTS):
        chance = random.Random(number)
        damaged = folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(chance.choice(sound), damaged)
        chance.choice(MUTATIONS)(damaged, chance)
        try:
            program = load_program(damaged)
        except UserError:
            continue
        if program.activation_bytes < 1 << 20:
            cases[f"mutant{number}"] = expected(program, number)
    return cases


@pytest.mark.parametrize("name", ["int8-8x8", "fp32-4x4"])
def test_accepted_mutants_run_cleanly_under_sanitizers(tmp_path, name):
    profile = Profile.load(name)
    cases = accepted(tmp_path, profile)
    assert len(cases) >= 20, "too few mutants pass the guard to say anything"
    write_cases(tmp_path / "cases", cases)
    options = BuildOptions(
        optimize=("-O1",), instructions="generic", sanitize=("address", "undefined"), check_streams=True
    )
    bench = build_testbench(profile, cache=default_cache(), options=options)
    result = subprocess.run([bench, tmp_path / "cases"], capture_output=True, text=True, check=False, timeout=300)
    assert result.stderr == ""
    passed, failed = (int(word) for word in result.stdout.splitlines()[-1].replace(",", "").split()[::2])
    assert passed + failed == len(cases), result.stdout
    if not profile.is_float:
        assert failed == 0, result.stdout
    # Random float weights may overflow; then the order of the sums decides what comes out (docs/numerics.md).
    assert failed <= len(cases) // 10
