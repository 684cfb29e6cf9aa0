"""Lets the bus classes of cocotbext-axi see a module whose AXI ports end in ``_i`` and ``_o``."""

from __future__ import annotations

import logging
from typing import Any

from cocotb.types import LogicArray

_CONSTANTS = {"arid": (1, 0), "arsize": (3, 6), "arburst": (2, 1), "awid": (1, 0), "awsize": (3, 6), "awburst": (2, 1)}
"""Width and value of what the kernel's top ties to constants: 64 bytes a beat, incrementing bursts."""
_IGNORED = ("rid", "bid")


class _Tied:
    """A signal that the module does not have."""

    def __init__(self, width: int, value: int) -> None:
        self.value = LogicArray.from_unsigned(value, width)

    def __len__(self) -> int:
        return len(self.value)

    def setimmediatevalue(self, value: Any) -> None:
        self.value = value


class AxiPorts:
    """The AXI ports of a module under their AXI names, for ``AxiBus.from_entity`` and its like."""

    def __init__(self, dut: Any) -> None:
        self._name, self._log = dut._name, logging.getLogger("cocotb.axi_ports")
        for port in dir(dut):
            if port.endswith(("_i", "_o")) and port[:1] in "awrb":
                setattr(self, port[:-2], getattr(dut, port))
        for name, (width, value) in _CONSTANTS.items():
            if f"{name[:2]}addr" in self.__dict__ and name not in self.__dict__:
                setattr(self, name, _Tied(width, value))
        for name in _IGNORED:
            setattr(self, name, _Tied(1, 0))
