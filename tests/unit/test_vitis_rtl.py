"""The recipe that packages the RTL kernel, against the sources and the README's table of registers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sliceflow.errors import UserError
from sliceflow.hardware import register_map
from sliceflow.hardware.kernel import TOP, rtl_folder, rtl_parameters
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.vitis import Target
from sliceflow.hardware.vitis_rtl import CORE, MEMORY_PORTS, top_ports, write_rtl_recipe

ROOT = Path(__file__).resolve().parents[2]
PROFILE = Profile.load("int8-4x8")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    write_rtl_recipe(PROFILE, Target(part="xczu7ev-ffvc1156-2-e", platform="zcu"), folder, {"LUT_TAPS": 3})
    return folder


@pytest.fixture(scope="module")
def script(recipe):
    return (recipe / "package_kernel.tcl").read_text(encoding="utf-8")


def declared(script):
    """Offset and size of each register that the script declares."""
    found = re.findall(r"add_register \$block (\w+) (0x[0-9a-f]+) (\d+)", script)
    assert len(found) == len({name for name, _, _ in found})
    return {name: (int(offset, 16), int(size)) for name, offset, size in found}


def source_offsets():
    """Offset of each register of s_axi_control.sv, by its name there."""
    text = (rtl_folder() / "s_axi_control.sv").read_text(encoding="utf-8")
    found = re.findall(r"localparam logic \[12:0\] (\w+) = 13'h([0-9a-f]+);", text)
    return {name: 4 * int(number, 16) for name, number in found}


def readme_rows():
    """First column and text of each row of the README's table of registers."""
    text = (rtl_folder() / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (0x[^|]*) \| (.*) \|$", text.split("## Registers")[1], re.MULTILINE)


def test_every_source_is_named_in_an_order_that_compiles(recipe, script):
    listed = re.findall(r"^  src/(\S+) \\$", script, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (recipe / "src").iterdir())
    expected = {path.name for path in rtl_folder().glob("*.sv")} - {"mul_fast.sv", f"{TOP}.sv"}
    assert set(listed) == expected | {f"{CORE}.sv", f"{TOP}.v"}
    packages = [name for name in listed if name.endswith("_pkg.sv")]
    assert listed[: len(packages)] == packages


def test_the_registers_are_those_of_the_source(script):
    source = source_offsets()
    renamed = {
        "CTRL": "CONTROL",
        "GIER": "INTERRUPT_GLOBAL",
        "IP_IER": "INTERRUPT_ENABLE",
        "IP_ISR": "INTERRUPT_STATUS",
    }
    hidden = ("STATUS_VALID", "DEBUG", "ABORT", "WATCHDOG")
    found = {renamed.get(name, name.upper()): offset for name, (offset, _) in declared(script).items()}
    assert found == {name: offset for name, offset in source.items() if name not in hidden}
    assert (source["ABORT"], source["WATCHDOG"]) == (register_map.ABORT, register_map.WATCHDOG)
    assert source["DEBUG"] == register_map.DEBUG[0]
    assert source["STATUS_VALID"] == register_map.STATUS + 4


def test_the_registers_are_those_of_the_readme(script):
    registers = declared(script)
    covered = set()
    for column, text in readme_rows():
        offsets = [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", column)]
        if offsets[0] in (*register_map.DEBUG, register_map.LOG):
            assert f"({offsets[0]:#04x})" in script
            continue
        if offsets[0] in (register_map.ABORT, register_map.WATCHDOG):  # no arguments of a launch
            continue
        names = [name for name in re.findall(r"`(\w+)`", text) if name in registers]
        if text.startswith("bit 0 ap_start"):
            names = ["CTRL"]
        elif "global interrupt enable" in text:
            names = ["GIER", "IP_IER", "IP_ISR"]
        elif "`status`" in text:
            offsets = offsets[:1]  # the second says whether the first is valid
        assert [registers[name][0] for name in names] == offsets
        covered |= set(names)
    assert covered == set(registers)


def test_pointers_have_64_bits_and_a_memory_port(script):
    registers = declared(script)
    assert {name for name, (_, size) in registers.items() if size == 64} == set(register_map.POINTERS)
    ports = dict(
        re.findall(r"add_register \$block (\w+) \S+ 64\]\nset_property value (\w+) \[ipx::add_register_para", script)
    )
    assert ports == MEMORY_PORTS
    for port in ("s_axi_control", *MEMORY_PORTS.values()):
        assert f"-busif {port} -clock ap_clk" in script
    assert "-ctrl_protocol ap_ctrl_hs" in script
    assert f"-kernel_name {TOP}" in script
    assert "Not yet run with the vendor's tools" in script


def test_the_wrapper_has_the_ports_and_the_profile(recipe):
    pytest.importorskip("pyslang", reason="needs the extra 'rtl'")
    from scripts.lint_rtl import elaborate, kernel_files

    def ports(instance):
        return [(port.name, str(port.direction), port.type.bitWidth) for port in instance.body.portList]

    sources = sorted((recipe / "src").iterdir(), key=lambda path: not path.stem.endswith("_pkg"))
    packaged, problems = elaborate(sources, TOP, {})
    original, _ = elaborate(kernel_files(), TOP, {})
    assert problems == ""
    wrapper = packaged.getRoot().topInstances[0]
    expected = ports(original.getRoot().topInstances[0])
    assert len(expected) == 20 + 5 * 37
    assert ports(wrapper) == expected
    core = wrapper.body.find("i_core")
    assert core.definition.name == CORE
    values = {name: int(core.body.find(name).value.value) for name in (*rtl_parameters(PROFILE), "PACK", "LUT_TAPS")}
    assert values == {**rtl_parameters(PROFILE), "PACK": 1, "LUT_TAPS": 3}


def test_a_lost_port_is_seen():
    text = (rtl_folder() / f"{TOP}.sv").read_text(encoding="utf-8")
    with pytest.raises(Exception, match="1 ports"):
        top_ports(text.replace("output logic [7:0]   m_axi_in_awlen", "output byte m_axi_in_awlen"))


@pytest.mark.parametrize(
    ("options", "problem"), [({"CPI": 4}, "no option 'CPI'"), ({"LUT_TAPS": 10}, "0..9"), ({"PACK": -1}, "0..1")]
)
def test_options_that_do_not_exist(tmp_path, options, problem):
    with pytest.raises(UserError, match=problem):
        write_rtl_recipe(PROFILE, Target(), tmp_path, options)


def test_a_float_profile_is_refused(tmp_path):
    with pytest.raises(UserError, match="integers only"):
        write_rtl_recipe(Profile.load("fp32-4x4"), Target(), tmp_path)


def test_the_command(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "build_bitstream", "int8-2x2", "--output", tmp_path / "out"]
    result = subprocess.run([*command, "--rtl"], capture_output=True, text=True, check=False, env={"PATH": "/nowhere"})
    assert result.returncode == 1
    assert "vivado is not installed" in result.stderr
    assert subprocess.run(["bash", "-n", tmp_path / "out" / "build.sh"], check=False).returncode == 0
    result = subprocess.run([*command, "--set", "PACK=0"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--rtl only" in result.stderr
