"""The cache of compiled simulators. What is in it was written whole, or is made again."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sliceflow.errors import UserError
from sliceflow.files import write_file

logger = logging.getLogger(__name__)

VARIABLE = "XDG_CACHE_HOME"
_CONFUSES_MAKE = re.compile(r"""[\s"'`$#%&*?;:|<>()\[\]{}\\~!=^]""")
_SEAL = ".sha256"


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/sliceflow``; ``~/.cache/sliceflow`` if that is unset, empty or not an absolute path."""
    base = Path(os.environ.get(VARIABLE, ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # a user without a home
            return temporary_cache()
    return base / "sliceflow"


def cached(target: Path, make: Callable[[Path], None]) -> Path:
    """A file or folder of the cache; made unless it is there, as whole as it was made.

    A checksum beside it tells: what was cut off (a full disk, a machine that lost power) is made again, since loading
    it could end the process.

    Args:
        target: where it belongs. Its name says everything that it depends on, since it is not made twice.
        make: makes it at the path that it is given, in an empty folder. Processes that want the same target at the same
            time wait for the first.

    Returns:
        ``target``; a path in ``temporary_cache`` if that cannot be written.

    Raises:
        UserError: neither can be written.
    """
    try:
        return _cached(target, make)
    except OSError as error:
        place = temporary_cache()
        _tell(str(target.parent), str(error), str(place))
        try:
            return _cached(place / target.name, make)
        except OSError as second:
            raise UserError(
                "the simulator cannot be put into the cache",
                where=f"{target.parent}, {place}",
                why=f"{error}; {second}",
                fix=f"set {VARIABLE} to a folder that can be written, with room for a few megabytes",
            ) from second


def cache_for_make(folder: Path) -> Path:
    """A cache in which make and its shell work: ``folder``, or ``temporary_cache`` if its name would confuse them."""
    if not _CONFUSES_MAKE.search(str(folder)):
        return folder
    place = temporary_cache()
    _tell(str(folder), "make and the shell split its name", str(place))
    return place


def temporary_cache() -> Path:
    """A folder for this user among the temporary files; made if it does not exist.

    Raises:
        UserError: somebody else could write to it, and what is in the cache is executed.
    """
    place = Path(tempfile.gettempdir(), f"sliceflow-{os.geteuid()}")
    try:
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
        why = "" if private else "it belongs to somebody else, or others may write to it"
    except OSError as error:
        why = str(error)
    if why:
        raise UserError(
            "there is no place for compiled simulators",
            where=str(place),
            why=why,
            fix=f"set {VARIABLE} to a folder that can be written, with room for a few megabytes",
        )
    return place


@functools.cache
def _tell(folder: str, problem: str, place: str) -> None:
    logger.warning(
        "the cache %s cannot be used (%s); compiled simulators are kept in %s\nset %s to choose another folder",
        folder,
        problem,
        place,
        VARIABLE,
    )


def _cached(target: Path, make: Callable[[Path], None]) -> Path:
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_name(target.name + ".lock")):
        if not _is_whole(target):
            _make(target, make)
    return target


def _make(target: Path, make: Callable[[Path], None]) -> None:
    scratch_prefix = f".build-{target.name}-"
    for rest in target.parent.glob(f"{scratch_prefix}*"):  # of processes that were killed: this one has the lock
        shutil.rmtree(rest, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix, dir=target.parent) as scratch:
        output = Path(scratch, "out")
        make(output)
        _remove(target)
        write_file(_seal(target), _content(output).encode())
        output.replace(target)


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _is_whole(target: Path) -> bool:
    """Whether it is there, and what it was when it was made."""
    try:
        return _seal(target).read_text(encoding="ascii") == _content(target)
    except (OSError, UnicodeDecodeError):
        return False


def _seal(target: Path) -> Path:
    return target.with_name(target.name + _SEAL)


def _content(target: Path) -> str:
    """Checksum of a file, or of the names and contents in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in target.rglob("*") if path.is_file()) if target.is_dir() else [target]:
        digest.update(os.fsencode(path.relative_to(target)) + b"\0")
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds a lock among processes; it goes with the process that holds it. File systems without locks go without."""
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
