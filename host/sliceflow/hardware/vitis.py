"""Recipes that build the kernel with AMD's Vitis tools, rendered from a profile.

They are written from the tools' documented interface and have not been run with the tools themselves. Two styles, for
two generations of the tool: a Tcl script for ``vitis_hls -f``, and a configuration for ``v++ -c --mode hls`` and
``vitis-run --mode hls`` (2023.1 and newer). A test compiles and runs the written sources as the tools' C simulation
does, with the open ap_int headers.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from sliceflow.errors import UserError
from sliceflow.files import atomic_file
from sliceflow.hardware.kernel import CONFIG_HEADER, TOP, render_config, source_folder
from sliceflow.hardware.profile import Profile

UNTESTED = "Not yet run with the vendor's tools."
_FLAGS = "-std=c++14 -DSLICEFLOW_VENDOR -DSLICEFLOW_AP_TYPES -Isrc"
"""Compiler flags: the vendor's streams and integers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What to build for.

    Attributes:
        part: the device, as the tools name it.
        platform: platform of the link step (``.xpfm`` or its name); empty to stop at the kernel object.

    Raises:
        UserError: a name could not stand in a script.
    """

    part: str = "xcu200-fsgd2104-2-e"
    platform: str = ""

    def __post_init__(self) -> None:
        for key, value in dataclasses.asdict(self).items():
            if value and not all(letter.isalnum() or letter in "-_./:" for letter in value):
                raise UserError(f"{key} must be letters, digits and -_./:, not {value!r}")


def write_recipe(profile: Profile, target: Target, folder: Path) -> list[Path]:
    """Write everything that a build needs into a folder: sources, configuration header and both recipes.

    Args:
        profile: the accelerator.
        target: what to build for.
        folder: made if it does not exist.

    Returns:
        The files written.

    Raises:
        UserError: the folder cannot be written.
    """
    sources = source_folder()
    texts = {
        f"src/{path.relative_to(sources).as_posix()}": path.read_text(encoding="utf-8")
        for path in sorted([*sources.glob("*.h"), *sources.glob("*.cpp")])
    }
    texts[f"src/{CONFIG_HEADER}"] = render_config(profile)
    texts["hls_config.cfg"] = hls_config(profile, target)
    texts["run_hls.tcl"] = hls_script(profile, target)
    texts["build.sh"] = build_script(target)
    if target.platform:
        texts["link.cfg"] = link_config(profile)
    return write_files(texts, folder)


def hls_config(profile: Profile, target: Target) -> str:
    """``hls_config.cfg`` of ``v++ -c --mode hls``."""
    return "\n".join(
        [
            f"# Rendered from profile {profile.name}; do not edit. {UNTESTED}",
            f"part={target.part}",
            "",
            "[hls]",
            f"syn.top={TOP}",
            "syn.file=src/kernel.cpp",
            f"syn.cflags={_FLAGS}",
            "tb.file=src/testbench.cpp",
            f"tb.cflags={_FLAGS}",
            "csim.code_analyzer=0",
            f"clock={profile.mhz:g}MHz",
            "flow_target=vitis",
            "syn.interface.m_axi_addr64=1",
            f"syn.interface.m_axi_latency={profile.read_latency}",
            "syn.compile.pipeline_style=flp",
            "package.output.format=xo",
            "",
        ]
    )


def hls_script(profile: Profile, target: Target) -> str:
    """``run_hls.tcl`` of ``vitis_hls -f``. ``SLICEFLOW_CASES`` in the environment names the test bench's cases."""
    return "\n".join(
        [
            f"# Rendered from profile {profile.name}; do not edit. {UNTESTED}",
            f"open_project -reset {TOP}",
            f"set_top {TOP}",
            f'add_files src/kernel.cpp -cflags "{_FLAGS}"',
            f'add_files -tb src/testbench.cpp -cflags "{_FLAGS}"',
            "open_solution -reset solution -flow_target vitis",
            f"set_part {{{target.part}}}",
            f"create_clock -period {1000 / profile.mhz:.3f} -name default",
            f"config_interface -m_axi_addr64 -m_axi_latency {profile.read_latency}",
            "config_compile -pipeline_style flp",
            "if {[info exists ::env(SLICEFLOW_CASES)]} {",
            "  csim_design -argv $::env(SLICEFLOW_CASES)",
            "}",
            "csynth_design",
            f"export_design -format xo -output {TOP}.xo",
            "exit",
            "",
        ]
    )


def write_files(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files below a folder, each beside its place and then renamed.

    Raises:
        UserError: the folder cannot be written.
    """
    written = []
    try:
        for name, text in texts.items():
            path = folder / name
            with atomic_file(path) as stream:
                stream.write(text.encode())
            written.append(path)
    except OSError as error:
        raise UserError("the recipe cannot be written", where=str(folder), why=str(error)) from error
    return written


def link_config(profile: Profile) -> str:
    """``link.cfg`` of ``v++ -l``: one instance, at the profile's clock."""
    return "\n".join(
        [
            f"# Rendered from profile {profile.name}; do not edit. {UNTESTED}",
            "[connectivity]",
            f"nk={TOP}:1:{TOP}_1",
            "",
            "[clock]",
            f"freqHz={round(profile.mhz * 1e6)}:{TOP}_1.ap_clk",
            "",
        ]
    )


def build_script(target: Target) -> str:
    """The shell script that runs whichever tool is there."""
    lines = [
        "#!/usr/bin/env bash",
        f"# {UNTESTED}",
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"',
        "if command -v v++ >/dev/null; then",
        "  v++ -c --mode hls --config hls_config.cfg --work_dir hls",
        "  find hls -name '*.xo' -exec cp {} " + f"{TOP}.xo" + " ';'",
        "else",
        "  vitis_hls -f run_hls.tcl",
        "fi",
    ]
    return "\n".join([*lines, *link_command(target), ""])


def link_command(target: Target) -> list[str]:
    """The lines of a shell script that link the kernel object for the platform, if there is one."""
    platform = shlex.quote(target.platform)
    command = f"v++ -l -t hw --platform {platform} --config link.cfg {TOP}.xo -o {TOP}.xclbin"
    return [command] if target.platform else []


def find_tool() -> str | None:
    """The vendor's compiler on this machine: path of ``v++`` or ``vitis_hls``, or None."""
    return shutil.which("v++") or shutil.which("vitis_hls")
