"""The whole kernel in cocotb. Also runs on other RTL: ``--rtl-sources DIR --rtl-top NAME --rtl-profile NAME``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.support.kernel_sources import Kernel, exported_kernel, hls_names, own_kernel

PROFILES = ("small-8x8-4x8", "int8-8x8", "w4a8-8x8", "w8a16-8x8")
SMALL = "small-8x8-4x8"
"""CPI and CPO differ, and buffers are so small that strips are short."""


@pytest.fixture
def kernel_of(pytestconfig: pytest.Config, tmp_path: Path):
    """Makes the kernel for a profile; another kernel has only its own."""
    folder = pytestconfig.getoption("rtl_sources", None)

    def make(profile: str) -> Kernel:
        if not folder:
            return own_kernel(profile)
        return exported_kernel(
            pytestconfig.getoption("rtl_profile"), pytestconfig.getoption("rtl_top"), Path(folder), tmp_path
        )

    return make


@pytest.mark.parametrize("profile", PROFILES)
def test_programs(kernel_of, pytestconfig, profile):
    if pytestconfig.getoption("rtl_sources", None) and profile != PROFILES[0]:
        pytest.skip("another kernel has one profile")
    kernel_of(profile).simulate("tests.rtl.cocotb_kernel", "programs", seed=len(profile))


@pytest.mark.parametrize("test", ["parts_of_a_list", "parts_of_layers", "auto_restart"])
def test_launches(kernel_of, test):
    kernel_of(SMALL).simulate("tests.rtl.cocotb_kernel", test)


@pytest.mark.parametrize("test", ["reset_while_running", "wrong_descriptors", "later_strip_too_big", "flipped_bits"])
def test_faults(kernel_of, test):
    kernel_of(SMALL).simulate("tests.rtl.cocotb_kernel_faults", test)


@pytest.mark.parametrize("test", ["memory_errors", "memory_error_names_the_layer"])
def test_memory_errors(kernel_of, test):
    kernel = kernel_of(SMALL)
    if not kernel.reports_memory_errors:
        pytest.skip("the ports of Vitis HLS do not report error responses")
    kernel.simulate("tests.rtl.cocotb_kernel_faults", test)


def test_port_names_of_vitis_hls(tmp_path):
    """The benches find the ports of an exported kernel; here our own stands behind such names."""
    folder, scratch = tmp_path / "export", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    hls_names("exported_kernel", folder, "int8-2x2")
    exported = exported_kernel("int8-2x2", "exported_kernel", folder, scratch)
    assert [path.name for path in exported.sources] == ["exported_kernel.sv"]
    exported.simulate("tests.rtl.cocotb_kernel", "programs")


def test_memory_files_of_vitis_hls(tmp_path):
    """Memories of an exported kernel find their content wherever the simulation runs."""
    (tmp_path / "export").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "export" / "rom.v").write_text('initial $readmemh("./rom.dat", memory);\n', encoding="utf-8")
    kernel = exported_kernel("int8-2x2", "rom", tmp_path / "export", tmp_path / "scratch")
    assert kernel.sources[0].read_text(encoding="utf-8") == f'initial $readmemh("{tmp_path}/export/rom.dat", memory);\n'
