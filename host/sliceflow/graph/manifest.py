"""The typed content of an artifact's ``manifest.json``: a program without its memories."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.graph.plain import from_plain, refuse
from sliceflow.graph.program import (
    CpuStep,
    FpgaStep,
    Layer,
    Program,
    Step,
    Tensor,
    TransformStep,
    Value,
    decode_descriptors,
)
from sliceflow.hardware.profile import Profile

SOURCES = ("fp32", "int8")
"""Models that an artifact may carry for comparisons."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Size and checksum of a file."""

    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepEntry:
    """A step; one of the three is set."""

    transform: TransformStep | None
    cpu: CpuStep | None
    fpga: FpgaStep | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """All of a program that is not bulk data.

    Fields are as in ``Program``, and:

    Attributes:
        descriptors: descriptors at the start of the program memory.
        cpu_models: the file of each CPU sub-model, by its key.
        files: every file of the artifact but the manifest.
    """

    name: str
    source_sha256: str
    profile: Profile
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    descriptors: int
    activation_words: int
    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    steps: tuple[StepEntry, ...]
    cpu_models: dict[str, str]
    files: dict[str, FileEntry]

    @classmethod
    def of(cls, program: Program, model_files: Mapping[str, str], files: Mapping[str, FileEntry]) -> Manifest:
        """The manifest of a program.

        Args:
            program: the program.
            model_files: the file of each CPU sub-model.
            files: size and checksum of each file.
        """
        return cls(
            name=program.name,
            source_sha256=program.source_sha256,
            profile=program.profile,
            inputs=program.inputs,
            outputs=program.outputs,
            descriptors=len(program.descriptors),
            activation_words=program.activation_words,
            tensors=tuple(program.tensors.values()),
            layers=program.layers,
            steps=tuple(_entry(step) for step in program.steps),
            cpu_models=dict(model_files),
            files=dict(files),
        )

    @classmethod
    def of_json(cls, document: dict[str, Any], where: str) -> Manifest:
        """Read plain data strictly.

        Raises:
            UserError: a key is unknown, missing or of the wrong type; the message has its path.
        """
        return from_plain(cls, document, f"{where}: $")


def _entry(step: Step) -> StepEntry:
    return StepEntry(
        transform=step if isinstance(step, TransformStep) else None,
        cpu=step if isinstance(step, CpuStep) else None,
        fpga=step if isinstance(step, FpgaStep) else None,
    )


def _step(entry: StepEntry, where: str) -> Step:
    found = [step for step in (entry.transform, entry.cpu, entry.fpga) if step is not None]
    if len(found) != 1:
        refuse(f"a step is a transform, cpu or fpga step, not {len(found)} of them", where)
    return found[0]


def to_program(
    manifest: Manifest, program: NDArray[np.uint8], weights: NDArray[np.uint8], models: dict[str, bytes], where: str
) -> Program:
    """Join a manifest and the memories.

    Raises:
        UserError: a descriptor is damaged, or a tensor is named twice.
    """
    tensors = {tensor.name: tensor for tensor in manifest.tensors}
    if len(tensors) != len(manifest.tensors):
        refuse("two tensors have the same name", where)
    return Program(
        name=manifest.name,
        source_sha256=manifest.source_sha256,
        profile=manifest.profile,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        tensors=tensors,
        layers=manifest.layers,
        steps=tuple(_step(entry, f"{where}: steps[{i}]") for i, entry in enumerate(manifest.steps)),
        descriptors=decode_descriptors(program, manifest.descriptors, manifest.profile),
        program=program,
        weights=weights,
        activation_words=manifest.activation_words,
        cpu_models=models,
    )
