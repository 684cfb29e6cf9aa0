"""States of runs on disk. They hold tensors and plain data only, and are loaded as such."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from sliceflow.errors import UserError
from sliceflow.files import write_file


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state; an older one is replaced once the new one is whole.

    Args:
        path: the file.
        state: ``identity`` says what the state belongs to; everything is tensors, numbers, strings, None, and lists and
            dictionaries of them.

    Raises:
        UserError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        write_file(path, buffer.getvalue())
    except OSError as error:
        raise UserError("the checkpoint cannot be written", where=str(path), why=str(error)) from error


def load(path: Path, identity: Any) -> dict[str, Any]:
    """Read a state.

    Raises:
        UserError: it cannot be read, is damaged, or belongs to something else.
    """
    fix = "remove it, or name another folder"
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError("the checkpoint cannot be read", where=str(path), why=reason, fix=fix) from error
    if not isinstance(state, dict) or state.get("identity") != identity:
        raise UserError("the checkpoint belongs to another run", where=str(path), why="its options differ", fix=fix)
    return state
