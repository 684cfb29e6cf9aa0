"""Mutations of any field of any protobuf message of a model."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor

INTEGERS = (0, 1, -1, 2, 7, 127, 255, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "x",
    " ",
    "ai.onnx",
    "com.microsoft",
    "../../../../etc/passwd",
    "/dev/zero",
    "x" * 100_000,
    "\x1b[31mred\x1b[0m\r\n\x07\x00",
    "a\nerror: b",
    "%s%n{}\\",
    "名前\u202e\u2028",
    "[bold]markup[/bold] <b>&",
)


def mutate_fields(model: onnx.ModelProto, chance: random.Random) -> str:
    """Change up to three fields in place; returns what was done."""
    done = []
    for _ in range(chance.choice([1, 1, 2, 3])):
        kinds: dict[str, list[Any]] = defaultdict(list)
        _collect(model, kinds, 0)
        message = chance.choice(kinds[chance.choice(sorted(kinds))])
        field = chance.choice(_interesting(message, chance))
        done.append(f"{message.DESCRIPTOR.name}.{field.name}: {_mutate(message, field, chance)}")
    return "; ".join(done)


def _collect(message: Any, kinds: dict[str, list[Any]], depth: int) -> None:
    kinds[message.DESCRIPTOR.name].append(message)
    if depth > 12:
        return
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in value if _is_repeated(field) else [value]:
                _collect(item, kinds, depth + 1)


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _interesting(message: Any, chance: random.Random) -> list[FieldDescriptor]:
    """The fields that are set, or now and then all of them."""
    there = [field for field, _ in message.ListFields()]
    return there if there and chance.random() < 0.75 else list(message.DESCRIPTOR.fields)


def _mutate(message: Any, field: FieldDescriptor, chance: random.Random) -> str:
    if _is_repeated(field):
        return _mutate_list(message, field, chance)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if chance.random() < 0.5:
            message.ClearField(field.name)
            return "cleared"
        getattr(message, field.name).Clear()
        getattr(message, field.name).SetInParent()
        return "empty"
    if chance.random() < 0.2:
        message.ClearField(field.name)
        return "cleared"
    value = _scalar(field, chance, getattr(message, field.name))
    setattr(message, field.name, value)
    return f"{value!r}"[:80]


def _mutate_list(message: Any, field: FieldDescriptor, chance: random.Random) -> str:
    items = getattr(message, field.name)
    action = chance.choice(["delete", "double", "clear", "add", "change", "change", "swap"])
    place = chance.randrange(len(items)) if len(items) else 0
    if action == "clear":
        message.ClearField(field.name)
    elif action == "add" or not len(items):
        action = "added"
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            items.add()
        else:
            items.append(_scalar(field, chance, None))
    elif action == "delete":
        del items[place]
    elif action == "double" and field.type == FieldDescriptor.TYPE_MESSAGE:
        items.add().CopyFrom(items[place])
    elif action == "double":
        items.append(items[place])
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        other = chance.randrange(len(items))
        copy = type(items[place])()
        copy.CopyFrom(items[place])
        items[place].CopyFrom(items[other])
        if action == "swap":
            items[other].CopyFrom(copy)
    else:
        items[place] = _scalar(field, chance, items[place])
    return f"{action} [{place}]"


def _scalar(field: FieldDescriptor, chance: random.Random, old: Any) -> Any:
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        text = chance.choice(TEXTS) if chance.random() < 0.7 or not old else _nearby(old, chance)
        if field.type == FieldDescriptor.TYPE_STRING:
            return text if isinstance(text, str) else text.decode("utf-8", "replace")
        return text.encode() if isinstance(text, str) else text
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return chance.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return chance.choice(list(field.enum_type.values_by_number))
    if chance.random() < 0.3 and isinstance(old, int) and 0 <= old < 1 << 30:
        return max(0, old + chance.choice([-1, 1, 2, 100]))
    low, high = {
        FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
        FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    }.get(field.type, (-(2**63), 2**63 - 1))
    return chance.choice([value for value in INTEGERS if low <= value <= high])


def _nearby(old: Any, chance: random.Random) -> Any:
    place = chance.randrange(len(old))
    return old[:place] + old[place + 1 :] if chance.random() < 0.5 else old + old[: place + 1]
