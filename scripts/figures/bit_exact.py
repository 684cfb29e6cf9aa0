"""A device against the reference on whole networks: every integer of every layer, one random image.

usage: python -m scripts.figures.bit_exact [NETWORK ...] [--profile int8-8x8] [--device csim] [--write]

The networks are those of models/ (seeded weights for the large ones). Ranges come from one random image; what is
compared is the arithmetic, not the accuracy. Each layer runs by itself, and then the whole network in one go.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from scripts.figures import record
from scripts.figures.networks import compiled
from sliceflow.devices.base import device_names, open_device
from sliceflow.hardware.profile import Profile
from sliceflow.runtime.values import random_inputs
from sliceflow.runtime.verify import verify

NETWORKS = ("vgg-mnist", "vgg16", "vgg16-ha", "vgg16-hcr", "segnet", "segnet-pruned")


def measure(name: str, profile: Profile, device: str) -> dict[str, Any]:
    """Compile one network and compare all its layers."""
    program = compiled(name, profile)
    on_trial = open_device(device, program)
    report = verify(program, on_trial, random_inputs(program.inputs, 1, seed=0))
    on_trial.close()
    return {
        "network": name,
        "layers": len(report.layers),
        "values": sum(layer.values for layer in report.layers),
        "differing": sum(layer.differing for layer in report.layers),
        "match": report.match,
    }


def page(data: dict[str, Any]) -> str:
    """The page."""
    rows = [[r["network"], r["layers"], f"{r['values']:,}", r["differing"]] for r in data["networks"]]
    return (
        f"# {data['device']} against the reference\n\nProfile {data['profile']}; one random image; all values of all "
        f"layers.\n\n"
        f"{record.table(['network', 'FPGA layers', 'integers compared', 'differing'], rows)}"
    )


def main() -> int:
    """Measure the networks; returns 1 if any integer differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--profile", default="int8-8x8")
    parser.add_argument("--device", choices=device_names(), default="csim")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    options = parser.parse_args()
    results = [measure(name, Profile.load(options.profile), options.device) for name in options.networks]
    data = {"device": options.device, "profile": options.profile, "networks": results}
    print(page(data))
    if options.write:
        record.write("bit_exact" if options.device == "csim" else f"{options.device}_bit_exact", page, data)
    return 0 if all(r["match"] for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
