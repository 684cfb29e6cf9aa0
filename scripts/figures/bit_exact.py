"""csim against the reference on whole networks: every integer of every layer, one random image.

usage: python -m scripts.figures.bit_exact [NETWORK ...] [--profile int8-8x8] [--write]

The networks are those of models/ (seeded weights for the large ones). Ranges come from one random image; what is
compared is the arithmetic, not the accuracy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from models import zoo
from models.export import export_onnx
from scripts.figures import record
from sliceflow.cli.building import as_if_quantized
from sliceflow.devices.base import open_device
from sliceflow.frontend import load_model
from sliceflow.hardware.profile import Profile
from sliceflow.mapping import compile_model
from sliceflow.runtime.values import random_inputs
from sliceflow.runtime.verify import verify

NETWORKS = ("vgg-mnist", "vgg16", "vgg16-ha", "vgg16-hcr", "segnet", "segnet-pruned")


def measure(name: str, profile: Profile) -> dict[str, Any]:
    """Compile one network and compare all its layers."""
    entry = zoo.entry(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(zoo.seed_weights(zoo.build(entry.shape), 0), entry.image_shape, path)
        model = load_model(path)
        program = compile_model(as_if_quantized(model, None, profile), profile, name=name, source_sha256="0" * 64)
    with_device = open_device("csim", program)
    report = verify(program, with_device, random_inputs(program.inputs, 1, seed=0))
    with_device.close()
    return {
        "network": name,
        "layers": len(report.layers),
        "values": sum(layer.values for layer in report.layers),
        "differing": sum(layer.differing for layer in report.layers),
        "match": report.match,
    }


def main() -> int:
    """Measure the networks; returns 1 if any integer differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--profile", default="int8-8x8")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = [measure(name, Profile.load(options.profile)) for name in options.networks]
    rows = [[r["network"], r["layers"], f"{r['values']:,}", r["differing"]] for r in results]
    text = (
        f"# csim against the reference\n\nProfile {options.profile}; one random image; all values of all layers.\n\n"
        f"{record.table(['network', 'FPGA layers', 'integers compared', 'differing'], rows)}"
    )
    print(text)
    if options.write:
        record.write("bit_exact", text, results)
    return 0 if all(r["match"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
