"""CPU against FPGA for the same inputs; every number says whether it is measured or predicted."""

from sliceflow.bench.compare import BenchOptions, bench

__all__ = ["BenchOptions", "bench"]
