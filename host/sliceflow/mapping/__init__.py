"""To FPGA: merge, place, transform and adjust a normalized model into a program for the accelerator."""

from sliceflow.mapping.compiler import (
    Finding,
    Mapped,
    Trace,
    check,
    compile_model,
    findings,
    map_model,
    nothing_mapped,
    pack,
    refusals_of,
    trace,
    trace_compilation,
)

__all__ = [
    "Finding",
    "Mapped",
    "Trace",
    "check",
    "compile_model",
    "findings",
    "map_model",
    "nothing_mapped",
    "pack",
    "refusals_of",
    "trace",
    "trace_compilation",
]
