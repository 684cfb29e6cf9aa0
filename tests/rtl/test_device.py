"""The simulated kernel behind its registers and memory ports, against the reference, and as ``--device rtl``."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from sliceflow.cli import main
from sliceflow.devices.base import LayerTrace
from sliceflow.devices.cache import default_cache
from sliceflow.devices.registers import KernelDriver, LayerClocks, Pointers
from sliceflow.devices.rtl.build import DEFAULT_OPTIONS, RtlBuildOptions, build_library
from sliceflow.devices.rtl.device import RtlDevice
from sliceflow.devices.rtl.simulation import MemoryModel, Simulation
from sliceflow.errors import UserError
from sliceflow.graph.artifact import save_program
from sliceflow.graph.program import FpgaStep, Layer, Program, encode_descriptors
from sliceflow.hardware.kernel import rtl_parameters
from sliceflow.hardware.profile import Profile
from sliceflow.runtime import Session
from tests.csim.support import expected, profile_of
from tests.support.random_program import Case, random_program
from tests.support.tiny_program import expected as tiny_expected
from tests.support.tiny_program import images, tiny_program

LIMIT = 2_000_000
QUICK = RtlBuildOptions(optimize="-O1")
PROFILES = ("int8-4x4", "small-8x8-4x8", "small-8x4-2x4", "small-16x8-4x8")
MODELS = {
    "steady": MemoryModel(),
    "quick": MemoryModel(read_latency=1, write_latency=0),
    "stalling": MemoryModel(read_latency=17, write_latency=5, stall=300, seed=3, offset=64 * 37),
}


@functools.cache
def library(profile: str) -> Path:
    options = DEFAULT_OPTIONS if profile in Profile.names() else QUICK  # the former serves the commands as well
    return build_library(profile_of(profile), cache=default_cache(), options=options)


class Bench:
    """A kernel that is never reset, and cases that it runs one after the other, each in buffers of its own."""

    def __init__(self, profile: str, model: MemoryModel = MODELS["steady"], *, interrupts: bool = True) -> None:
        self.simulation = Simulation(library(profile), model)
        self._base = itertools.count(1)
        self._offset = model.offset
        self._interrupts = interrupts

    def place(self, case: Case, memory: np.ndarray, weights: np.ndarray | None = None) -> Pointers:
        first = (next(self._base) << 40) + self._offset
        pointers = Pointers(program=first, weights=first + (1 << 36), activations=first + (1 << 37))
        self.simulation.map(pointers.program, case.program)
        self.simulation.map(pointers.weights, case.weights if weights is None else weights)
        self.simulation.map(pointers.activations, memory, writable=True)
        return pointers

    def launch(self, pointers: Pointers, case: Case, limit: int = LIMIT) -> list[LayerClocks]:
        names = [f"layer {number}" for number in range(len(case.descriptors))]
        driver = KernelDriver(self.simulation, names, interrupts=self._interrupts)
        return driver.launch(pointers, 0, len(case.descriptors), limit)

    def run(self, case: Case) -> np.ndarray:
        memory = case.activations.copy()
        clocks = self.launch(self.place(case, memory), case)
        self.simulation.check()
        check_clocks(clocks)
        return memory


def check_clocks(clocks: Sequence[LayerClocks]) -> None:
    for layer in clocks:
        assert layer.begin <= layer.first_frame <= layer.last_frame < layer.end, layer
    for before, after in itertools.pairwise(clocks):
        assert before.end <= after.first_frame, (before, after)


def as_program(case: Case) -> Program:
    """A program whose only steps are the case's layers."""
    layers = [Layer(name=f"layer {n}", placement="fpga", op="", reason="") for n in range(len(case.descriptors))]
    return dataclasses.replace(
        tiny_program(),
        profile=case.profile,
        tensors={},
        layers=tuple(layers),
        steps=(FpgaStep(first=0, count=len(layers)),),
        descriptors=tuple(case.descriptors),
        program=case.program,
        weights=case.weights,
        activation_words=case.activation_words,
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("profile", PROFILES)
def test_random_programs_one_after_the_other(profile: str, model: str) -> None:
    bench = Bench(profile, MODELS[model], interrupts=model != "quick")
    for seed in range(12):
        case = random_program(seed + 100 * list(MODELS).index(model), profile_of(profile))
        assert np.array_equal(bench.run(case), expected(case)), case.describe()


def test_a_flipped_bit_is_caught() -> None:
    """In weights, lane parameters and input, one at a time; the program written by hand says what is right."""
    program = tiny_program()
    x = images(1, seed=5)
    right = tiny_expected(x)

    def run(changed: Program) -> np.ndarray:
        with Session(changed, device="rtl") as session:
            return session.run(None, {"x": x})[0]

    assert np.array_equal(run(program), right)
    for name, byte in (("weights", 2), ("program", 512 + 3)):
        memory = getattr(program, name).copy()
        memory[byte] ^= 0x40
        assert not np.array_equal(run(dataclasses.replace(program, **{name: memory})), right), name


@pytest.mark.parametrize("place", ["program", "weights", "activations"])
def test_an_error_of_the_memory_stops_the_launch_and_no_more(place: str) -> None:
    """Errors at random beats; every launch ends, and the kernel works on without a reset."""
    bench = Bench("int8-4x4", MODELS["stalling"])
    rng = np.random.default_rng(len(place))
    stopped: list[tuple[UserError, Case]] = []
    for seed in range(8):
        case = random_program(seed, profile_of("int8-4x4"))
        memory = case.activations.copy()
        pointers = bench.place(case, memory)
        size = {"program": case.program, "weights": case.weights, "activations": memory}[place].size
        first = getattr(pointers, place) + int(rng.integers(size))
        bench.simulation.fail(first - first % 64, first | 63)
        try:
            bench.launch(pointers, case)
        except UserError as error:
            stopped.append((error, case))
        bench.simulation.fail(1, 0)
        bench.simulation.check()
        assert np.array_equal(bench.run(case), expected(case)), case.describe()
    assert len(stopped) > 2, "the errors met nothing"
    for error, case in stopped:
        assert error.why == "a memory port answered with an error", case.describe()
        assert error.where.startswith("layer 'layer "), case.describe()


def test_an_access_outside_the_buffers_is_an_error_with_its_address() -> None:
    case = random_program(3, profile_of("int8-4x4"))
    bench = Bench("int8-4x4")
    pointers = bench.place(case, case.activations.copy(), case.weights[:64].copy())
    with pytest.raises(UserError, match="stopped at descriptor") as caught:
        bench.launch(pointers, case)
    found = re.search(r"m_axi_weights reads 0x([0-9a-f]+), which is in no buffer", caught.value.why)
    assert found is not None, caught.value.why
    assert pointers.weights + 64 <= int(found[1], 16) < pointers.weights + case.weights.size
    bench.simulation.forget()
    assert np.array_equal(bench.run(case), expected(case)), case.describe()


def test_a_launch_that_does_not_end_is_given_up_and_the_kernel_reset() -> None:
    case = random_program(9, profile_of("int8-4x4"))
    bench = Bench("int8-4x4")
    for limit in (40, 150, 333, 700):
        with pytest.raises(UserError, match=f"does not end within {limit} clocks") as caught:
            bench.launch(bench.place(case, case.activations.copy()), case, limit)
        assert "registers: control 0x" in caught.value.why
        assert "'layer 0' to 'layer 2'" in caught.value.where
        bench.simulation.reset()
        assert np.array_equal(bench.run(case), expected(case)), case.describe()


def test_a_strip_that_is_too_big_names_its_layer() -> None:
    program = tiny_program()
    wide = dataclasses.replace(
        program.descriptors[0],
        conv_height=200,
        conv_width=100,
        pool_height=200,
        pool_width=100,
        strip_rows=200,
        strip_count=1,
    )
    memory = np.frombuffer(encode_descriptors([wide], program.profile), np.uint8)
    device = RtlDevice()
    device.load(dataclasses.replace(program, program=np.concatenate([memory, program.program[memory.size :]])))
    with pytest.raises(UserError, match="refuses descriptor 0") as caught:
        device.launch(0, 1)
    assert caught.value.where == "layer 'conv'"
    assert caught.value.why == "a strip of it exceeds the on-chip buffers"
    device.close()


def test_the_device_reports_the_clocks_of_each_layer_and_traces_one(tmp_path: Path) -> None:
    case = random_program(6, profile_of("small-8x4-2x4"))
    program = as_program(case)
    traces = [None, LayerTrace(tmp_path / "layer.vcd", "layer 1")]
    for trace in traces:
        device = RtlDevice(trace=trace, options=dataclasses.replace(QUICK, trace="vcd" if trace else ""))
        device.load(program)
        device.write(0, case.activations.tobytes())
        report = device.launch(0, len(case.descriptors))
        assert device.read(0, case.activations.size) == expected(case).tobytes(), case.describe()
        assert len(report.cycles) == len(case.descriptors)
        assert all(cycles > 0 for cycles in report.cycles)
        device.close()
    assert "$enddefinitions" in (tmp_path / "layer.vcd").read_text(encoding="ascii")


def test_batches_run_on_kernels_beside_each_other() -> None:
    x = images(5, seed=1)
    with Session(tiny_program(), device="rtl", threads=2) as session:
        assert np.array_equal(session.run(None, {"x": x})[0], tiny_expected(x))


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verify finds no difference; bench shows clocks, and says that they are simulated."""
    artifact = str(tmp_path / "tiny")
    save_program(tiny_program(), tmp_path / "tiny")
    (tmp_path / "m.onnx").write_bytes(float_model())
    assert main(["verify", artifact, "--device", "rtl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["match"] is True
    options = ["--model", str(tmp_path / "m.onnx"), "--repeats", "1", "--threads", "1"]
    assert main(["bench", artifact, "--device", "rtl", *options, "--json"]) == 0
    fpga = json.loads(capsys.readouterr().out)["fpga"]
    cycles = fpga["layers"][0]["simulated_cycles"]
    assert fpga["totals"]["simulated_cycles"] == cycles > 2 * 6 * 7
    assert fpga["totals"]["parts"][0]["label"] == "simulated"
    assert main(["bench", artifact, "--device", "rtl", *options]) == 0
    assert "simulated cycles" in capsys.readouterr().out
    assert main(["verify", artifact, "--device", "csim", "--trace", str(tmp_path / "x.vcd")]) == 1
    assert "csim has no signals to trace" in capsys.readouterr().err
    assert main(["verify", artifact, "--device", "rtl", "--trace-layer", "conv"]) == 2
    assert main(["verify", artifact, "--device", "rtl", "--trace", str(tmp_path / "x.txt")]) == 1
    assert main(["verify", artifact, "--device", "rtl", "--trace", str(tmp_path / "x.vcd"), "--trace-layer", "no"]) == 1
    assert "no layer on the FPGA is called 'no'" in capsys.readouterr().err


def float_model() -> bytes:
    """Any model with the tiny program's input, for bench."""
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 6, 7])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3, 6, 7])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_profiles_without_a_kernel_are_refused_with_every_reason() -> None:
    odd = dataclasses.replace(profile_of("int8-4x4"), cpi=3, cpo=6, bank_words=1000)
    with pytest.raises(UserError, match="cannot be built for profile int8-4x4") as caught:
        rtl_parameters(odd)
    assert [line.partition(" ")[0] for line in caught.value.why.splitlines()] == ["cpi", "cpo", "bank_words"]
    with pytest.raises(UserError, match="fp32") as caught:
        rtl_parameters(Profile.load("fp32-4x4"))
    assert "integers only" in caught.value.why
