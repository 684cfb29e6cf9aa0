"""The cache of compiled simulators: where it is, and that nothing in it is used that was not written whole."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sliceflow.devices import cache
from sliceflow.devices.cache import cached, default_cache, temporary_cache
from sliceflow.errors import UserError

CONTENT = b"\x7fELF" + bytes(10_000) + b"end"


class Maker:
    """Makes a file, or a folder with two; counts how often."""

    def __init__(self, *, folder: bool) -> None:
        self.folder, self.count = folder, 0

    def __call__(self, output: Path) -> None:
        self.count += 1
        files = [output]
        if self.folder:
            output.joinpath("bin").mkdir(parents=True)
            files = [output / "bin" / "program", output / "include"]
        for file in files:
            file.write_bytes(CONTENT)

    def file(self, target: Path) -> Path:
        return target / "bin" / "program" if self.folder else target


@pytest.fixture(params=[False, True], ids=["file", "folder"])
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(folder=request.param)


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    cache._tell.cache_clear()
    return folder


def test_what_is_whole_is_made_once(make: Maker, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "t.so"
    for _ in range(3):
        assert cached(target, make) == target
    assert make.count == 1
    assert make.file(target).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "spoil", ["cut off", "grown", "changed", "removed", "no checksum", "checksum cut off", "binary"]
)
def test_what_was_damaged_is_made_again(make: Maker, spoil: str, tmp_path: Path) -> None:
    target = cached(tmp_path / "t.so", make)
    file, seal = make.file(target), tmp_path / "t.so.sha256"
    {
        "cut off": lambda: os.truncate(file, 5000),
        "grown": lambda: file.write_bytes(CONTENT + b"x"),
        "changed": lambda: file.write_bytes(CONTENT[:-1] + b"x"),
        "removed": file.unlink,
        "no checksum": seal.unlink,
        "checksum cut off": lambda: os.truncate(seal, 10),
        "binary": lambda: seal.write_bytes(b"\xff" * 64),
    }[spoil]()
    assert cached(target, make) == target
    assert make.file(target).read_bytes() == CONTENT
    assert make.count == 2
    cached(target, make)
    assert make.count == 2


def test_what_an_older_version_left_is_not_trusted(make: Maker, tmp_path: Path) -> None:
    target = tmp_path / "t.so"
    target.write_bytes(b"who knows")
    assert make.file(cached(target, make)).read_bytes() == CONTENT


KILLED = """
import os, signal, sys
from pathlib import Path
from sliceflow.devices import cache
moment, target = sys.argv[1], Path(sys.argv[2])
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
def make(output):
    output.write_bytes(b"half")
    if moment == "making": die()
if moment == "before": cache.write_file = die
if moment == "after": Path.replace = lambda self, to: die() if to == target else os.replace(self, to)
cache.cached(target, make)
"""


@pytest.mark.parametrize("moment", ["making", "before", "after"])
def test_a_process_that_is_killed_leaves_nothing_that_is_used(moment: str, make: Maker, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "t.so"
    done = subprocess.run([sys.executable, "-c", KILLED, moment, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert cached(target, make) == target
    assert make.file(target).read_bytes() == CONTENT
    assert make.count == 1
    assert sorted(path.name for path in target.parent.iterdir()) == ["t.so", "t.so.lock", "t.so.sha256"]


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(output: Path) -> None:
        output.write_bytes(b"half")
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        cached(tmp_path / "t.so", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["t.so.lock"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, "HOME/.cache/sliceflow"),
        ("", "HOME/.cache/sliceflow"),
        ("relative/place", "HOME/.cache/sliceflow"),
        ("~/cache", "HOME/.cache/sliceflow"),
        ("/some/where", "/some/where/sliceflow"),
    ],
)
def test_the_place_follows_the_base_directory_specification(
    value: str | None, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if value is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert str(default_cache()) == place.replace("HOME", str(tmp_path))


def test_without_a_home_the_temporary_folder_serves(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert default_cache() == temporary / f"sliceflow-{os.geteuid()}"


def test_a_cache_that_cannot_be_written_is_replaced_with_a_warning(
    make: Maker, tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("in the way", encoding="ascii")
    caplog.set_level(logging.WARNING, "sliceflow")
    for _ in range(2):
        target = cached(place / "t.so", make)
        assert make.file(target).read_bytes() == CONTENT
    assert target == temporary_cache() / "t.so"
    assert make.count == 1
    assert str(place) in caplog.messages[0]
    assert str(temporary) in caplog.messages[0]
    assert len(caplog.messages) == 1


def test_a_temporary_folder_that_others_may_write_is_refused(make: Maker, tmp_path: Path) -> None:
    temporary_cache().chmod(0o777)
    place = tmp_path / "file"
    place.write_text("in the way", encoding="ascii")
    with pytest.raises(UserError, match="no place for compiled simulators") as caught:
        cached(place / "t.so", make)
    assert "XDG_CACHE_HOME" in caught.value.fix
    assert make.count == 0
