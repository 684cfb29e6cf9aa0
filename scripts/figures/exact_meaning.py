"""Random quantized networks against their exact meaning: ours and ONNX Runtime's, with parts on the CPU.

Each layer is given the same numbers by both; quantized values may be one step apart where the model's own value lies
at a rounding tie. The page is ``docs/benchmarks/exact_meaning.md``; the exit code is 1 if a network does not keep to
that.

    python -m scripts.figures.exact_meaning [--networks 10000] [--seed 0] [--workers 2] [--device csim] [--write]
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from scripts.figures import record
from sliceflow.kernel_probe import probe_kernels
from tests.support.exact_networks import PROFILES, Found, examine

PAGE = "exact_meaning"
_CHUNK = 50
_STEP = 1.001


def broken(found: Found) -> bool:
    """Whether a network leaves its meaning by more than a step at a tie."""
    return not found.match or bool(found.unexplained)


def summary(results: Iterable[Found]) -> dict[str, Any]:
    """Figures of one origin, or of all."""
    found = list(results)
    mapped = [each for each in found if each.mapped]
    return {
        "networks": len(found),
        "nothing_mapped": len(found) - len(mapped),
        "with_cpu_layers": sum(each.cpu > 0 for each in mapped),
        "fpga_layers": sum(each.fpga for each in mapped),
        "cpu_layers": sum(each.cpu for each in mapped),
        "values": sum(each.values for each in mapped),
        "off_at_ties": sum(each.off for each in mapped),
        "worst_steps": max((each.worst for each in mapped), default=0.0),
        "behind_inner_roundings": sum(each.worst > _STEP for each in mapped),
        "worst_end_to_end_steps": max((each.end_to_end for each in mapped), default=0.0),
        "broken": [dataclasses.asdict(each) for each in mapped if broken(each)],
    }


def page(data: dict[str, Any]) -> str:
    """The page's text."""
    header = ["quantized by", "networks", "with CPU layers", "layers on the FPGA", "values", "a step apart, at a tie"]
    header += ["networks with more, behind inner roundings", "worst", "worst end to end", "broken"]
    rows = [
        [
            origin,
            f"{row['networks']:,}",
            f"{row['with_cpu_layers']:,}",
            f"{row['fpga_layers']:,}",
            f"{row['values']:,}",
            f"{row['off_at_ties']:,}",
            row["behind_inner_roundings"],
            f"{row['worst_steps']:g} steps",
            f"{row['worst_end_to_end_steps']:g} steps",
            len(row["broken"]),
        ]
        for origin, row in data["origins"].items()
    ]
    return (
        "# Random networks against their exact meaning\n\n"
        f"Seeds {data['seed']} to {data['seed'] + data['networks'] - 1}, device {data['device']}, profiles "
        f"{', '.join(PROFILES)}; {data['seconds']:.0f} s.\n"
        "Each network has random layers, branches and sums, and is quantized by `sliceflow quantize` or by ONNX\n"
        "Runtime's `quantize_static`. Two in three have nodes that are kept on the CPU, one in three nodes that are\n"
        "not quantized. Every layer of ours and ONNX Runtime's float32 execution of the same model get the same\n"
        "numbers. *A step apart, at a tie*: the model's own value, before it is rounded, is within 0.02 steps of a\n"
        "tie. Where a layer rounds inside as well, a tie there may be more steps behind it. *Broken*: anything else.\n"
        "*End to end* differences of all layers add up.\n\n"
        f"{record.table(header, rows)}\n\n"
        f"ONNX Runtime's integer kernels on this processor are {data['kernels']}; the exact meaning does not use them."
    )


def main() -> int:
    """Run the networks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first network; the others follow")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="csim")
    parser.add_argument("--write", action="store_true", help=f"write docs/benchmarks/{PAGE}.md")
    options = parser.parse_args()
    begin, results = time.monotonic(), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, context, initializer=partial(logging.disable, logging.WARNING)) as pool:
        seeds = range(options.seed, options.seed + options.networks)
        for found in pool.map(partial(examine, device=options.device), seeds, chunksize=_CHUNK):
            results.append(found)
            if broken(found):
                print(f"broken: {found}", flush=True)
            if len(results) % 500 == 0:
                print(f"{len(results)} networks, {sum(map(broken, results))} broken", flush=True)
    origins = {name: [each for each in results if each.origin == name] for name in ("ours", "foreign")}
    data = {
        "seed": options.seed,
        "networks": options.networks,
        "device": options.device,
        "seconds": time.monotonic() - begin,
        "kernels": "exact" if probe_kernels().exact else "not exact",
        "origins": {name: summary(each) for name, each in {**origins, "all": results}.items()},
    }
    print(page(data))
    if options.write:
        record.write(PAGE, page, data)
    return int(any(map(broken, results)))


if __name__ == "__main__":
    sys.exit(main())
