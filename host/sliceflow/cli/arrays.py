"""NumPy files in and out."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.files import atomic_file
from sliceflow.graph.program import Value
from sliceflow.runtime.values import widened

LARGEST = 1 << 30
"""Largest content of an input file, unpacked, in bytes."""
Array = NDArray[Any]
_DAMAGED = (ValueError, TypeError, EOFError, KeyError, SyntaxError, NotImplementedError, RuntimeError, OverflowError)
_LONGEST_NAME = (1 << 16) - 1 - len(".npy")
"""Bytes of an array's name that a ZIP archive holds."""
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path, inputs: Sequence[Value]) -> dict[str, Array]:
    """Read the inputs of a model.

    Args:
        path: ``.npz`` with an array for each input (one array of any name serves a single input), or ``.npy``.
        inputs: the model's inputs. For a float32 input the file may hold float16, which is widened.

    Raises:
        UserError: the file cannot be read.
    """
    where = str(path)
    if path.suffix not in (".npy", ".npz"):
        raise UserError("inputs must be in a .npy or .npz file", where=where)
    try:
        found = _npz(path) if path.suffix == ".npz" else {"": np.ascontiguousarray(np.load(path, mmap_mode="r"))}
    except OSError as error:
        raise UserError("the inputs cannot be read", where=where, why=error.strerror or str(error)) from error
    except (*_DAMAGED, *_DAMAGED_ZIP) as error:
        raise UserError("this is not a NumPy file with plain arrays", where=where, why=str(error)[:200]) from error
    if len(found) == len(inputs) == 1:
        return widened(inputs, {inputs[0].name: next(iter(found.values()))})
    if path.suffix == ".npy":
        names = ", ".join(repr(value.name) for value in inputs)
        raise UserError("a .npy file serves a model with one input", where=where, fix=f"write a .npz with {names}")
    return widened(inputs, found)


def _npz(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST:
        raise UserError(
            f"the file unpacks to {size} bytes",
            where=str(path),
            why=f"the limit is {LARGEST}",
            fix="run fewer at once, or give a .npy file",
        )
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write ``.npz``, or ``.npy`` for a single array, whole or not at all.

    Raises:
        UserError: the name of the file, or of an array, does not fit.
        OSError: it cannot be written.
    """
    if path.suffix not in (".npy", ".npz") or (path.suffix == ".npy" and len(arrays) != 1):
        raise UserError(
            f"{len(arrays)} outputs cannot be written to this file",
            where=str(path),
            fix="name a file that ends in .npz",
        )
    for name in arrays if path.suffix == ".npz" else ():
        if "\0" in name or len(name.encode(errors="replace")) > _LONGEST_NAME:
            raise UserError(
                "an output's name cannot stand in an .npz file",
                where=f"output {name[:40]!a}",
                why=f"it has {len(name)} characters; {_LONGEST_NAME} bytes without a zero are allowed",
                fix="rename the output in the model" + (", or write a .npy file" if len(arrays) == 1 else ""),
            )
    with atomic_file(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, next(iter(arrays.values())))
            return
        with zipfile.ZipFile(stream, "w") as archive:  # not np.savez: an output may be called "file"
            for name, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
                archive.writestr(f"{name}.npy", content.getbuffer())
