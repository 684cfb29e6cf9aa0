"""The program artifact: a folder that holds a compiled model.

::

    manifest.json    everything that is small: interface, tensors, layers, steps, sizes and checksums of the files
    program.bin      the program memory (docs/program.md)
    weights.bin      the weight memory
    cpu/0.onnx ...   the layers that stay on the CPU
    source/*.onnx    optional: the models it was made from, for ``sliceflow bench``

Reading needs NumPy and nothing else, and trusts nothing: sizes are checked before a byte is read, checksums before
it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.files import write_folder
from sliceflow.graph import plain
from sliceflow.graph.consistency import check_program
from sliceflow.graph.descriptor import BYTES
from sliceflow.graph.manifest import SOURCES, FileEntry, Manifest, to_program
from sliceflow.graph.plain import refuse
from sliceflow.graph.program import FORMAT, FORMAT_VERSION, Program, encode_descriptors
from sliceflow.text import encodable
from sliceflow.version import version

MANIFEST = "manifest.json"
PROGRAM = "program.bin"
WEIGHTS = "weights.bin"
SOURCE_LIMIT = 64 << 20
"""Largest source model that is kept in the artifact, in bytes."""
_MANIFEST_LIMIT = 64 << 20
_GIB = 1 << 30
_LIMITS = {PROGRAM: _GIB, WEIGHTS: 16 * _GIB}
_MODEL_LIMIT = 2 * _GIB  # protobuf's own
_NAME = re.compile(rf"program\.bin|weights\.bin|cpu/(0|[1-9][0-9]{{0,5}})\.onnx|source/({'|'.join(SOURCES)})\.onnx")
_LITTER = {".DS_Store", "Thumbs.db"}
_CHUNK = 1 << 22


def save_program(program: Program, path: Path, sources: Mapping[str, bytes] | None = None) -> None:
    """Write an artifact, whole or not at all.

    Args:
        program: the compiled model.
        path: the folder to make. An artifact that stands there is replaced; anything else stays untouched.
        sources: optional serialized models it was made from, by ``fp32`` or ``int8``.

    Raises:
        UserError: something that is not an artifact stands at ``path``, or the program is not consistent.
        OSError: the folder cannot be written.
    """
    check_program(program)
    _check_descriptors_in_memory(program)
    keys = {key: f"cpu/{index}.onnx" for index, key in enumerate(program.cpu_models)}
    contents: dict[str, Any] = {PROGRAM: program.program, WEIGHTS: program.weights}
    contents |= {keys[key]: model for key, model in program.cpu_models.items()}
    contents |= {f"source/{key}.onnx": model for key, model in (sources or {}).items()}
    document = _manifest_document(program, keys, contents)

    def fill(folder: Path) -> None:
        for name, content in contents.items():
            _write(folder / name, content)
        _write(folder / MANIFEST, plain.dump(document).encode())

    write_folder(Path(path), fill, may_be_replaced)


def load_program(path: Path) -> Program:
    """Read an artifact and check all of it.

    Raises:
        UserError: it is missing, foreign, damaged, or of another version; the message names the file and the place.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    _check_listing(path, manifest)
    memories = {name: _read(path, name, manifest.files[name]) for name in (PROGRAM, WEIGHTS)}
    models = {key: _read(path, name, manifest.files[name]).tobytes() for key, name in manifest.cpu_models.items()}
    if manifest.descriptors * BYTES > memories[PROGRAM].size:
        refuse(f"{manifest.descriptors} descriptors do not fit the program memory", f"{path / MANIFEST}: descriptors")
    program = to_program(manifest, memories[PROGRAM], memories[WEIGHTS], models, where=str(path / PROGRAM))
    check_program(program)
    return program


def source_models(path: Path) -> dict[str, bytes]:
    """The models an artifact was made from, as far as it carries them, by ``fp32`` or ``int8``.

    Raises:
        UserError: the artifact is damaged.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    _check_listing(path, manifest)
    return {
        Path(name).stem: _read(path, name, entry).tobytes()
        for name, entry in manifest.files.items()
        if name.startswith("source/") and (path / name).exists()
    }


def may_be_replaced(path: Path) -> None:
    """Check that a folder is empty, or an artifact and nothing else.

    Raises:
        UserError: it must not be overwritten.
    """
    why = ""
    if not path.is_dir():
        why = "it is not a folder"
    elif names := _listing(path):
        allowed = {MANIFEST, "cpu", "source"} | {name for name in names if _NAME.fullmatch(name)}
        strange = sorted(names - allowed)
        if strange:
            why = f"it holds {strange[0]!r}, which is not part of an artifact"
        elif not _says_it_is_an_artifact(path):
            why = f"its {MANIFEST} is missing or not ours"
    if why:
        raise UserError(
            "this is not an artifact, and is not overwritten", where=str(path), why=why, fix="choose another output"
        )


def _says_it_is_an_artifact(path: Path) -> bool:
    try:
        document = plain.parse(_bytes(path, MANIFEST, _MANIFEST_LIMIT), MANIFEST)
    except UserError:
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def _check_descriptors_in_memory(program: Program) -> None:
    encoded = encode_descriptors(program.descriptors, program.profile)
    if program.program[: len(encoded)].tobytes() != encoded:
        raise UserError("the program memory does not begin with the program's descriptors", where=program.name)


def _manifest_document(program: Program, keys: Mapping[str, str], contents: Mapping[str, Any]) -> dict[str, Any]:
    manifest = Manifest.of(
        program, keys, {name: FileEntry(bytes=len(data), sha256=_digest(data)) for name, data in contents.items()}
    )
    body = {"format": FORMAT, "format_version": FORMAT_VERSION, "sliceflow_version": version()}
    body |= encodable(plain.to_plain(manifest))  # a file's name, which a program may bear, need not be text
    return {**body, "checksum": hashlib.sha256(plain.canonical(body)).hexdigest()}


def _read_manifest(path: Path) -> Manifest:
    """Parse and check the manifest: first whose it is, then its version, then its checksum, then its content."""
    where = str(path / MANIFEST)
    if not path.is_dir():
        raise UserError(
            "there is no artifact" if not path.exists() else "an artifact is a folder",
            where=str(path),
            fix="name a folder that `sliceflow deploy` or `sliceflow compile` made",
        )
    if not (path / MANIFEST).exists():
        raise UserError(f"this folder is not an artifact: it has no {MANIFEST}", where=str(path))
    document = plain.parse(_bytes(path, MANIFEST, _MANIFEST_LIMIT), where)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError("this is not the manifest of a Sliceflow artifact", where=where)
    version = document.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise UserError(
            f"the artifact has format version {version!a}, not {FORMAT_VERSION}"[:200],
            where=where,
            fix="compile the model again with this version of Sliceflow",
        )
    checksum = document.pop("checksum", None)
    try:
        digest = hashlib.sha256(plain.canonical(document)).hexdigest()
    except RecursionError:
        refuse("the document is nested too deep", where)
    if checksum != digest:
        refuse("the manifest does not match its checksum", where)
    for key in ("format", "format_version"):
        del document[key]
    if not isinstance(document.pop("sliceflow_version", None), str):
        refuse("missing key 'sliceflow_version'", where)
    return Manifest.of_json(document, where)


def _check_listing(path: Path, manifest: Manifest) -> None:
    where = str(path / MANIFEST)
    needed = {PROGRAM, WEIGHTS, *manifest.cpu_models.values()}
    for name in sorted(needed - set(manifest.files)):
        refuse(f"{name[:200]!a} is not listed", where)
    for name in manifest.files:
        if not _NAME.fullmatch(name):
            refuse(f"{name[:200]!a} cannot be a file of an artifact", where)
        if name not in needed and not name.startswith("source/"):
            refuse(f"{name!r} belongs to no layer", where)
    if len(set(manifest.cpu_models.values())) != len(manifest.cpu_models):
        refuse("two CPU layers share a file", where)
    known = {MANIFEST, *manifest.files, *(str(Path(name).parent) for name in manifest.files)}
    for name in sorted(_listing(path) - known):
        raise UserError(f"{name[:200]!a} does not belong to this artifact", where=str(path), fix="remove it")


def _listing(path: Path) -> set[str]:
    """Names of all entries, two levels deep."""
    names = set()
    for entry in path.iterdir():
        if entry.name not in _LITTER:
            names.add(entry.name)
            if entry.is_dir() and not entry.is_symlink():
                names |= {f"{entry.name}/{inner.name}" for inner in entry.iterdir() if inner.name not in _LITTER}
    return names


def _read(path: Path, name: str, entry: FileEntry) -> NDArray[np.uint8]:
    """Read a listed file; its size is checked before memory is asked for."""
    where = str(path / name)
    if not 0 <= entry.bytes <= _LIMITS.get(name, _MODEL_LIMIT):
        refuse(f"{name} cannot have {entry.bytes} bytes", str(path / MANIFEST))
    with _open(path, name) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size != entry.bytes:
            raise UserError(
                f"the file has {size} bytes, not {entry.bytes}",
                where=where,
                why="it was cut off or changed after it was written",
                fix="copy the artifact again, or compile the model again",
            )
        data = np.empty(size, np.uint8)
        view, digest, position = memoryview(data.data), hashlib.sha256(), 0
        while position < size:
            count = stream.readinto(view[position : position + _CHUNK])
            if not count:
                refuse("the file became shorter while it was read", where)
            digest.update(view[position : position + count])
            position += count
    if digest.hexdigest() != entry.sha256:
        raise UserError(
            "the file does not match its checksum",
            where=where,
            why="it was changed after it was written",
            fix="copy the artifact again, or compile the model again",
        )
    return data


def _bytes(path: Path, name: str, limit: int) -> bytes:
    with _open(path, name) as stream:
        if os.fstat(stream.fileno()).st_size > limit:
            refuse(f"the file is larger than {limit} bytes", str(path / name))
        return stream.readall()


def _open(path: Path, name: str) -> io.FileIO:
    """Open a regular file; links (which could leave the folder), pipes and devices are refused."""
    where = str(path / name)
    if (path / name).parent != path and (path / name).parent.is_symlink():
        refuse("an artifact has no symbolic links", str((path / name).parent))
    try:
        handle = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if (path / name).is_symlink():
            refuse("an artifact has no symbolic links", where)
        raise UserError("a file of the artifact cannot be read", where=where, why=error.strerror or "") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        refuse("this is not a regular file", where)
    return io.FileIO(handle)


def _digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as stream:
        stream.write(memoryview(content))
        stream.flush()
        os.fsync(stream.fileno())
