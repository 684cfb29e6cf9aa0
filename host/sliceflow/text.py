"""Names as they can be shown and written: file names may hold bytes that are no text, and models any character."""

from __future__ import annotations

from typing import Any

# Python keeps a byte of a file name that is no UTF-8 as a surrogate, which no encoding has.
_SURROGATES = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
_SURROGATES |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != 10}
_CONTROL |= {code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_UNPRINTABLE = _SURROGATES | _CONTROL


def printable(text: str) -> str:
    """Text without control characters and what no encoding has; lines stay lines."""
    return text.translate(_UNPRINTABLE)


def encodable(document: Any) -> Any:
    r"""Text, or plain data with text in it, with escapes for what no encoding has: a byte 0xff becomes ``\xff``."""
    if isinstance(document, str):
        return document.translate(_SURROGATES)
    if isinstance(document, dict):
        return {encodable(key): encodable(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [encodable(item) for item in document]
    return document
