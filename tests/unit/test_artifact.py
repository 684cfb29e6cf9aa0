"""The artifact: round trip, atomic replacement, and refusal of everything damaged or foreign."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from sliceflow.errors import UserError
from sliceflow.graph.artifact import load_program, save_program, source_models
from sliceflow.graph.program import FORMAT_VERSION, CpuStep, Layer, Program
from sliceflow.runtime import Session
from tests.support import artifact_fuzz, tiny_program


def program_with_cpu_layer() -> Program:
    program = tiny_program.tiny_program()
    return dataclasses.replace(
        program,
        layers=(*program.layers, Layer(name="soft/max", placement="cpu", op="Softmax", reason="it is a Softmax")),
        steps=(*program.steps, CpuStep(layer="soft/max", model="some key", inputs=("y",), outputs=("p",))),
        cpu_models={"some key": bytes(range(256)) * 3},
    )


def same(first: Program, second: Program) -> bool:
    def plain(program):
        fields = {f.name: getattr(program, f.name) for f in dataclasses.fields(program)}
        return {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in fields.items()}

    return plain(first) == plain(second)


@pytest.fixture
def saved(tmp_path):
    save_program(program_with_cpu_layer(), tmp_path / "a", {"fp32": b"float model", "int8": b"quantized"})
    return tmp_path / "a"


def test_round_trip(saved):
    loaded = load_program(saved)
    assert same(loaded, program_with_cpu_layer())
    assert sorted(p.name for p in saved.rglob("*") if p.is_file()) == [
        "0.onnx",
        "fp32.onnx",
        "int8.onnx",
        "manifest.json",
        "program.bin",
        "weights.bin",
    ]
    assert source_models(saved) == {"fp32": b"float model", "int8": b"quantized"}


def test_a_loaded_program_runs(tmp_path):
    save_program(tiny_program.tiny_program(), tmp_path / "a")
    x = tiny_program.images(1, seed=1)
    (y,) = Session(tmp_path / "a", device="reference").run(None, {"x": x})
    np.testing.assert_array_equal(y, tiny_program.expected(x))


def test_source_models_are_optional(saved):
    shutil.rmtree(saved / "source")
    assert load_program(saved).name == "tiny"
    assert source_models(saved) == {}


def test_loading_needs_numpy_alone(saved):
    code = (
        f"import sys; from sliceflow.graph.artifact import load_program; load_program({str(saved)!r})\n"
        "foreign = {m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "foreign = {m for m in foreign if not m.startswith('_') and m not in ('numpy', 'sliceflow', 'sitecustomize')}\n"
        "sys.exit(f'loaded {foreign}' if foreign else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_artifact_is_replaced(saved):
    before = load_program(saved)
    save_program(dataclasses.replace(before, name="second"), saved)
    assert load_program(saved).name == "second"
    assert not (saved / "source").exists()
    assert [p.name for p in saved.parent.iterdir()] == ["a"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "a").mkdir()
    save_program(tiny_program.tiny_program(), tmp_path / "a")
    assert load_program(tmp_path / "a").name == "tiny"


@pytest.mark.parametrize("kind", ["folder", "file", "artifact and more", "other manifest"])
def test_what_is_not_an_artifact_is_never_overwritten(saved, kind):
    target = saved.parent / "b"
    if kind == "file":
        target.write_text("mine")
    elif kind == "artifact and more":
        target = saved
        (saved / "notes.txt").write_text("mine")
    else:
        target.mkdir()
        (target / ("manifest.json" if kind == "other manifest" else "notes.txt")).write_text("{}")
    before = {p: p.read_bytes() for p in saved.parent.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="not an artifact"):
        save_program(tiny_program.tiny_program(), target)
    assert {p: p.read_bytes() for p in saved.parent.rglob("*") if p.is_file()} == before


def test_a_failed_write_leaves_the_old_artifact(saved, monkeypatch):
    before = load_program(saved)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_program(tiny_program.tiny_program(), saved)
    monkeypatch.undo()
    assert same(load_program(saved), before)
    assert [p.name for p in saved.parent.iterdir()] == ["a"]


def test_two_writers_and_a_reader(saved):
    failures = []

    def write(name):
        try:
            for _ in range(5):
                save_program(dataclasses.replace(tiny_program.tiny_program(), name=name), saved)
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert load_program(saved).name in ("one", "two")
    assert [p.name for p in saved.parent.iterdir()] == ["a"]


def edit(folder, change):
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    artifact_fuzz.seal(document, folder)


def set_in(*path_and_value):
    *path, last, value = path_and_value

    def change(document):
        for key in path:
            document = document[key]
        document[last] = value

    return change


@pytest.mark.parametrize(("field", "name"), [("weights", "weights"), ("program", "descriptors")])
def test_a_memory_that_is_no_whole_beats_is_refused(tmp_path, field, name):
    program = tiny_program.tiny_program()
    longer = np.append(getattr(program, field), np.zeros(63, np.uint8))
    with pytest.raises(UserError, match=f"the {name} are .* no whole beats"):
        save_program(dataclasses.replace(program, **{field: longer}), tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("surprise", 1), "unknown key 'surprise'"),
        (lambda d: d.pop("steps"), "missing key 'steps'"),
        (set_in("format", "other"), "not the manifest of a Sliceflow artifact"),
        (set_in("format_version", 1), f"format version 1, not {FORMAT_VERSION}"),
        (set_in("format_version", True), "format version True"),
        (set_in("activation_words", True), "must stand here, not True"),
        (set_in("activation_words", 1.5), "must stand here, not 1.5"),
        (set_in("activation_words", 2**60), "too large"),
        (set_in("activation_words", 2**40), "must lie in"),
        (set_in("activation_words", 100), "do not lie in a memory of 100 words"),
        (set_in("descriptors", 4), "4 descriptors do not fit"),
        (set_in("descriptors", 0), "FPGA layers have 0 descriptors"),
        (set_in("profile", "cpi", 3), "the profile is impossible"),
        (set_in("inputs", 0, "dtype", "object"), "type must be one of"),
        (set_in("tensors", 0, "name", "y_q"), "same name"),
        (set_in("tensors", 0, "runs", 0, "count", 4), "cover 4 channels"),
        (set_in("tensors", 0, "runs", 0, "slice", 1), "need 2 slices"),
        (set_in("tensors", 0, "scale", 0), "scale must be positive"),
        (set_in("tensors", 0, "zero_point", 256), "zero_point must lie in 0..255"),
        (set_in("tensors", 1, "base", -1), "do not lie in a memory"),
        (set_in("layers", 1, "name", "to_host:y_q"), "appears twice"),
        (set_in("layers", 1, "outputs", ["z"]), "no tensor 'z'"),
        (set_in("layers", 1, "placement", "gpu"), "placement must be"),
        (set_in("steps", 1, "fpga", "first", 1), "do not follow 0"),
        (set_in("steps", 1, "fpga", "count", 0), "do not follow 0"),
        (set_in("steps", 1, "fpga", None), "not 0 of them"),
        (set_in("steps", 0, "transform", "shape", [1, 3, 6, 8]), "does not have the 126 elements"),
        (set_in("steps", 0, "transform", "direction", "up"), "direction must be"),
        (set_in("steps", 0, "transform", "value", "q"), "nothing has produced the value 'q'"),
        (set_in("steps", 0, "transform", "dtype", "int8"), "cannot be transformed"),
        (set_in("steps", 3, "cpu", "model", "other"), "no CPU model 'other'"),
        (set_in("inputs", 0, "shape", [0, 3, 6]), "value 'x' is float32 (1, 3, 6), not"),
        (set_in("inputs", 0, "shape", [0, 3, 0, 7]), "only one axis of an input can count images"),
        (set_in("inputs", 0, "dtype", "int8"), "value 'x' is int8"),
        (set_in("outputs", 0, "name", "q"), "nothing has produced the value 'q'"),
        (set_in("files", "../up", {"bytes": 0, "sha256": ""}), "cannot be a file of an artifact"),
        (set_in("files", "/etc/passwd", {"bytes": 0, "sha256": ""}), "cannot be a file of an artifact"),
        (set_in("files", "cpu/7.onnx", {"bytes": 0, "sha256": ""}), "belongs to no layer"),
        (set_in("files", "weights.bin", {"bytes": 10**12, "sha256": "", "x": 0}), "unknown key 'x'"),
        (set_in("cpu_models", "some key", "../../etc/passwd"), "is not listed"),
        (set_in("cpu_models", "some key", "weights.bin"), "belongs to no layer"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(saved, change, message):
    edit(saved, change)
    with pytest.raises(UserError) as caught:
        load_program(saved)
    assert message in str(caught.value)
    assert "manifest.json" in str(caught.value) or caught.value.where


def test_sizes_are_checked_before_anything_is_read(saved):
    with (saved / "weights.bin").open("r+b") as stream:
        stream.truncate(1 << 40)  # sparse: no disk is used
    begin = time.perf_counter()
    with pytest.raises(UserError, match=f"has {1 << 40} bytes"):
        load_program(saved)
    document = json.loads((saved / "manifest.json").read_text())
    document["files"]["weights.bin"]["bytes"] = 1 << 40
    del document["checksum"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["checksum"] = artifact_fuzz.hashlib.sha256(text.encode()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="cannot have"):
        load_program(saved)
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize("name", ["manifest.json", "program.bin", "weights.bin", "cpu/0.onnx"])
@pytest.mark.parametrize("how", ["flip", "cut", "missing", "link", "pipe", "folder"])
def test_a_damaged_file_is_refused_by_name(saved, name, how):
    path = saved / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if how == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "link":
        (saved.parent / "outside").write_bytes(data)
        path.symlink_to(saved.parent / "outside")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    with pytest.raises(UserError) as caught:
        load_program(saved)
    assert name in str(caught.value)


def test_foreign_files_and_linked_folders_are_refused(saved):
    (saved / "virus").write_bytes(b"")
    with pytest.raises(UserError, match="'virus' does not belong"):
        load_program(saved)
    (saved / "virus").unlink()
    (saved / "cpu").rename(saved.parent / "outside")
    (saved / "cpu").symlink_to(saved.parent / "outside")
    with pytest.raises(UserError, match="no symbolic links"):
        load_program(saved)


def test_what_is_no_artifact_is_told(tmp_path):
    for path, message in ((tmp_path / "none", "there is no artifact"), (tmp_path, "not an artifact")):
        with pytest.raises(UserError, match=message):
            load_program(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="an artifact is a folder"):
        load_program(tmp_path / "file")


def test_an_inconsistent_program_is_not_saved(tmp_path):
    program = tiny_program.tiny_program()
    with pytest.raises(UserError, match="do not lie"):
        save_program(dataclasses.replace(program, activation_words=5), tmp_path / "a")
    program.program[4] ^= 1
    with pytest.raises(UserError, match="does not begin with the program's descriptors"):
        save_program(program, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_random_damage_ends_in_one_message_or_a_valid_program(saved, tmp_path):
    """Whatever is done to an artifact: a UserError, or a program that the reference can execute."""
    refused = 0
    for seed in range(400):
        folder = tmp_path / f"b{seed}"
        shutil.copytree(saved, folder)
        done = artifact_fuzz.damage(folder, seed)
        begin = time.perf_counter()
        try:
            program = load_program(folder)
        except UserError:
            refused += 1
        except Exception as error:
            pytest.fail(f"seed {seed}: {done}: {error!r}")
        else:
            assert program.activation_words < 1 << 33, f"seed {seed}: {done}"
        assert time.perf_counter() - begin < 2, f"seed {seed}: {done}"
        shutil.rmtree(folder)
    assert refused > 250
