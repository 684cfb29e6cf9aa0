"""The whole chain: train, prune, simplify, align, quantize, map, verify, with figures at each stage.

``sliceflow prune`` and then ``sliceflow deploy`` do the same without figures in between.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sliceflow.devices.base import open_device
from sliceflow.frontend import load_model
from sliceflow.graph.artifact import may_be_replaced, save_program
from sliceflow.hardware.profile import Profile
from sliceflow.pruning.recipes.delivery import deliver
from sliceflow.pruning.recipes.pipeline import Pruned, prune_recipe
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.training.run import Run
from sliceflow.runtime.verify import verify
from sliceflow.study.align import Aligner, align_pruned
from sliceflow.study.build import input_name
from sliceflow.study.export import exported
from sliceflow.study.judge import Accuracy, judge
from sliceflow.study.manifest import run_facts
from sliceflow.study.measure import Exam, Measured, Measurement, measure, predict
from sliceflow.study.naming import named
from sliceflow.study.sections import DeploySection, deploy_section, profile_of

logger = logging.getLogger(__name__)
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A network on its way.

    Attributes:
        name: of the stage that made it.
        says: what the stage did.
        measurement: the network as it left the stage, quantized and mapped for the figures of hardware.
    """

    name: str
    says: str
    measurement: Measurement


@dataclasses.dataclass(frozen=True)
class Chain:
    """What became of a network.

    Attributes:
        recipe: its plain data.
        deploy: the accelerator, and how the network was measured.
        manifest: when, where and how it was made.
        stages: networks in float, stage by stage.
        quantized: of the quantized network in ONNX Runtime, *measured*.
        verification: device against reference, see ``sliceflow.runtime.verify``.
    """

    recipe: dict[str, Any]
    deploy: DeploySection
    manifest: dict[str, Any]
    stages: list[Stage]
    quantized: Accuracy
    verification: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False)))


def run_chain(
    recipe: Recipe, folder: Path, *, command: Sequence[str] = (), training: Any = None, tell: Tell | None = None
) -> Chain:
    """Carry out the chain. A killed one goes on from its checkpoints.

    Args:
        recipe: with a section ``[deploy]``, or its defaults.
        folder: gets ``checkpoints``, ``pruned`` (what ``sliceflow prune`` writes) and ``artifact``.
        command: what the user typed.
        training: see ``Run.progress``.
        tell: called with each stage's name when it begins.

    Returns:
        The figures. A mismatch of device and reference is in them, and no error here.

    Raises:
        SliceflowError: a stage failed; the message names it.
    """
    deploy = deploy_section(recipe)
    profile = profile_of(recipe, deploy)
    artifact = folder / "artifact"
    if artifact.exists():
        may_be_replaced(artifact)
    tell = tell or (lambda name: logger.info("stage %s", name))
    run = Run(folder / "checkpoints", training)
    with _stage("prune", tell):
        pruned = prune_recipe(recipe, run)
    exam = Exam.of(pruned.task, recipe.export.calibration, recipe.export.evaluation)
    line = _Line(exam, profile, deploy, tell)
    example = pruned.task.example()
    line.add("trained", "before pruning", lambda: exported(_dense(pruned), example, simplified=False))
    says = f"{recipe.prune.method}; {pruned.outcome.masks.pruned:,} parameters are masked, and nothing was removed"
    line.add("pruned", says, lambda: exported(pruned.model, example, simplified=False))
    line.add("simplified", "what pruning made useless is gone", lambda: exported(pruned.model, example))
    with _stage("align", tell):
        aligned = align_pruned(pruned, Aligner(recipe, deploy, profile), run)
    line.add("aligned", aligned.aligned, lambda: exported(aligned.model, example))
    with _stage("export", tell):
        deliver(aligned, recipe, folder / "pruned")
    final = line.last
    with _stage("quantize", tell):
        name = input_name(load_model(final.built.model))
        quantized = judge(predict(final.built.model, name, exam.images, "quantized model"), exam.targets)
    with _stage("map", tell):
        save_program(final.built.program, artifact, {"fp32": final.model, "int8": final.built.model})
    with _stage("verify", tell):
        verification = _verify(final, deploy, exam)
    return Chain(recipe.to_json(), deploy, run_facts(command), line.stages, quantized, verification)


class _Line:
    """Measures network after network."""

    def __init__(self, exam: Exam, profile: Profile, deploy: DeploySection, tell: Tell) -> None:
        self._exam, self._profile, self._device, self._tell = exam, profile, deploy.device, tell
        self.stages: list[Stage] = []
        self.last: Measured

    def add(self, name: str, says: str, make: Callable[[], ir.Model]) -> None:
        with _stage(name, self._tell):
            self.last = measure(make(), self._exam, self._profile, name=name, device=self._device)
        self.stages.append(Stage(name, says, self.last.result))


@contextmanager
def _stage(name: str, tell: Tell) -> Iterator[None]:
    tell(name)
    with named(f"stage {name}"):
        yield


def _dense(pruned: Pruned) -> Any:
    """The network before pruning."""
    model = copy.deepcopy(pruned.model)
    model.load_state_dict(pruned.dense)
    return model


def _verify(final: Measured, deploy: DeploySection, exam: Exam) -> dict[str, Any]:
    program = final.built.program
    device = open_device(deploy.device, program, threads=1)
    try:
        found = verify(program, device, {program.inputs[0].name: exam.images[: deploy.verify]})
    finally:
        device.close()
    return found.to_json()
