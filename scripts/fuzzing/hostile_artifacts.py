"""Artifacts with bad intentions, beyond ``tests/support/artifact_fuzz.py``: correct checksums over false content."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import onnx

from scripts.fuzzing.byte_mutations import BYTE_MUTATIONS
from scripts.fuzzing.field_mutations import INTEGERS, mutate_fields
from scripts.fuzzing.graph_mutations import GRAPH_MUTATIONS
from tests.support.artifact_fuzz import damage, seal

HostileArtifact = Callable[[Path, random.Random], str]
_WORDS = 128


def _seal(folder: Path) -> None:
    seal(json.loads((folder / "manifest.json").read_text()), folder)


def known_damage(folder: Path, chance: random.Random) -> str:
    """What the unit tests of the artifact do."""
    return damage(folder, chance.randrange(1 << 30))


def descriptor_words(folder: Path, chance: random.Random) -> str:
    """Whole words of descriptors changed, checksums correct."""
    path = folder / "program.bin"
    data = bytearray(path.read_bytes())
    count = json.loads((folder / "manifest.json").read_text())["descriptors"]
    done = []
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        layer, word = chance.randrange(max(1, count)), chance.randrange(1, 76)
        place = 4 * (layer * _WORDS + word)
        old = int.from_bytes(data[place : place + 4], "little")
        new = chance.choice([*INTEGERS, old + 1, old - 1, old * 2, old // 2, old + 3]) & 0xFFFFFFFF
        data[place : place + 4] = new.to_bytes(4, "little")
        done.append(f"layer {layer} word {word}: {old} -> {new}")
    path.write_bytes(data)
    _seal(folder)
    return "; ".join(done)


def memory_content(folder: Path, chance: random.Random) -> str:
    """Weights, lane parameters and tables replaced by random bytes, or cut off, checksums correct."""
    path = folder / chance.choice(["program.bin", "weights.bin"])
    data = bytearray(path.read_bytes())
    first = 0
    if path.name == "program.bin":
        first = 4 * _WORDS * json.loads((folder / "manifest.json").read_text())["descriptors"]
    action = chance.choice(["random", "random", "ones", "cut", "grow", "empty"])
    if action == "cut":
        data = data[: chance.randrange(len(data) + 1)]
    elif action == "grow":
        data += bytes(chance.choice([1, 63, 64, 4096]))
    elif action == "empty":
        data = bytearray()
    elif first < len(data):
        place = chance.randrange(first, len(data))
        end = chance.choice([len(data), place + 64, place + 4])
        size = len(data[place:end])
        data[place:end] = chance.randbytes(size) if action == "random" else b"\xff" * size
    path.write_bytes(data)
    _seal(folder)
    return f"{action} in {path.name}"


def model_inside(folder: Path, chance: random.Random) -> str:
    """The models of the CPU layers, or those kept for ``bench``, replaced or mutated, checksums correct."""
    paths = sorted([*folder.glob("cpu/*.onnx"), *folder.glob("cpu/*.onnx"), *folder.glob("source/*.onnx")])
    if not paths:
        return memory_content(folder, chance)
    path = chance.choice(paths)
    data = path.read_bytes()
    action = chance.choice(["bytes", "fields", "graph", "foreign", "empty"])
    if action in ("fields", "graph"):
        model = onnx.load_from_string(data)
        what = mutate_fields(model, chance) if action == "fields" else chance.choice(GRAPH_MUTATIONS)(model, chance)
        path.write_bytes(model.SerializeToString())
    elif action == "bytes":
        what = "bytes"
        path.write_bytes(chance.choice(BYTE_MUTATIONS)(data, chance))
    else:
        what = action
        path.write_bytes(b"" if action == "empty" else chance.choice(paths).read_bytes() + b"\x00")
    _seal(folder)
    return f"{what} in {path.relative_to(folder)}"


HOSTILE_ARTIFACTS: tuple[HostileArtifact, ...] = (
    known_damage,
    known_damage,
    known_damage,
    descriptor_words,
    descriptor_words,
    memory_content,
    model_inside,
    model_inside,
)
