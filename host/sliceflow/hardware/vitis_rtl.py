"""Recipe that packages the SystemVerilog kernel as a Vitis RTL kernel (``.xo``), rendered from a profile.

It is written from the tools' documented interface and has not been run with them. Vivado's IP packager takes no
SystemVerilog as a top level, so the recipe has a Verilog module of the kernel's name around it, which also fixes the
parameters; the kernel's own top module goes by another name there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from sliceflow.errors import InternalError, UserError
from sliceflow.hardware import register_map
from sliceflow.hardware.kernel import TOP, rtl_folder, rtl_parameters, rtl_sources
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.vitis import UNTESTED, Target, link_command, link_config, write_files

CORE = f"{TOP}_core"
"""Name of the kernel's top module inside the wrapper."""
SCRIPT = "package_kernel.tcl"
OPTIONS = {"PACK": 1, "LUT_TAPS": 9, "LANE_MULTIPLIERS": 1}
"""Parameters that a user may set, with their largest values (hls/rtl/README.md, Parameters)."""
MEMORY_PORTS = {
    "program": "m_axi_program",
    "weights": "m_axi_weights",
    "act_in": "m_axi_in",
    "act_add": "m_axi_add",
    "act_out": "m_axi_out",
}
"""Memory port of each pointer argument."""
_PORT = re.compile(r"^\s+(input|output)\s+logic\s*(\[[^\]]*\])?\s*(\w+),?(?:\s*//.*)?$", re.MULTILINE)


def write_rtl_recipe(
    profile: Profile, target: Target, folder: Path, options: Mapping[str, int] | None = None
) -> list[Path]:
    """Write everything that packaging needs into a folder: sources, wrapper, Tcl script, shell script.

    Args:
        profile: the accelerator.
        target: what to build for.
        folder: made if it does not exist.
        options: values of some of ``OPTIONS``.

    Returns:
        The files written.

    Raises:
        UserError: the kernel does not exist for the profile or an option, or the folder cannot be written.
    """
    parameters = rtl_parameters(profile) | checked_options(options or {})
    sources = {f"src/{path.name}": path.read_text(encoding="utf-8") for path in rtl_sources() if path.stem != TOP}
    top = (rtl_folder() / f"{TOP}.sv").read_text(encoding="utf-8")
    texts = sources | {
        f"src/{CORE}.sv": _renamed(top),
        f"src/{TOP}.v": wrapper(top, parameters),
    }
    texts[SCRIPT] = package_script(profile, target, list(texts))
    texts["build.sh"] = package_build_script(target)
    if target.platform:
        texts["link.cfg"] = link_config(profile)
    return write_files(texts, folder)


def checked_options(options: Mapping[str, int]) -> dict[str, int]:
    """The options, if the kernel has them with these values.

    Raises:
        UserError: it has not.
    """
    for name, value in options.items():
        if name not in OPTIONS:
            raise UserError(f"the kernel has no option {name!a}", fix=f"the options are {', '.join(OPTIONS)}")
        if not 0 <= value <= OPTIONS[name]:
            raise UserError(f"{name} must lie in 0..{OPTIONS[name]}, not {value}")
    return dict(options)


def top_ports(source: str) -> list[tuple[str, str, str]]:
    """Direction, range (may be empty) and name of every port of the top module, from its source."""
    header = source[source.index(") (") : source.index("\n);")]
    ports = [(match[1], match[2] or "", match[3]) for match in _PORT.finditer(header)]
    lines = [line for line in header.splitlines()[1:] if not line.strip().startswith("//")]
    if len(ports) != len(lines):
        raise InternalError(f"{len(lines) - len(ports)} ports of {TOP}.sv are written in another way")
    return ports


def wrapper(source: str, parameters: Mapping[str, int]) -> str:
    """The Verilog module around the kernel: its ports, and its parameters for a profile.

    Args:
        source: text of the kernel's top module.
        parameters: value by name.
    """
    ports = top_ports(source)
    declared = ",\n".join("    " + " ".join(filter(None, (way, "wire", bits, name))) for way, bits, name in ports)
    values = ",\n".join(f"      .{name}({value})" for name, value in parameters.items())
    wires = ",\n".join(f"      .{name}({name})" for _, _, name in ports)
    return "\n".join(
        [
            "// SPDX-License-Identifier: Apache-2.0",
            f"// Rendered from {TOP}.sv and a profile; do not edit. Verilog, because the IP packager wants it so.",
            f"module {TOP} (",
            declared,
            ");",
            f"  {CORE} #(",
            values,
            "  ) i_core (",
            wires,
            "  );",
            "endmodule",
            "",
        ]
    )


def package_script(profile: Profile, target: Target, sources: list[str]) -> str:
    """``package_kernel.tcl`` of ``vivado -mode batch -source``: from sources to ``sliceflow_kernel.xo``."""
    core = "[ipx::current_core]"
    lines = [
        f"# Rendered from profile {profile.name}; do not edit. {UNTESTED}",
        f"create_project -force package project -part {target.part}",
        "add_files -norecurse [list \\",
        *(f"  {name} \\" for name in sources),
        "]",
        f"set_property top {TOP} [current_fileset]",
        "update_compile_order -fileset sources_1",
        "",
        "ipx::package_project -root_dir ip -vendor sliceflow -library kernel -taxonomy /KernelIP -import_files -force",
        f"set core {core}",
        "set_property sdx_kernel true $core",
        "set_property sdx_kernel_type rtl $core",
        "set_property vitis_drc {ctrl_protocol ap_ctrl_hs} $core",
        "set_property ipi_drc {ignore_freq_hz true} $core",
        "set_property supported_families {} $core",
        "set_property auto_family_support_level level_2 $core",
        "",
        *(
            f"ipx::associate_bus_interfaces -busif {name} -clock ap_clk $core"
            for name in ("s_axi_control", *MEMORY_PORTS.values())
        ),
        "ipx::associate_bus_interfaces -clock ap_clk -reset ap_rst_n $core",
        "",
        *_registers(),
        "",
        "ipx::create_xgui_files $core",
        "ipx::update_checksums $core",
        "ipx::check_integrity -kernel $core",
        "ipx::save_core $core",
        "close_project",
        f"package_xo -force -xo_path {TOP}.xo -kernel_name {TOP} -ip_directory ip -ctrl_protocol ap_ctrl_hs",
        "",
    ]
    return "\n".join(lines)


def _registers() -> list[str]:
    """The register map: the arguments at their offsets, those that are pointers with the port that they are for."""
    fixed = {
        "CTRL": register_map.CONTROL,
        "GIER": register_map.INTERRUPT_GLOBAL,
        "IP_IER": register_map.INTERRUPT_ENABLE,
        "IP_ISR": register_map.INTERRUPT_STATUS,
    }
    scalars = {"first": register_map.FIRST, "count": register_map.COUNT, "status": register_map.STATUS}
    lines = [
        "set map [ipx::add_memory_map -quiet s_axi_control $core]",
        "set_property slave_memory_map_ref s_axi_control [ipx::get_bus_interfaces s_axi_control -of_objects $core]",
        "set block [ipx::add_address_block -quiet reg0 $map]",
        f"set_property range {1 << register_map.ADDRESS_BITS} $block",
        "set_property width 32 $block",
        "proc add_register {block name offset bits} {",
        "  set register [ipx::add_register $name $block]",
        "  set_property address_offset $offset $register",
        "  set_property size $bits $register",
        "  return $register",
        "}",
        "# Every further register is an argument of the kernel. The debug registers "
        f"({register_map.DEBUG[0]:#04x}) and the clock log ({register_map.LOG:#06x}) are read by address.",
        *(f"add_register $block {name} {offset:#04x} 32" for name, offset in fixed.items()),
    ]
    for name, offset in register_map.POINTERS.items():
        lines += [
            f"set register [add_register $block {name} {offset:#04x} 64]",
            f"set_property value {MEMORY_PORTS[name]} [ipx::add_register_parameter ASSOCIATED_BUSIF $register]",
        ]
    return lines + [f"add_register $block {name} {offset:#04x} 32" for name, offset in scalars.items()]


def package_build_script(target: Target) -> str:
    """The shell script that packages the kernel and links it if there is a platform."""
    lines = [
        "#!/usr/bin/env bash",
        f"# {UNTESTED}",
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")"',
        f"vivado -mode batch -nojournal -nolog -source {SCRIPT}",
    ]
    return "\n".join([*lines, *link_command(target), ""])


def find_packager() -> str | None:
    """Path of the vendor's IP packager on this machine, ``vivado``, or None."""
    return shutil.which("vivado")


def _renamed(top: str) -> str:
    renamed, count = re.subn(rf"^module {TOP}$", f"module {CORE}", top, flags=re.MULTILINE)
    if count != 1:
        raise InternalError(f"{TOP}.sv declares its module in another way")
    return renamed
