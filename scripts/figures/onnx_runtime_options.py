"""What ONNX Runtime's options cost and change: quantized networks, with the options that could stand for their meaning.

Times with one thread, the options taking turns; answers against those without any optimization, and against those of
an emulated processor (needs qemu-user, some minutes). The page is ``docs/benchmarks/onnx_runtime_options.md``.

    python -m scripts.figures.onnx_runtime_options [--repeats 7] [--emulate intel-avx2] [--write]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from scripts.figures import record
from scripts.other_processor import emulator
from sliceflow.kernel_probe import probe_kernels
from sliceflow.onnx_runtime import OnnxSession, exact_session, user_session
from tests.support import light_models

PAGE = "onnx_runtime_options"
OPTIONS: dict[str, Callable[[bytes], OnnxSession]] = {
    "as users run it": lambda model: user_session(model, 1, where="network"),
    "x64quantprecision": lambda model: user_session(model, 1, where="network", precise=True),
    "exact, all": lambda model: exact_session(model, 1, where="network", level="all"),
    "exact, extended": lambda model: exact_session(model, 1, where="network", level="extended"),
    "exact, none": lambda model: exact_session(model, 1, where="network", level="none"),
}
NETWORKS = ("squeezenet", "shufflenet", "resnet50")
EMULATED = ("squeezenet", "shufflenet")
"""Those that an emulator runs within minutes."""


def network(name: str) -> tuple[bytes, dict[str, np.ndarray]]:
    """An int8 network with random weights, and an image."""
    model = light_models.without_softmax(light_models.quantized(light_models.load(name, seed=1), seed=1))
    return ir.to_proto(model).SerializeToString(), light_models.images(model, 1, 2)


def answers(models: dict[str, bytes], images: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The output of each network with each option, by ``network/option``."""
    return {
        f"{name}/{option}": opened(model).run(None, images[name])[0]
        for name, model in models.items()
        for option, opened in OPTIONS.items()
    }


def milliseconds(model: bytes, image: dict[str, np.ndarray], repeats: int) -> dict[str, float]:
    """Median time of each option, in rounds in which each runs once."""
    sessions = {option: opened(model) for option, opened in OPTIONS.items()}
    times: dict[str, list[float]] = {option: [] for option in OPTIONS}
    for turn in range(repeats + 1):
        for option, session in sessions.items():
            begin = time.thread_time()  # the only thread is this one
            session.run(None, image)
            if turn:
                times[option].append(1e3 * (time.thread_time() - begin))
    return {option: round(float(np.median(each)), 2) for option, each in times.items()}


def elsewhere(processor: str, folder: str, models: dict[str, bytes]) -> dict[str, np.ndarray]:
    """The answers of an emulated processor."""
    for name in EMULATED:
        Path(folder, f"{name}.onnx").write_bytes(models[name])
    command = [*emulator(processor), sys.executable, "-m", "scripts.figures.onnx_runtime_options", "--answers", folder]
    subprocess.run(command, check=True)
    return dict(np.load(Path(folder, "answers.npz")))


def apart(one: np.ndarray, other: np.ndarray, step: float) -> dict[str, float]:
    """Share of the values that differ, and the largest difference in steps."""
    steps = np.abs(one.astype(np.float64) - other) / step
    return {"share": round(float((steps > 0.5).mean()), 4), "steps": round(float(steps.max()), 2)}


def page(data: dict[str, Any]) -> str:
    """The page's text."""
    header = ["network", "options", "ms", "differ from no optimization", "by"]
    if data["emulated"]:
        header += [f"differ on {data['emulated']}", "by"]
    rows = []
    for row in data["rows"]:
        cells = [row["network"], row["options"], f"{row['ms']:.1f}"]
        for found in (row["here"], row["there"])[: 2 if data["emulated"] else 1]:
            cells += [f"{found['share']:.1%}", f"{found['steps']:g} steps"] if found else ["", ""]
        rows.append(cells)
    return (
        "# ONNX Runtime's options for the meaning of a quantized model\n\n"
        "Networks of the onnx package with random weights, quantized to int8; one image, one thread, medians of "
        f"{data['repeats']} rounds.\n"
        "*exact*: float32 between quantizers (`disable_quant_qdq`, `disable_double_qdq_remover`), with this level of\n"
        "optimization. Differences are shares of the output's values, and their largest number of steps, against\n"
        "*exact, none* on this processor, and of each option between this processor and an emulated one.\n"
        f"Integer kernels on this processor are {data['kernels']}.\n\n{record.table(header, rows)}\n\n"
        "*exact, extended* is what Sliceflow takes for models with quantizers: as without optimization, bit by bit,\n"
        "on both processors. `x64quantprecision` keeps integers, and agrees between x86 processors, but does nothing\n"
        "on others, and only for a list of operators with constant weights."
    )


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--emulate", default="", help="a processor of scripts/other_processor.py")
    parser.add_argument("--answers", type=Path, help="only write the answers of the networks in this folder")
    parser.add_argument("--write", action="store_true", help=f"write docs/benchmarks/{PAGE}.md")
    options = parser.parse_args()
    images = {name: light_models.images(light_models.load(name), 1, 2) for name in NETWORKS}
    if options.answers is not None:
        models = {path.stem: path.read_bytes() for path in options.answers.glob("*.onnx")}
        np.savez(options.answers / "answers.npz", **answers(models, images))
        return 0
    models = {name: network(name)[0] for name in NETWORKS}
    here = answers(models, images)
    with tempfile.TemporaryDirectory() as folder:
        there = elsewhere(options.emulate, folder, models) if options.emulate else {}
    rows = []
    for name, model in models.items():
        times, plain = milliseconds(model, images[name], options.repeats), here[f"{name}/exact, none"]
        step = float(np.diff(np.unique(plain)).min())
        for option in OPTIONS:
            key = f"{name}/{option}"
            other = apart(here[key], there[key], step) if key in there else None
            rows.append(
                {
                    "network": name,
                    "options": option,
                    "ms": times[option],
                    "here": apart(here[key], plain, step),
                    "there": other,
                }
            )
    kernels = "exact" if probe_kernels().exact else "not exact"
    data = {"repeats": options.repeats, "emulated": options.emulate, "kernels": kernels, "rows": rows}
    print(page(data))
    if options.write:
        record.write(PAGE, page, data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
