"""What is needed to repeat a study: what its results depend on, and where it ran."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sliceflow.hardware.profile import Profile
from sliceflow.machine import cores, cpu_model
from sliceflow.pruning.recipes.recipe import Recipe
from sliceflow.pruning.recipes.sources import build_model
from sliceflow.pruning.training import fingerprint
from sliceflow.pruning.training.task import Task
from sliceflow.study.sections import DeploySection, StudySection
from sliceflow.version import version

_PACKAGES = ("torch", "torch-pruning", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def identity(
    recipe: Recipe, study: StudySection, deploy: DeploySection, profile: Profile, task: Task
) -> dict[str, Any]:
    """What the results depend on, as plain data.

    Args:
        recipe: as written.
        study: its section with all defaults.
        deploy: its section with all defaults.
        profile: the accelerator.
        task: the data.
    """
    document = {
        "recipe": {**recipe.to_json(), "deploy": dataclasses.asdict(deploy), "study": dataclasses.asdict(study)},
        "profile": dataclasses.asdict(profile),
        "data": {"sha256": fingerprint.of_task(task)},
        "network": {"sha256": fingerprint.of_model(build_model(recipe, seed=study.seeds[0]))},
        "sliceflow": version(),
        "packages": {name: _installed(name) for name in _PACKAGES},
    }
    return dict(json.loads(json.dumps(document)))  # tuples become lists, as they are when it is read back


def run_facts(command: Sequence[str]) -> dict[str, Any]:
    """When, where and how a run happens.

    Args:
        command: what the user typed.
    """
    return {
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": list(command),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu": cpu_model(),
        "cores": cores(),
    }


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this package's source, marked if it was changed since; None if it is not in a checkout."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(call, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
