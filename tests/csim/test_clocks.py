"""The clocks of the C++ kernel: those of the RTL, as the cycle model has them, and what the code's own pragmas say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sliceflow.devices import open_device
from sliceflow.devices.csim import BuildOptions, CsimLibrary, build
from sliceflow.devices.csim.build import clocked_text
from sliceflow.errors import UserError
from sliceflow.graph.descriptor import Op
from sliceflow.hardware.cycles import predict_launch
from sliceflow.hardware.kernel import source_folder
from tests.csim.support import CACHE, expected, library, profile_of
from tests.support.random_program import Case, random_layer, random_program
from tests.support.tiny_program import tiny_program

CLOCKS = BuildOptions(clocks=True)
CHECK = 204
"""Clocks of the RTL's layer_check in front of a launch's first layer. The C++ checks its rules in straight-line code,
whose clocks nobody has counted."""


def clocks_of(simulator: CsimLibrary, case: Case) -> np.ndarray:
    """Clocks of each layer; the memory must be the reference's."""
    memory = case.activations.copy()
    ends = simulator.clocks(case.program, case.weights, memory, 0, len(case.descriptors)).astype(np.int64)
    assert np.array_equal(memory, expected(case)), case.describe()
    return np.diff(ends, prepend=0)


@pytest.mark.parametrize("profile", ["int8-4x4", "int8-8x8", "int8-4x8", "w4a8-8x8"])
def test_random_layers_take_the_clocks_of_the_rtl(profile: str) -> None:
    """A layer costs more at its begin, since nothing of it is fetched ahead, and less where strips follow closely."""
    total = np.zeros(2)
    for seed in range(40):
        case = random_program(seed, profile_of(profile), layers=1)
        (hls,) = clocks_of(library(profile, CLOCKS), case)
        (estimate,) = predict_launch(case.descriptors, case.profile)
        rtl = estimate.predicted + estimate.gap - CHECK
        assert 0.75 * rtl - 100 < hls < 1.1 * rtl + 100, f"{hls} against {rtl}: {case.describe()}"
        total += hls, rtl
    assert total[0] < 1.04 * total[1]


def test_clocks_do_not_depend_on_the_data() -> None:
    case = random_program(3, profile_of("int8-8x8"))
    before = clocks_of(library("int8-8x8", CLOCKS), case)
    case.weights[:] ^= 0xFF
    case.activations[:] ^= 0x55
    assert np.array_equal(clocks_of(library("int8-8x8", CLOCKS), case), before)


def _slowed(folder: Path, header: str, interval: int, monkeypatch: pytest.MonkeyPatch) -> CsimLibrary:
    """The simulator of a kernel in which the loops of one header have another interval."""
    shutil.copytree(source_folder(), folder)
    path = folder / header
    path.write_text(path.read_text().replace("pipeline II = 1", f"pipeline II = {interval}"))
    monkeypatch.setattr(build, "source_folder", lambda: folder)
    return CsimLibrary(profile_of("int8-4x4"), cache=CACHE, options=CLOCKS)


@pytest.mark.parametrize("header", ["cvt.h", "mul.h", "add.h"])
def test_a_slower_loop_is_seen(header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_layer(6, profile_of("int8-4x4"), op=Op.CONV)
    frames = case.descriptor.conv_height * case.descriptor.conv_width
    (before,) = clocks_of(library("int8-4x4", CLOCKS), case)
    (behind,) = clocks_of(_slowed(tmp_path / "cpp", header, 3, monkeypatch), case)
    assert behind > before + frames


def test_memory_latency_is_seen() -> None:
    """The input, or the weights, and the last response: each waits for the memory once, behind the descriptor."""
    case = random_layer(8, profile_of("int8-4x4"), op=Op.CONV)
    quick = library("int8-4x4", CLOCKS)
    (before,) = clocks_of(quick, case)
    profile, latency = quick.profile, quick.profile.read_latency
    try:
        quick.profile = type(profile)(**{**profile.to_json(), "read_latency": latency + 50})
        (behind,) = clocks_of(quick, case)
    finally:
        quick.profile = profile
    assert 150 <= behind - before <= 250


def test_pragmas_become_calls() -> None:
    text = "for (;;) {\n#pragma HLS pipeline II = 2\n  f();\n#pragma HLS unroll\n}\n"
    assert clocked_text(text) == "for (;;) {\nsliceflow_sim::iteration(2);\n  f();\n#pragma HLS unroll\n}\n"
    for path in source_folder().glob("*.h"):
        source = path.read_text(encoding="utf-8")
        assert source.count("#pragma HLS pipeline") == clocked_text(source).count("sliceflow_sim::iteration"), path


def test_a_device_with_clocks_reports_them() -> None:
    program = tiny_program()
    device = open_device("csim", program, clocks=True)
    assert len(device.launch(0, len(program.fpga_layers)).cycles) == len(program.fpga_layers)
    assert open_device("csim", program).launch(0, len(program.fpga_layers)).cycles == ()
    with pytest.raises(UserError, match="no clocks to switch on"):
        open_device("reference", program, clocks=True)
    with pytest.raises(UserError, match="counts no clocks"):
        library("int8-8x8").clocks(*[np.zeros(512, np.uint8)] * 3, 0, 1)
