"""Strict conversion between the program's dataclasses and JSON.

Reading tolerates no surprise: a key that is unknown, missing, doubled or of the wrong type is refused by its path in
the document (``tensors[3].base``), and so are numbers that JSON does not have (NaN, 1e999) or that no program needs.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any, NoReturn, TypeVar

import numpy as np

from sliceflow.errors import UserError

T = TypeVar("T")
LARGEST = 2**53
"""Largest integer of a manifest; every JSON reader keeps it exactly."""


def refuse(what: str, where: str) -> NoReturn:
    """Refuse a document.

    Raises:
        UserError: always.
    """
    raise UserError(
        what, where=where, why="the artifact is damaged, or made by other hands", fix="compile the model again"
    )


def to_plain(value: Any) -> Any:
    """A dataclass (nested, in tuples) as mappings, lists and scalars. Tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def dump(document: Any) -> str:
    """JSON text that a human can read and a diff can follow. NaN is refused."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def canonical(document: Any) -> bytes:
    """The one JSON text of a document: sorted keys, no spaces. Checksums are taken over it."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse(text: bytes, where: str) -> Any:
    """Parse JSON strictly.

    Raises:
        UserError: not JSON, doubled keys, NaN or infinity, or nested too deep.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) != len(items):
            raise ValueError("a key appears twice")  # caught below, with the place
        return table

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"{digits[:40]} is too large")
        return value

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON number")

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_float=number, parse_constant=constant)
    except RecursionError:
        refuse("the document is nested too deep", where)
    except ValueError as error:  # JSON, UTF-8 and the three above
        refuse(f"this is not valid JSON: {error}", where)


@functools.cache
def _types(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def from_plain(kind: type[T], data: Any, where: str) -> T:
    """Build a dataclass, a tuple type or a scalar from plain data.

    Args:
        kind: a dataclass, ``tuple[X, ...]``, ``dict[str, X]``, ``str``, ``int``, ``float`` or ``X | None``.
        data: what ``parse`` returned.
        where: path of the value in the document.

    Raises:
        UserError: anything about the data is not as the type says.
    """
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list):
            refuse(f"a list must stand here, not {_kind_of(data)}", where)
        item = typing.get_args(kind)[0]
        return typing.cast(T, tuple(from_plain(item, entry, f"{where}[{i}]") for i, entry in enumerate(data)))
    if origin is dict:
        if not isinstance(data, dict):
            refuse(f"a table must stand here, not {_kind_of(data)}", where)
        item = typing.get_args(kind)[1]
        return typing.cast(T, {key: from_plain(item, entry, f"{where}[{key[:80]!a}]") for key, entry in data.items()})
    if origin is types.UnionType:
        return typing.cast(T, None if data is None else from_plain(typing.get_args(kind)[0], data, where))
    return typing.cast(T, _scalar(kind, data, where))


def _dataclass(kind: type[T], data: Any, where: str) -> T:
    if not isinstance(data, dict):
        refuse(f"a table must stand here, not {_kind_of(data)}", where)
    hints = _types(typing.cast(Any, kind))
    for key in data:
        if key not in hints:
            refuse(f"unknown key {key[:80]!a}", where)
    for key in hints:
        if key not in data:
            refuse(f"missing key {key!r}", where)
    return kind(**{key: from_plain(hint, data[key], f"{where}.{key}") for key, hint in hints.items()})


def _scalar(kind: Any, data: Any, where: str) -> Any:
    accepted = (int, float) if kind is float else kind
    if isinstance(data, bool) or not isinstance(data, accepted):
        refuse(f"a value of type {kind.__name__} must stand here, not {_kind_of(data)}", where)
    if isinstance(data, str):
        if not data.isascii() and any("\ud800" <= character <= "\udfff" for character in data):
            refuse("the text is not valid Unicode", where)
        return data
    if not -LARGEST <= data <= LARGEST:
        refuse("the number is too large", where)
    return kind(data)


def _kind_of(data: Any) -> str:
    shown = ascii(data)
    return shown if len(shown) <= 40 and not isinstance(data, (dict, list)) else type(data).__name__
