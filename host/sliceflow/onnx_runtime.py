"""The only place that opens ONNX Runtime sessions, for one of two purposes.

``exact_session`` stands for the truth: every node computes what ONNX says it computes, whatever the processor.
``user_session`` stands for speed: ONNX Runtime with its defaults, as a user would run it. There quantized layers are
rewritten to integer kernels, and on some processors those add pairs of products in 16 bits, where they saturate.
docs/numerics.md has the figures behind the choice of options.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sliceflow.errors import UserError
from sliceflow.text import encodable
from sliceflow.unsigned_operators import NAMES, with_unsigned_operands

Level = Literal["none", "extended", "all"]
"""What ONNX Runtime may rewrite: nothing; all but the layout of convolutions and the order of their sums; anything."""
_PRECISE = {"session.x64quantprecision": "1"}
_EXACT = {
    "session.disable_quant_qdq": "1",  # float operators between the quantizers, as the graph says
    "session.disable_double_qdq_remover": "1",  # two quantizers in a row round twice
    **_PRECISE,  # integer operators that a rewrite makes of the model's own
}
_QUANTIZERS = (b"QuantizeLinear", b"DequantizeLinear", b"QLinear")
_FLOATS = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
_FOLDER = "session.model_external_initializers_file_folder_path"
_SHOWN = 300
"""Characters of ONNX Runtime's messages that an error quotes."""


class OnnxSession:
    """A session of ONNX Runtime, with its errors as ours. Safe to use from several threads.

    Args:
        session: ONNX Runtime's own.
        where: for messages.
    """

    def __init__(self, session: Any, where: str) -> None:
        self._session, self._where = session, where

    def get_inputs(self) -> list[Any]:
        """The inputs, each with ``name``, ``shape`` and ``type``."""
        return list(self._session.get_inputs())

    def get_outputs(self) -> list[Any]:
        """The outputs, each with ``name``, ``shape`` and ``type``."""
        return list(self._session.get_outputs())

    def typed(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """A feed for a program in the types that this model declares: float16 or float64 for our float32."""
        wanted = {value.name: _FLOATS.get(value.type) for value in self.get_inputs()}
        return {
            name: array if wanted.get(name) is None or array.dtype.kind != "f" else array.astype(wanted[name])
            for name, array in feed.items()
        }

    def run(self, names: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The named outputs, or all.

        Raises:
            UserError: ONNX Runtime fails.
        """
        try:
            return list(self._session.run(None if names is None else list(names), dict(feed)))
        except Exception as error:  # ONNX Runtime has one class for each status and no base below Exception
            raise UserError("ONNX Runtime cannot run the model", where=self._where, why=_told_by(error)) from error


def exact_session(
    model: bytes | str | Path,
    threads: int | None = None,
    *,
    where: str,
    level: Level | None = None,
    folder: Path | None = None,
    weights: Mapping[str, NDArray[Any]] | None = None,
) -> OnnxSession:
    """A session that computes what the model means, on every processor.

    Quantized models are kept from rewrites that change the order of sums, so that processors with fused
    multiply-add give the same integers. Float models may be rewritten: that moves their values by rounding only.

    Args:
        model: serialized model, or its path.
        threads: threads within an operator; all cores if omitted.
        where: for messages.
        level: of ONNX Runtime's graph optimizations. If omitted ``extended`` for models with quantizers, and ``all``
            for others. ``none`` opens fastest, and is safe from rewrites with faults of their own.
        folder: where the external data of a serialized model lie.
        weights: external data of a serialized model that are in memory instead, by the names of the initializers.

    Raises:
        UserError: ONNX Runtime is missing or refuses the model.
    """
    level = level or ("extended" if _names_any(model, _QUANTIZERS) else "all")
    if _names_any(model, NAMES):
        model, folder = _without_signed_products(model, folder)
    entries = _EXACT if folder is None else {**_EXACT, _FOLDER: str(folder)}
    choices: list[tuple[Level, Mapping[str, str]]] = [(level, entries), ("none", entries)]
    return _open(model, threads, where, choices[: 1 if level == "none" else 2], weights or {})


def user_session(
    model: bytes | str | Path, threads: int | None = None, *, where: str, precise: bool = False
) -> OnnxSession:
    """A session as a user would open it: ONNX Runtime's defaults, fast, and not exact on every processor.

    Args:
        model: serialized model, or its path.
        threads: threads within an operator; all cores if omitted.
        where: for messages.
        precise: with ONNX Runtime's own cure for sums that saturate. It knows x86 only, and not every operator.

    Raises:
        UserError: ONNX Runtime is missing or refuses the model.
    """
    # Some versions turn a valid pair of quantizers into an invalid one (MaxPool between int8 pairs, opset 21).
    return _open(model, threads, where, [("all", _PRECISE if precise else {}), ("all", _EXACT)])


def default_refusal(model: bytes | str | Path) -> str:
    """Why ONNX Runtime does not load a model with its default options; empty if it does.

    Raises:
        UserError: ONNX Runtime is missing.
    """
    try:
        _open(model, 1, "", [("all", {})])
    except UserError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        return error.why
    return ""


def _open(
    model: bytes | str | Path,
    threads: int | None,
    where: str,
    choices: Sequence[tuple[Level, Mapping[str, str]]],
    weights: Mapping[str, NDArray[Any]] = MappingProxyType({}),
) -> OnnxSession:
    """The first of several choices of optimization level and configuration that ONNX Runtime accepts."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "ONNX Runtime is missing", where=where, why="it executes the CPU layers", fix="pip install onnxruntime"
        ) from error
    levels = {
        "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    }
    refusals = []
    for level, entries in choices:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised
        options.graph_optimization_level = levels[level]
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
            options.add_external_initializers(list(weights), values)
        try:
            with _nameable(model, options) as source:
                session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            return OnnxSession(session, where)
        except Exception as error:  # see OnnxSession.run
            refusals.append(error)
    raise UserError("ONNX Runtime refuses the model", where=where, why=_told_by(refusals[0])) from refusals[0]


@contextmanager
def _nameable(model: bytes | str | Path, options: Any) -> Iterator[bytes | str]:
    """The model as ONNX Runtime takes it: a path that is no text cannot be handed over, but its content can."""
    if isinstance(model, bytes) or encodable(str(model)) == str(model):
        yield model if isinstance(model, bytes) else str(model)
        return
    folder = os.open(Path(model).parent, os.O_RDONLY)
    try:
        options.add_session_config_entry(_FOLDER, f"/proc/self/fd/{folder}")
        yield Path(model).read_bytes()
    finally:
        os.close(folder)


def _without_signed_products(model: bytes | str | Path, folder: Path | None) -> tuple[bytes | str | Path, Path | None]:
    """The model with unsigned operands of its integer operators, and the folder of its external data."""
    import onnx

    try:
        if isinstance(model, bytes):
            loaded = onnx.load_model_from_string(model)
        else:
            loaded, folder = onnx.load(model, load_external_data=False), Path(model).resolve().parent
    except Exception:  # of protobuf or the disk; ONNX Runtime says what is wrong with the model
        return model, folder
    return with_unsigned_operands(loaded).SerializeToString(), folder


def _names_any(model: bytes | str | Path, names: Sequence[bytes]) -> bool:
    """Whether an operator's name stands in the file; they are written there as they are."""
    if isinstance(model, bytes):
        return any(name in model for name in names)
    try:
        with Path(model).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(name) >= 0 for name in names)
    except (OSError, ValueError):
        return False  # ONNX Runtime says what is wrong with the file


def _told_by(error: Exception) -> str:
    """What ONNX Runtime says, on one line."""
    return " ".join(str(error).split())[:_SHOWN] or type(error).__name__
