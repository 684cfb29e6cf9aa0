"""The process that `simulation.simulate` starts: builds or runs one cocotb simulation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cocotb_tools.runner import get_runner


def main(job: dict[str, Any]) -> None:
    runner = get_runner(job["simulator"])
    if job["action"] == "build":
        runner.build(
            sources=job["sources"],
            includes=job["includes"],
            defines=job["defines"],
            parameters=job["parameters"],
            build_args=job["arguments"],
            hdl_toplevel=job["top"],
            build_dir=job["build"],
            timescale=("1ns", "1ps"),
            waves=job["waves"],
            always=True,
        )
        return
    verilator = job["simulator"] == "verilator"
    runner.test(
        test_module=job["test_module"],
        hdl_toplevel=job["top"],
        hdl_toplevel_lang="verilog",
        testcase=job["tests"] or None,
        seed=job["seed"],
        plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{job['seed'] % 2**31 or 1}"] if verilator else [],
        build_dir=job["build"],
        test_dir=job["folder"],
        results_xml=str(Path(job["folder"], "results.xml")),
        waves=job["waves"],
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
