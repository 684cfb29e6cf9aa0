"""Damages artifacts: random mutations of the files, with and without corrected checksums."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sliceflow.graph.program import FORMAT_VERSION

Mutation = Callable[[Path, random.Random], str]
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**53,
    10**400,
    0.5,
    -1e308,
    "",
    "x",
    "../../x",
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
)


def damage(folder: Path, seed: int) -> str:
    """Damage an artifact in place.

    Args:
        folder: the artifact.
        seed: the same seed does the same damage.

    Returns:
        What was done, for failure messages.
    """
    chance = random.Random(seed)
    return chance.choice(MUTATIONS)(folder, chance)


def seal(document: dict[str, Any], folder: Path) -> None:
    """Write a manifest with correct checksums, as somebody would who wants to be believed."""
    files = document.get("files")
    for name, entry in files.items() if isinstance(files, dict) else ():
        path = folder / name if name.isprintable() else folder
        if isinstance(entry, dict) and set(entry) == {"bytes", "sha256"} and ".." not in name and path.is_file():
            data = path.read_bytes()
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    document.pop("checksum", None)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(document))


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def _some_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))


def flip_bit(folder: Path, chance: random.Random) -> str:
    """Flip one bit of one file."""
    path = _some_file(folder, chance)
    data = bytearray(path.read_bytes())
    position = chance.randrange(len(data))
    data[position] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"bit of byte {position} of {path.name} flipped"


def truncate(folder: Path, chance: random.Random) -> str:
    """Cut a file off, or lengthen it."""
    path = _some_file(folder, chance)
    data = path.read_bytes()
    size = chance.choice([0, 1, len(data) // 2, len(data) - 1, len(data) + 1])
    path.write_bytes(data[:size].ljust(size, b"\0"))
    return f"{path.name} has {size} bytes now"


def remove(folder: Path, chance: random.Random) -> str:
    """Delete a file."""
    path = _some_file(folder, chance)
    path.unlink()
    return f"{path.name} deleted"


def link(folder: Path, chance: random.Random) -> str:
    """Replace a file by a symbolic link to a copy outside."""
    path = _some_file(folder, chance)
    outside = folder.with_name(folder.name + ".outside")
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)
    return f"{path.name} is a link now"


def flip_memory_bit(folder: Path, chance: random.Random) -> str:
    """Flip bits of a memory and correct the checksums: the descriptors themselves lie."""
    path = folder / chance.choice(["program.bin", "program.bin", "program.bin", "weights.bin"])
    data = bytearray(path.read_bytes())
    places = [chance.randrange(min(len(data), 512)) for _ in range(chance.randint(1, 3))]
    for position in places:
        data[position] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    seal(_manifest(folder), folder)
    return f"bits of bytes {places} of {path.name} flipped, checksums corrected"


def change_value(folder: Path, chance: random.Random) -> str:
    """Replace, delete or double something in the manifest and correct the checksums."""
    document = _manifest(folder)
    place, parent = ["$"], document
    while True:
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        keys = [key for key in keys if key != "checksum"]
        if not keys:
            return "nothing"
        key = chance.choice(keys)
        place.append(str(key))
        if not isinstance(parent[key], (dict, list)) or chance.random() < 0.2:
            break
        parent = parent[key]
    action = chance.choice(["replace", "nudge", "delete", "double"])
    if action == "delete":
        del parent[key]
    elif action == "double" and isinstance(parent, list):
        parent.append(parent[key])
    elif action == "double":
        parent[f"{key}2"] = parent[key]
    elif action == "nudge" and type(parent[key]) is int:
        parent[key] += chance.choice([-1, 1, 7, 64, 1 << 20])
    else:
        parent[key] = chance.choice(VALUES)
    seal(document, folder)
    return f"{action} at {'.'.join(place)}: now {str(parent)[:200]}, checksums corrected"


def strange_text(folder: Path, chance: random.Random) -> str:
    """Replace the manifest by text that JSON parsers choke on."""
    texts = [
        b"",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"null",
        b"NaN",
        b'{"format": "sliceflow-program", "format_version": 1e999}',
        b'{"format": "sliceflow-program", "format_version": ' + b"9" * 5000 + b"}",
        b'{"format": "sliceflow-program", "format": "sliceflow-program"}',
        b'{"format": "sliceflow-program", "format_version": true}',
        b'{"format": "sliceflow-program", "format_version": 1000}',
        b'{"format": "sliceflow-program", "format_version": %d, "checksum": ' % FORMAT_VERSION
        + b"[" * 900
        + b"]" * 900
        + b"}",
    ]
    index = chance.randrange(len(texts))
    (folder / "manifest.json").write_bytes(texts[index])
    return f"manifest replaced by text {index}"


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    truncate,
    remove,
    link,
    flip_memory_bit,
    flip_memory_bit,
    change_value,
    change_value,
    change_value,
    change_value,
    change_value,
    strange_text,
)
