"""Runs onnx's shape inference in a process of its own. Started by ``inference``, by path; imports nothing of Sliceflow.

onnx infers in C++, which crashes or allocates without bound on some damaged graphs; here it takes only this process
along.

Protocol, on standard input and output: requests and replies are a 4-byte little-endian length and that many bytes. A
request is a serialized ModelProto. A reply is one status byte and a payload: ``+`` and a ModelProto whose graph holds
only the inferred ``value_info`` and ``output``, or ``-`` and the text of the error.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from typing import BinaryIO

import onnx

MAX_MEMORY = 4 << 30
"""Address space of this process, in bytes."""


def main() -> None:
    """Answer requests until the input ends."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not disturb the replies
    while (request := _read(sys.stdin.buffer)) is not None:
        reply = _answer(request)
        replies.write(struct.pack("<I", len(reply)) + reply)
        replies.flush()


def _read(stream: BinaryIO) -> bytes | None:
    header = stream.read(4)
    return stream.read(struct.unpack("<I", header)[0]) if len(header) == 4 else None


def _answer(request: bytes) -> bytes:
    try:
        model = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(request))
        result = onnx.ModelProto()
        result.graph.value_info.extend(model.graph.value_info)
        result.graph.output.extend(model.graph.output)
        return b"+" + bytes(result.SerializeToString())
    except Exception as error:  # whatever it is, the caller goes on without shapes
        return b"-" + str(error).encode("utf-8", "replace")[:1000]


if __name__ == "__main__":
    main()
