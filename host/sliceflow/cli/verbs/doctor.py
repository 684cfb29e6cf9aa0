"""``sliceflow doctor``: what is installed and what that means."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sliceflow.cli import options, output
from sliceflow.errors import UserError
from sliceflow.machine import cpu_model
from sliceflow.report.tables import Table

if TYPE_CHECKING:
    from sliceflow.toolchain import Tool


def doctor(json: options.Json = False, verbose: options.Verbose = False) -> None:
    """Say what is installed, what is missing, and how to get it."""
    from sliceflow.devices.base import device_names
    from sliceflow.hardware.profile import Profile
    from sliceflow.toolchain import examine
    from sliceflow.version import version

    tools = examine()
    kernels = _kernels()
    document: dict[str, Any] = {
        "sliceflow": version(),
        "tools": [dataclasses.asdict(tool) for tool in tools],
        "integer_kernels": kernels,
        "devices": device_names(),
        "profiles": Profile.names(),
    }
    output.result(document, lambda: _print(tools, document))


def _kernels() -> dict[str, Any]:
    from sliceflow.kernel_probe import probe_kernels

    try:
        found = probe_kernels()
    except (UserError, ImportError) as error:
        return {"exact": None, "told": f"not known: {error}"}
    return {"exact": found.exact, "expected": found.expected, "got": found.got, "told": found.told()}


def _print(tools: list[Tool], document: dict[str, Any]) -> None:
    content = Table(f"Sliceflow {document['sliceflow']}", ("tool", "", "version", "needed for", "how to get it"))
    for tool in tools:
        content.add(
            tool.name, "ok" if tool.found else "--", tool.version, tool.needed_for, "" if tool.found else tool.fix
        )
    output.table(content)
    output.line(f"ONNX Runtime's integer kernels on {cpu_model()}: {document['integer_kernels']['told']}")
    for key in ("devices", "profiles"):
        output.line(f"{key}: {', '.join(document[key])}")
