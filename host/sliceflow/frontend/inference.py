"""onnx's shape inference, at arm's length: see ``inference_worker``."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import struct
import subprocess
import sys
import threading
from pathlib import Path

import onnx

from sliceflow.errors import UserError

logger = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds that one inference may take."""
_WORKER = Path(__file__).with_name("inference_worker.py")


class _Worker:
    """The process, started at the first request and again after a crash. One request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: bytes) -> bytes:
        """The reply to a request.

        Raises:
            UserError: the process died or did not answer in time.
        """
        with self._lock:
            process = self._running()
            replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            thread = threading.Thread(target=_exchange, args=(process, request, replies), daemon=True)
            thread.start()
            try:
                reply = replies.get(timeout=TIMEOUT)
            except queue.Empty:
                reply = b""
            if reply:
                thread.join()
                return reply
            alive = process.poll() is None and thread.is_alive()
            self._stop()
            why = f"it took longer than {TIMEOUT:.0f} s" if alive else "it crashed"
            raise UserError(
                "onnx's shape inference cannot work on this model",
                why=why,
                fix="the model is probably damaged: check it with onnx.checker and export it again",
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            # -P keeps this folder, with its torch.py, out of the module path.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._owner = os.getpid()
        return self._process

    def _stop(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:
                        logger.debug("the pipe of the inference process was broken")
        self._process = None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()


def _exchange(process: subprocess.Popen[bytes], request: bytes, replies: queue.SimpleQueue[bytes]) -> None:
    """Write the request and read the reply; an empty one means that the process is gone."""
    try:
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.write(struct.pack("<I", len(request)) + request)
        process.stdin.flush()
        header = process.stdout.read(4)
        size = struct.unpack("<I", header)[0] if len(header) == 4 else 0
        reply = process.stdout.read(size)
        replies.put(reply if len(reply) == size else b"")
    except (OSError, ValueError):
        replies.put(b"")


_worker = _Worker()
atexit.register(_worker.close)


def infer(model: onnx.ModelProto) -> onnx.GraphProto | None:
    """Infer the shapes of a model whose weights were left out.

    Returns:
        A graph with the inferred ``value_info`` and ``output`` only; None if inference refuses the model.

    Raises:
        UserError: inference crashed or took too long.
    """
    reply = _worker.ask(model.SerializeToString())
    if reply[:1] != b"+":
        logger.info("shape inference: %s", reply[1:].decode("utf-8", "replace"))
        return None
    return onnx.ModelProto.FromString(reply[1:]).graph
