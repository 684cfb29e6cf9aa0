"""C simulation: the HLS C++ kernel, compiled for this machine and called in process."""

from sliceflow.devices.csim.build import BuildOptions, build_library, build_testbench
from sliceflow.devices.csim.library import CsimLibrary

__all__ = ["BuildOptions", "CsimLibrary", "build_library", "build_testbench"]
