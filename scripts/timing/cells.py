"""What a mapped cell of Yosys' Xilinx libraries is to timing: where paths begin and end, and what leads through."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Kind(enum.IntEnum):
    """Kinds of cells."""

    LUT = 0
    MUX = 1
    CARRY = 2
    FLIP_FLOP = 3
    RAM = 4
    LUTRAM = 5
    DSP = 6


class Through(enum.IntEnum):
    """Ways through a cell; ``analysis`` knows the time of each."""

    LUT = 0
    MUX_DATA = 1  # no net between it and the LUT or multiplexer before it
    CARRY_IN = 2
    CARRY_ON = 3  # carry to carry: no net
    CARRY_OUT = 4
    CARRY_IN_OUT = 5
    LUTRAM_READ = 6
    DSP_A = 7
    DSP_B = 8
    DSP_C = 9
    DSP_OUT = 10  # from the multiplier's result to the output: no net


class Arc(NamedTuple):
    """Pins as (port, index); ``None`` stands for a DSP's inner node."""

    source: tuple[str, int] | None
    target: tuple[str, int] | None
    through: Through


_KINDS = (
    (re.compile(r"FD[RSCP]E(_1)?$"), Kind.FLIP_FLOP),
    (re.compile(r"LUT[1-6]$|INV$"), Kind.LUT),
    (re.compile(r"MUXF[789]$"), Kind.MUX),
    (re.compile(r"CARRY[48]$"), Kind.CARRY),
    (re.compile(r"RAMB|URAM"), Kind.RAM),
    (re.compile(r"RAM\d+[XM]|SRL"), Kind.LUTRAM),
    (re.compile(r"DSP48"), Kind.DSP),
)
CLOCKS = frozenset(("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"))
_READ_ADDRESS = re.compile(r"(DPRA\d*|DPRA|A\d*|ADDR[A-Z])$")
_WRITE_PORT = re.compile(r"(D[A-Z]*|DI[A-Z]?|WE|CE|A\d*|ADDR[DH])$")


def kind_of(cell_type: str) -> Kind:
    """Raises ``ValueError`` for a cell that the model does not know."""
    for pattern, kind in _KINDS:
        if pattern.match(cell_type):
            return kind
    raise ValueError(f"the timing model knows no cell {cell_type}: is the netlist mapped?")


Pins = Mapping[str, Sequence[Any]]


def arcs(kind: Kind, inputs: Pins, outputs: Pins) -> list[Arc]:
    """The combinational ways through a cell."""
    if kind in (Kind.LUT, Kind.MUX, Kind.LUTRAM):
        return list(_logic(kind, inputs, outputs))
    if kind is Kind.CARRY:
        return [arc for out in outputs for o in range(len(outputs[out])) for arc in _carry(out, o)]
    return list(_multiplier(inputs, outputs)) if kind is Kind.DSP else []


def _logic(kind: Kind, inputs: Pins, outputs: Pins) -> Iterator[Arc]:
    for port, bits in inputs.items():
        if kind is Kind.LUTRAM and not _READ_ADDRESS.match(port):
            continue
        data = kind is Kind.MUX and port != "S"
        through = Through.LUTRAM_READ if kind is Kind.LUTRAM else Through.MUX_DATA if data else Through.LUT
        for i in range(len(bits)):
            yield from (Arc((port, i), (out, o), through) for out in outputs for o in range(len(outputs[out])))


def _carry(out: str, o: int) -> Iterator[Arc]:
    """The sum ``O[o]`` is ``S[o]`` xor the carry of the bits below; ``CO[o]`` has those up to ``o``."""
    leaves = out == "O"
    for port in ("CI", "CYINIT"):
        yield Arc((port, 0), (out, o), Through.CARRY_OUT if leaves else Through.CARRY_ON)
    for i in range(o + 1):
        if leaves and i == o:
            yield Arc(("S", i), (out, o), Through.CARRY_OUT)
        else:
            through = Through.CARRY_IN_OUT if leaves else Through.CARRY_IN
            yield from (Arc((port, i), (out, o), through) for port in ("S", "DI"))


def _multiplier(inputs: Pins, outputs: Pins) -> Iterator[Arc]:
    for port, bits in inputs.items():
        if port in CLOCKS or port.startswith(("CE", "RST")):
            continue
        through = {"A": Through.DSP_A, "B": Through.DSP_B}.get(port, Through.DSP_C)
        yield from (Arc((port, i), None, through) for i in range(len(bits)))
    for out, bits in outputs.items():
        yield from (Arc(None, (out, o), Through.DSP_OUT) for o in range(len(bits)))


def ends(kind: Kind, port: str) -> bool:
    """Whether paths end at this input."""
    if port in CLOCKS:
        return False
    if kind is Kind.LUTRAM:
        return bool(_WRITE_PORT.match(port))
    return kind in (Kind.FLIP_FLOP, Kind.RAM)
