"""The folder of a study: one file for each finished cell, and a manifest that keeps other studies out.

    manifest.json    what the results depend on, its checksum, and one entry for each run
    log.jsonl        what happened when, one event a line; nothing is ever erased
    cells/*.json     results
    models/*.onnx    networks as they were measured
    work/            checkpoints; may be removed when the study is done

Everything is written beside its place and renamed, so a killed study leaves whole files only.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sliceflow.errors import UserError
from sliceflow.files import write_file

FORMAT = "sliceflow-study"
VERSION = 1


class Store:
    """Reads and writes the folder.

    Args:
        folder: made if it does not exist.
        identity: what the results depend on, plain data.

    Raises:
        UserError: the folder belongs to another study, or cannot be read or written.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity
        self.checksum = checksum(identity)

    def begin(self, run: dict[str, Any]) -> None:
        """Write the manifest, or check the one that is there; and note that a run begins.

        Args:
            run: when, where and how, plain data.
        """
        path = self.folder / "manifest.json"
        if path.exists():
            manifest = read_json(path)
            self._compare(manifest, path)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise UserError(
                "the folder holds something else than a study", where=str(self.folder), fix="name another folder"
            )
        else:
            manifest = {"format": FORMAT, "version": VERSION, "checksum": self.checksum, "identity": self.identity}
            manifest["runs"] = []
        manifest["runs"].append(run)
        write_json(path, manifest)
        self.log("run", run)

    def _compare(self, manifest: Any, path: Path) -> None:
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or "runs" not in manifest:
            raise UserError("this is not the manifest of a study", where=str(path), fix="name another folder")
        if manifest.get("checksum") == self.checksum:
            return
        changed = differing(manifest.get("identity", {}), self.identity)
        raise UserError(
            "the folder holds the results of another study",
            where=str(path),
            why=f"these differ: {', '.join(changed[:6]) or 'the version of the format'}",
            fix="name another folder for --output; results of different studies must not be mixed",
        )

    def result(self, key: str) -> dict[str, Any] | None:
        """The result of a cell, None if it is not finished."""
        path = self._cell(key)
        if not path.exists():
            return None
        document = read_json(path)
        if not isinstance(document, dict) or document.get("study") != self.checksum:
            raise UserError(
                "the result belongs to another study", where=str(path), fix="remove the file; it is made again"
            )
        return document

    def put(self, key: str, result: dict[str, Any]) -> None:
        """Keep the result of a cell."""
        write_json(self._cell(key), {"study": self.checksum, **result})
        self.log("cell", {"key": key, "seconds": result.get("seconds")})

    def put_model(self, key: str, model: bytes) -> None:
        """Keep a network."""
        write_file(self.folder / "models" / f"{key}.onnx", model)

    def model(self, key: str) -> bytes:
        """A network that was kept.

        Raises:
            UserError: it is not there.
        """
        path = self.folder / "models" / f"{key}.onnx"
        try:
            return path.read_bytes()
        except OSError as error:
            fix = f"see why cell {key} failed; if it did not, remove {self._cell(key)}, and it is made again"
            raise UserError("the network cannot be read", where=str(path), why=str(error.strerror), fix=fix) from error

    def log(self, event: str, facts: dict[str, Any]) -> None:
        """Append an event; a line is written at once, so workers may do so beside each other."""
        line = json.dumps({"event": event, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts})
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def _cell(self, key: str) -> Path:
        return self.folder / "cells" / f"{key}.json"


def checksum(document: Any) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()


def differing(old: Any, new: Any, path: str = "") -> list[str]:
    """Paths of keys at which two documents differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys: Sequence[str] = [*old, *(key for key in new if key not in old)]
        return [
            found
            for key in keys
            for found in differing(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [path]


def read_json(path: Path) -> Any:
    """A document.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("the file cannot be read", where=str(path), why=str(error), fix="remove it") from error


def write_json(path: Path, document: Any) -> None:
    """Write a document; it appears whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        write_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise UserError("the file cannot be written", where=str(path), why=str(error)) from error
