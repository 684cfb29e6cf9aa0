"""Functions that users name in recipes."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sliceflow.errors import SliceflowError, UserError

_PREFIX = "sliceflow_recipe_"
"""Of the names of modules that are files beside a recipe."""


def resolve(reference: str, folder: Path, where: str) -> Callable[..., Any]:
    """Find a function. Its module is imported, so this runs the user's code.

    Args:
        reference: ``package.module:function``, searched where Python searches, then in the working directory and in
            ``folder``; or ``file.py:function``, relative to ``folder``.
        folder: the recipe's folder.
        where: the key, for messages.

    Raises:
        UserError: it is not found, or its module fails when it is imported.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        fix = "write it as package.module:function or file.py:function"
        raise UserError(f"this does not name a function: {reference!r}", where=where, fix=fix)
    try:
        module = _file(folder / place) if place.endswith(".py") else _module(place, folder)
    except Exception as error:  # the module is the user's code
        raise UserError(f"the module of {reference!r} cannot be imported", where=where, why=reason_of(error)) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise UserError(f"there is no function {name!r} in {place}", where=where)
    return found  # type: ignore[no-any-return]  # callable() has been asked


def call(function: Callable[..., Any], arguments: dict[str, Any], where: str) -> Any:
    """Call a user's function.

    Raises:
        UserError: it raised something.
    """
    try:
        return function(**arguments)
    except UserError:
        raise
    except Exception as error:  # the user's code may raise anything
        name = getattr(function, "__qualname__", repr(function))
        raise UserError(f"{name} failed", where=where, why=reason_of(error)) from error


@contextmanager
def blamed(references: Collection[str]) -> Iterator[None]:
    """Errors that pass through a user's module within the block are the user's.

    Args:
        references: what was resolved; all modules of these packages count, and all files.

    Raises:
        UserError: such an error, with the last place in the user's code.
    """
    packages = {reference.partition(":")[0].split(".")[0] for reference in references}
    try:
        yield
    except SliceflowError:
        raise
    except Exception as error:
        for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
            module = str(frame.f_globals.get("__name__", ""))
            if module.startswith(_PREFIX) or module.split(".")[0] in packages - {"sliceflow"}:
                where = f"{Path(frame.f_code.co_filename).name}, line {line}"
                raise UserError("code that the recipe names failed", where=where, why=reason_of(error)) from error
        raise


def reason_of(error: BaseException) -> str:
    """An error of foreign code in one line: its kind, and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _module(name: str, folder: Path) -> ModuleType:
    with _searched(Path.cwd(), folder):
        return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    path = path.resolve()
    name = f"{_PREFIX}{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling of workers look modules up by name
    try:
        with _searched(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _searched(*folders: Path) -> Iterator[None]:
    """Modules are searched in these folders too, behind all others."""
    added = [str(folder.resolve()) for folder in folders]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)
