"""Options of the RTL tests; hls/rtl/README.md says how they are used."""

from __future__ import annotations


def pytest_addoption(parser):
    group = parser.getgroup("rtl", "test benches on other RTL, e.g. what Vitis HLS exported")
    group.addoption("--rtl-sources", metavar="DIR", help="folder with the Verilog of another kernel for test_kernel.py")
    group.addoption("--rtl-top", metavar="NAME", default="sliceflow_kernel", help="its top module")
    group.addoption("--rtl-profile", metavar="NAME", default="int8-8x8", help="the profile that it was made for")
