"""Mutated descriptors: valid random layers with one or two words changed, and what must happen to them.

A mutant that breaks a rule, or has a strip too big, is refused with that status by every kernel. One that the host's
guard takes leaves the reference's integers. One that only the guard refuses, since it leaves its memories, is given to
the RTL alone: memory answers with an error, and it must end all the same. After a base's mutants the base runs right.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from sliceflow.devices.status import ABORTED, MEMORY, STUCK, TOO_BIG, layer_status
from sliceflow.errors import SliceflowError, UserError
from sliceflow.graph.descriptor import BYTES, Descriptor
from sliceflow.graph.validate import validate_parameters, validate_program
from sliceflow.hardware.cycles import predict
from sliceflow.hardware.profile import Profile
from sliceflow.reference.machine import execute
from tests.support.random_program import Case, random_layer

_FIELDS = len(dataclasses.fields(Descriptor))
_LONGEST = 4000
Run = Callable[[Case, np.ndarray], None]
"""Executes a case's one layer on a copy of its activations; raises as devices do."""


def base(seed: int, profile: Profile) -> Case:
    """The first small valid layer from a seed on."""
    for offset in range(1000):
        case = random_layer(1000 * seed + offset, profile)
        if predict(case.descriptor, profile).predicted <= _LONGEST:
            return case
    raise ValueError(f"no small layer at seed {seed}")


def mutants(case: Case, rng: random.Random, count: int) -> Iterator[Case]:
    """The case with other descriptors: one or two words changed, or two words exchanged."""
    for _ in range(count):
        words = np.frombuffer(case.descriptor.encode(), "<u4").copy()
        if rng.random() < 0.15:
            first, second = rng.sample(range(1, _FIELDS + 1), 2)
            words[[first, second]] = words[[second, first]]
        else:
            for index in rng.sample(range(1, _FIELDS + 1), rng.choice((1, 1, 2))):
                words[index] = _value(int(words[index]), rng)
        program = case.program.copy()
        program[:BYTES] = words.view(np.uint8)
        yield dataclasses.replace(case, descriptors=(Descriptor.decode(words.tobytes()),), program=program)


def _value(old: int, rng: random.Random) -> int:
    near = rng.choice((-2, -1, -1, 1, 1, 2))
    choices = (0, old + near, old + near, 1 << rng.randrange(32), 0xFFFF_FFFF, 0xFFFF, old * 2, rng.getrandbits(32),
               rng.randrange(1, 20))  # fmt: skip
    return rng.choice(choices) & 0xFFFF_FFFF


def judge(case: Case, csim: Run, rtl: Run | None) -> str:
    """Give a mutant to the kernels.

    Returns:
        What became of it: ``refused``, ``computed``, or ``outside`` with the RTL's status.

    Raises:
        AssertionError: kernels differ, or one does not end.
    """
    code = layer_status(case.descriptor, case.profile)
    if code:
        for run in filter(None, (csim, rtl)):
            memory = case.activations.copy()
            assert status(run, case, memory) == code, case.describe()
            assert code == TOO_BIG or np.array_equal(memory, case.activations), case.describe()
        return "refused"
    try:
        validate_program(case.descriptors, case.profile, case.program.size, case.weights.size, case.activation_words)
        validate_parameters(case.descriptors, case.profile, case.program)
    except UserError:
        if rtl is None:
            return "outside"
        found = status(rtl, case, case.activations.copy())
        assert found in (0, MEMORY, ABORTED), (found, case.describe())
        return f"outside, status {found}"
    right = case.activations.copy()
    with np.errstate(all="ignore"):
        execute(case.descriptor, case.profile, case.program, case.weights, right)
    for run in filter(None, (csim, rtl)):
        memory = case.activations.copy()
        assert status(run, case, memory) == 0, case.describe()
        assert np.array_equal(memory, right), case.describe()
    return "computed"


def status(run: Run, case: Case, memory: np.ndarray) -> int:
    """The code with which a kernel ends; -1 for anything else."""
    try:
        run(case, memory)
    except SliceflowError as error:
        if match := re.search(r"rule (\d+):", error.why):
            return int(match[1])
        known = {"on-chip buffers": TOO_BIG, "memory port": MEMORY, "given the launch up": ABORTED, "moved": STUCK}
        found = [code for text, code in known.items() if text in error.why]
        return found[0] if found else ABORTED if "ready for the next" in error.fix else -1
    return 0


def judge_many(seeds: range, profile: Profile, count: int, csim: Run, rtl: Run | None) -> Counter[str]:
    """Mutants of the bases of some seeds; after each base's mutants the base itself must run right."""
    outcomes = Counter[str]()
    for seed in seeds:
        case = base(seed, profile)
        rng = random.Random(seed)
        for mutant in mutants(case, rng, count):
            outcomes[judge(mutant, csim, rtl)] += 1
            if rtl is not None and rng.random() < 0.1:
                assert judge(case, csim, rtl) == "computed"
        assert judge(case, csim, rtl) == "computed"
    return outcomes
