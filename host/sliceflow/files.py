"""Files and folders that appear whole or not at all.

Everything is written beside its destination, flushed to the disk, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO


def beside(path: Path) -> Path:
    """A name in the same folder that is not in use."""
    return path.with_name(f".{path.name[:64]}.{secrets.token_hex(6)}.part")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when the block ends without an error.

    Args:
        path: the destination; an existing file is replaced, missing parent folders are made.

    Raises:
        OSError: the destination cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = beside(path)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # the name that the caller knows
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_file(path) as stream:
        stream.write(content)


def write_folder(path: Path, fill: Callable[[Path], None], may_replace: Callable[[Path], None]) -> None:
    """Write a folder atomically.

    Args:
        path: the destination; missing parent folders are made.
        fill: writes the content into an empty folder.
        may_replace: called with an existing destination; raises if that must stay.

    Raises:
        OSError: the destination cannot be written.
    """
    path = path.resolve() if path.is_symlink() else path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        temporary.mkdir()
        fill(temporary)
        for folder in (temporary, *filter(Path.is_dir, temporary.rglob("*"))):
            _sync(folder)
        _put(temporary, path, may_replace)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, path: Path, may_replace: Callable[[Path], None]) -> None:
    """Rename; a folder that stands there is moved aside first, and put back if the rename fails."""
    with _locked(path.parent):
        old = None
        if path.exists():
            may_replace(path)
            old = beside(path)
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old is not None:
                old.rename(path)
            raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other writers of the same folder waiting; file systems without locks go without."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # also unlocks


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
