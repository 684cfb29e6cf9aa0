"""One network in integers of different widths: accuracy on real digits, and what three implementations say.

usage: python -m scripts.figures.widths [PROFILE ...] [--verified N] [--write]

models/mnist_vgg_dense.onnx is quantized for each profile with its own widths, and runs on the 1,000 held-back digits:
in float and as the quantized model in ONNX Runtime, and on csim. N images are compared with the integer reference, all
values of all layers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import Split, mnist5k
from scripts.figures import record
from sliceflow.build import Target, build
from sliceflow.devices.base import open_device
from sliceflow.errors import SliceflowError
from sliceflow.frontend import load_model, serialize
from sliceflow.graph.program import TransformStep
from sliceflow.hardware.profile import Profile
from sliceflow.onnx_runtime import exact_session
from sliceflow.quantization import CalibrationData
from sliceflow.runtime.session import Session
from sliceflow.runtime.verify import verify

MODEL = Path(__file__).resolve().parents[2] / "models" / "mnist_vgg_dense.onnx"
PROFILES = ("int8-8x8", "w4a8-8x8", "w8a16-8x8", "int8-2x2", "int8-4x8", "int8-32x32")
CALIBRATION_IMAGES = 256


def top1(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Share of right answers."""
    return float((logits.argmax(1) == labels).mean())


def measure(name: str, digits: Split, *, images: int, verified: int) -> dict[str, Any]:
    """Quantize for one profile, compile, run.

    Args:
        name: the profile.
        digits: training images and labels, held-back images and labels.
        images: held-back images to run.
        verified: of these, images whose layers are compared with the reference.
    """
    profile = Profile.load(name)
    x, labels = digits[2][:images], digits[3][:images]
    data = CalibrationData({"input": digits[0][:CALIBRATION_IMAGES]})
    built = build(load_model(MODEL), Target(profile=profile), data, name="mnist_vgg", source_sha256="0" * 64)
    quantized, program = built.model, built.program
    (expected,) = exact_session(serialize(quantized, name), 1, where=name).run(None, {"input": x})
    with Session(program, device="csim") as session:
        (got,) = session.run(None, {"input": x})
    device = open_device("csim", program)
    report = verify(program, device, {"input": x[:verified]})
    device.close()
    step = next(
        program.tensors[step.tensor].scale
        for step in program.steps
        if isinstance(step, TransformStep) and step.direction == "to_host"
    )
    steps = np.abs(got.astype(np.float64) - expected) / step
    return {
        "profile": name,
        "activations": profile.activation_bits,
        "weights": profile.weight_bits,
        "cpu_layers": sum(layer.placement == "cpu" for layer in program.layers),
        "weight_bytes": int(program.weights.size),
        "top1_onnxruntime": top1(expected, labels),
        "top1_csim": top1(got, labels),
        "same_answers": float((got.argmax(1) == expected.argmax(1)).mean()),
        "largest_steps": float(steps.max()),
        "logits_apart": float((steps > 0.5).mean()),
        "integers_compared": sum(layer.values for layer in report.layers),
        "integers_differing": sum(layer.differing for layer in report.layers),
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows, reference, images = data["profiles"], data["float"], data["images"]
    header = ["profile", "activation x weight bits", "weights", "top-1, ONNX Runtime", "top-1, csim"]
    header += ["same answers", "logits apart", "largest difference", "csim and reference: integers that differ"]
    cells = [
        [
            row["profile"],
            f"{row['activations']} x {row['weights']}",
            f"{row['weight_bytes'] / 1024:.0f} KiB",
            f"{row['top1_onnxruntime']:.1%}",
            f"{row['top1_csim']:.1%}",
            f"{row['same_answers']:.1%}",
            f"{row['logits_apart']:.2%}",
            f"{row['largest_steps']:.0f} steps",
            f"{row['integers_differing']} of {row['integers_compared']:,}",
        ]
        for row in rows
    ]
    return (
        "# One network in integers of different widths\n\n"
        f"models/mnist_vgg_dense.onnx, quantized after training for each profile, on {images} held-back digits; in\n"
        f"float {reference:.1%} are right. ONNX Runtime executes the same quantized model in float32, whose sums are\n"
        "as coarse as steps of 16 bits; csim and the reference compute exactly.\n\n" + record.table(header, cells)
    )


def main() -> int:
    """Measure the profiles; returns 1 if an integer differs between csim and the reference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("profiles", nargs="*", default=PROFILES)
    parser.add_argument("--images", type=int, default=1000, help="held-back digits to run (default: %(default)s)")
    parser.add_argument("--verified", type=int, default=20, help="images compared with the reference")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    try:
        digits = mnist5k()
        rows = [measure(name, digits, images=options.images, verified=options.verified) for name in options.profiles]
        (logits,) = exact_session(str(MODEL), 1, where=str(MODEL)).run(None, {"input": digits[2][: options.images]})
    except SliceflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    data = {"images": options.images, "float": top1(logits, digits[3][: options.images]), "profiles": rows}
    print(page(data))
    if options.write:
        record.write("widths", page, data)
    return 0 if not any(row["integers_differing"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
