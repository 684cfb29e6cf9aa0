"""Text fields of a protobuf message."""

from __future__ import annotations

from typing import Any

from sliceflow.errors import UserError


def verify_text(message: Any, where: str) -> None:
    """Refuse a message in which a name is not UTF-8; protobuf hands such a field over as bytes.

    Raises:
        UserError: there is one.
    """
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            texts = [value] if isinstance(value, (str, bytes)) else value
            if any(isinstance(text, bytes) for text in texts):
                raise UserError(
                    f"the field {field.name} of the model is not text",
                    where=where,
                    why="its bytes are not UTF-8",
                    fix="the file is damaged: export or download it again",
                )
        elif field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                verify_text(inner, where)
