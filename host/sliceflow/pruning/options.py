"""Options that users write, as typed frozen dataclasses: nothing unknown, nothing of a wrong type."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from sliceflow.errors import UserError

Options = TypeVar("Options")


def parse(kind: type[Options], values: Mapping[str, Any], where: str) -> Options:
    """Make a dataclass of options, with the dataclasses inside it, from plain data.

    Args:
        kind: a frozen dataclass; its fields are numbers, strings, ``Literal``, tuples, mappings, or such dataclasses.
        values: what the user wrote: TOML, JSON or keyword arguments. Lists become tuples.
        where: the file or method, for messages.

    Raises:
        UserError: a key is unknown or missing, or a value has another type. All problems are named at once.
    """
    import pydantic

    adapter = pydantic.TypeAdapter(
        dict[str, kind],  # type: ignore[valid-type]  # a configuration reaches dataclasses only through a container
        config=pydantic.ConfigDict(extra="forbid", strict=True),
    )
    try:
        text = json.dumps({"": dict(values)})
    except (TypeError, ValueError) as error:
        raise UserError("options must be numbers, strings, lists or tables", where=where, why=str(error)) from error
    try:
        options: Options = adapter.validate_json(text)[""]
    except pydantic.ValidationError as error:
        problems = [_problem(kind, found) for found in error.errors(include_url=False)]
        what = "an option is wrong" if len(problems) == 1 else f"{len(problems)} options are wrong"
        fixes = dict.fromkeys(fix for _, fix in problems if fix)
        raise UserError(what, where=where, why="\n".join(why for why, _ in problems), fix="\n".join(fixes)) from error
    return options


def finite(value: float) -> float | None:
    """A number that JSON can hold: None for infinities and what is not a number."""
    return value if math.isfinite(value) else None


def _problem(kind: type, found: Any) -> tuple[str, str]:
    """What is wrong with one key, and what to do."""
    path = [str(part) for part in found["loc"][1:]]
    key = ".".join(path)
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys(kind, path[:-1])
        close = difflib.get_close_matches(path[-1], known, 1)
        fix = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        return f"{key}: there is no such key", fix
    if found["type"] in ("missing", "missing_argument"):
        return f"{key}: this key is missing", f"add {key!r}"
    message = str(found["msg"]).removeprefix("Input should be ")
    return f"{key}: must be {message}, not {found['input']!r}", ""


def _keys(kind: Any, path: list[str]) -> list[str]:
    """The keys of the table at a path."""
    for part in path:
        hint = get_type_hints(kind)[part]
        kind = next(option for option in (hint, *getattr(hint, "__args__", ())) if dataclasses.is_dataclass(option))
    return [field.name for field in dataclasses.fields(kind)]
