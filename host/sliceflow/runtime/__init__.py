"""Runs compiled programs: transforms, CPU layers and a device.

Needs NumPy alone; ONNX Runtime only where a program has CPU layers.
"""

from sliceflow.runtime.session import NodeArg, Session

__all__ = ["NodeArg", "Session"]
