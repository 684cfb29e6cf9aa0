"""To FPGA: merge, place, transform and adjust a normalized model into a program for the accelerator."""

from sliceflow.mapping.compiler import Finding, Trace, check, compile_model, trace_compilation

__all__ = ["Finding", "Trace", "check", "compile_model", "trace_compilation"]
