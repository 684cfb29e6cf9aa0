"""Delays of a device's cells in nanoseconds, for longest paths before placement.

A net takes ``net`` + ``slope`` * log2(fanout): what a placer usually reaches, no bound. The figures are rounded from
the vendor's data sheets (DS925, DS187) and from what placed designs show.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delays:
    """One device and speed grade; all in nanoseconds.

    Attributes:
        name: device and speed grade.
        net, slope: a net with one reader, and what each doubling of its readers adds.
        clock_to_q, setup: of a flip-flop.
        lut, mux: through a LUT; through a wide multiplexer behind LUTs of the same slice.
        carry_in, carry, carry_out: onto a carry chain, along four bits of it, and off it to a sum.
        ram, ram_registered, ram_setup: block memory: clock to output without and with its output register, and setup.
        lutram, lutram_read: distributed memory: write clock to output, and address to output.
        dsp_in, dsp_in_registered: from a pin, or from an absorbed input register's clock, to the multiplier's result.
        dsp_through: from there to the output, if no register is absorbed behind it.
        dsp_setup: from there to the absorbed output register: for one, and for two stages behind the multiplier.
        dsp: clock to output of the absorbed output register.
    """

    name: str
    net: float
    slope: float
    clock_to_q: float
    setup: float
    lut: float
    mux: float
    carry_in: float
    carry: float
    carry_out: float
    ram: float
    ram_registered: float
    ram_setup: float
    lutram: float
    lutram_read: float
    dsp_in: float
    dsp_in_registered: float
    dsp_through: float
    dsp_setup: tuple[float, float]
    dsp: float


# DSP48E2, -2: 775 MHz with all registers, 544 without the multiplier's (DS925).
ULTRASCALE_PLUS = Delays(
    name="UltraScale+ -2",
    net=0.22,
    slope=0.09,
    clock_to_q=0.08,
    setup=0.03,
    lut=0.10,
    mux=0.06,
    carry_in=0.20,
    carry=0.015,
    carry_out=0.12,
    ram=0.95,
    ram_registered=0.30,
    ram_setup=0.35,
    lutram=0.60,
    lutram_read=0.12,
    dsp_in=1.00,
    dsp_in_registered=1.10,
    dsp_through=1.40,
    dsp_setup=(0.66, 0.11),
    dsp=0.25,
)

ZYNQ_7020 = Delays(
    name="Zynq-7020 -1",
    net=0.50,
    slope=0.15,
    clock_to_q=0.46,
    setup=0.06,
    lut=0.124,
    mux=0.22,
    carry_in=0.50,
    carry=0.114,
    carry_out=0.30,
    ram=2.45,
    ram_registered=0.88,
    ram_setup=0.55,
    lutram=1.30,
    lutram_read=0.15,
    dsp_in=1.90,
    dsp_in_registered=1.90,
    dsp_through=2.00,
    dsp_setup=(1.30, 0.30),
    dsp=0.50,
)

DEVICES = {"usp": ULTRASCALE_PLUS, "zynq": ZYNQ_7020}
