"""Lint of the SystemVerilog kernel: names, Verilator -Wall and slang -Wextra, over widths and options.

usage: .venv/bin/python scripts/lint_rtl.py

Names: one module or package a file, called as the file; ports end in _i or _o by their direction, those of the top
are AXI's and Vitis'. Verilator and slang elaborate the whole kernel for every configuration; every warning counts.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pyslang import TextDiagnosticClient, ast, driver, parsing, syntax

from sliceflow.devices.rtl.verilator import Verilator, find_verilator
from sliceflow.errors import SliceflowError
from sliceflow.hardware import serial_system
from sliceflow.hardware.kernel import TOP, rtl_folder, rtl_parameters
from sliceflow.hardware.profile import Profile

_TOP_PORT = re.compile(
    r"ap_clk|ap_rst_n|interrupt"
    r"|s_axi_control_(aw|w|b|ar|r)(valid|ready|addr|data|strb|resp)"
    r"|m_axi_(program|weights|in|add|out)_(aw|w|b|ar|r)"
    r"(valid|ready|addr|id|len|size|burst|lock|cache|prot|qos|data|strb|last|resp)"
)
_PROFILES = ("int8-2x2", "int8-4x8", "int8-8x8", "int8-16x16", "int8-32x32", "w4a8-8x8", "w8a16-8x8")
_OPTIONS = {"PACK": 0, "LUT_TAPS": 3, "LANE_MULTIPLIERS": 1}
_SLANG = ("-Wextra", "-Wno-useless-cast")
"""A cast is needed for some parameters and changes nothing for others."""
_VERILATOR = ("--lint-only", "-Wall", "--replication-limit", "0")
"""A vector of a block of weights is wide, which the default limit takes for a mistake."""
_TIMEOUT = 600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configuration:
    """What to elaborate.

    Attributes:
        name: for messages.
        parameters: of the top module.
        top: its name.
        synthesis: the multiplier array as it is synthesized, not its fast form for simulators.
    """

    name: str
    parameters: dict[str, int]
    top: str = TOP
    synthesis: bool = False


def configurations() -> list[Configuration]:
    """Every profile, the options one by one and all at once, and what synthesis sees."""
    small = rtl_parameters(Profile.load("int8-2x2"))
    found = [Configuration(name=name, parameters=rtl_parameters(Profile.load(name))) for name in _PROFILES]
    found += [Configuration(name=f"{key}={value}", parameters=small | {key: value}) for key, value in _OPTIONS.items()]
    found.append(Configuration(name="all options", parameters=small | _OPTIONS, synthesis=True))
    found += [dataclasses.replace(entry, name=f"{entry.name}, synthesized", synthesis=True) for entry in found[:3]]
    serial = serial_system.system_parameters(Profile.load("ecp5-2x2"), divisor=25)
    found.append(Configuration(name="ulx3s", parameters=serial, top="ulx3s", synthesis=True))
    return found


def lint_names(files: Iterable[Path]) -> list[str]:
    """Files that do not hold exactly the module or package of their name, and ports named against their direction."""
    found = []
    for path in files:
        tree = syntax.SyntaxTree.fromFile(str(path))
        units = tree.root.members if tree.root.kind == syntax.SyntaxKind.CompilationUnit else [tree.root]
        named = [unit for unit in units if hasattr(unit, "header")]
        names = [unit.header.name.valueText for unit in named]
        if names != [path.stem]:
            found.append(f"{path.name}: must hold one module or package called {path.stem}, not {', '.join(names)}")
        for unit in named:
            found += [f"{path.name}: {problem}" for problem in _port_problems(unit, is_top=path.stem == TOP)]
    return found


def _port_problems(unit: syntax.ModuleDeclarationSyntax, *, is_top: bool) -> Iterable[str]:
    endings = {parsing.TokenKind.InputKeyword: "_i", parsing.TokenKind.OutputKeyword: "_o"}
    ports = unit.header.ports
    for port in ports.ports if ports is not None else ():
        if not isinstance(port, syntax.ImplicitAnsiPortSyntax):
            continue
        name, ending = port.declarator.name.valueText, endings.get(port.header.direction.kind)
        if ending is None:
            yield f"port {name} must say input or output"
        elif is_top and not _TOP_PORT.fullmatch(name):
            yield f"port {name} is none of AXI or Vitis"
        elif not is_top and not name.endswith(ending):
            yield f"port {name} must end in {ending}"


def elaborate(
    files: Sequence[Path], top: str, parameters: dict[str, int], *, options: Sequence[str] = ()
) -> tuple[ast.Compilation, str]:
    """Elaborate a design with slang.

    Returns:
        The design, and the text of all diagnostics: empty if there is no warning and no error.
    """
    arguments = ["slang", "--threads", "1", "--top", top, *_SLANG, *options]
    for name, value in parameters.items():
        arguments += ["-G", f"{name}={value}"]
    run = driver.Driver()
    run.addStandardArgs()
    line = shlex.join([*arguments, *map(str, files)])
    if not run.parseCommandLine(line, driver.CommandLineOptions()) or not run.processOptions():
        raise ValueError(f"slang refuses its options: {line}")
    run.parseAllSources()
    text = TextDiagnosticClient()
    run.diagEngine.clearClients()  # the driver's own would print
    run.diagEngine.addClient(text)
    compilation = run.createCompilation()
    run.reportCompilation(compilation, True)
    run.runAnalysis(compilation)  # of drivers and latches
    return compilation, text.getString()


def lint_slang(files: Sequence[Path], top: str, configuration: Configuration) -> str:
    """What slang says of a design; empty if nothing."""
    options = [] if configuration.synthesis else ["-D", "VERILATOR"]
    return elaborate(files, top, configuration.parameters, options=options)[1]


def lint_verilator(verilator: Verilator, files: Sequence[Path], top: str, configuration: Configuration) -> str:
    """What Verilator says of a design; empty if nothing."""
    command = [str(verilator.program), *_VERILATOR, *["-UVERILATOR"] * configuration.synthesis, "--top-module", top]
    command += [f"-G{name}={value}" for name, value in configuration.parameters.items()]
    done = subprocess.run(
        [*command, *map(str, files)],
        env=verilator.environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    return done.stderr if done.returncode or "%Warning" in done.stderr else ""


def kernel_files() -> list[Path]:
    """All SystemVerilog files of the kernel and of the system around it, packages first."""
    files = [*sorted(rtl_folder().glob("*.sv")), *sorted((rtl_folder() / "serial").glob("*.sv"))]
    return sorted(files, key=lambda path: not path.stem.endswith("_pkg"))


def board_files() -> list[Path]:
    """Top modules of boards; their ports are called as the boards' pins."""
    return sorted((Path(__file__).parents[1] / "bitstreams").glob("*/*.sv"))


def main() -> int:
    """Print the findings; 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    files = [*kernel_files(), *board_files()]
    try:
        verilator = find_verilator()
        checked = configurations()
    except SliceflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    findings = lint_names(kernel_files())
    for configuration in checked:
        for tool, text in (
            ("Verilator", lint_verilator(verilator, files, configuration.top, configuration)),
            ("slang", lint_slang(files, configuration.top, configuration)),
        ):
            findings += [f"{tool}, {configuration.name}:\n{text}"] * bool(text)
    for finding in findings:
        print(finding)
    print(f"{len(files)} files, {len(checked)} configurations, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
