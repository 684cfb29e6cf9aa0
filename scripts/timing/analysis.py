"""Longest paths of a flat netlist.

Registers beside multipliers and block memories are counted as part of them, as every vendor's tool does, if no other
logic reads what lies between: registers in front of all bits of a multiplier's operand, up to two rows behind its
product, one row behind a memory's output. A register in front may have other readers (the tool copies it).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.timing.cells import Kind, Through
from scripts.timing.delays import Delays
from scripts.timing.netlist import CONSTANT, Netlist, base_name

Floats = NDArray[np.float64]
NEVER = -1e9


@dataclasses.dataclass(frozen=True)
class Path:
    """One path.

    Attributes:
        time: from clock to clock in ns.
        start, end: names of the register (or port) where it begins, and of the cell where it ends.
        start_module, end_module: names of the modules they lie in; ``port`` for a port of the top.
        nets: name and arrival time of the nets between; nets without a name have the name "".
        levels: LUTs and multiplexers on it.
    """

    time: float
    start: str
    start_module: str
    end: str
    end_module: str
    nets: tuple[tuple[str, float], ...]
    levels: int


class Analysis:
    """Arrival times of all nets of a design.

    Args:
        netlist: the design.
        delays: the device.
        ports: whether paths also begin and end at the top's ports, as if there were registers directly outside.

    Raises:
        ValueError: the design has a combinational loop.
    """

    def __init__(self, netlist: Netlist, delays: Delays, ports: bool = False) -> None:
        self.netlist, self.delays = netlist, delays
        self._launch = np.full(netlist.nets, NEVER)
        by_kind = np.full(len(Kind), delays.clock_to_q)
        by_kind[[Kind.RAM, Kind.LUTRAM]] = delays.ram, delays.lutram
        self._launch[netlist.starts[:, 0]] = by_kind[netlist.starts[:, 3]]
        if ports:
            self._launch[netlist.inputs] = delays.clock_to_q
        setup = np.full(len(Kind), delays.setup)
        setup[Kind.RAM] = delays.ram_setup
        self._end_nets, self._end_setup = netlist.ends[:, 0], setup[netlist.ends[:, 3]]
        self._wire = delays.net + delays.slope * np.log2(np.maximum(1, netlist.fanout))
        self._sources, self._targets, self._times = self._arcs()
        self._absorb()
        if ports:
            self._end_nets = np.concatenate([self._end_nets, netlist.outputs])
            self._end_setup = np.concatenate([self._end_setup, np.full(len(netlist.outputs), delays.setup)])
        self.arrival = self._propagate()
        times = self.arrival[self._end_nets] + self._wire[self._end_nets] + self._end_setup
        self.times: Floats = np.where(self._end_nets == CONSTANT, NEVER, times)

    def _arcs(self) -> tuple[Any, Any, Floats]:
        delays, rows = self.delays, self.netlist.arcs
        cell = np.zeros(len(Through))
        cell[Through.LUT], cell[Through.MUX_DATA] = delays.lut, delays.mux
        cell[Through.CARRY_IN], cell[Through.CARRY_ON], cell[Through.CARRY_OUT] = (
            delays.carry_in,
            delays.carry,
            delays.carry_out,
        )
        cell[Through.CARRY_IN_OUT] = delays.carry_in + delays.carry_out
        cell[Through.LUTRAM_READ] = delays.lutram_read
        cell[[Through.DSP_A, Through.DSP_B, Through.DSP_C]] = delays.dsp_in
        cell[Through.DSP_OUT] = delays.dsp_through
        # Nets that a carry chain, or a LUT or multiplexer of the same slice, drives for the next one.
        from_carry = np.zeros(self.netlist.nets, bool)
        from_carry[rows[np.isin(rows[:, 2], (Through.CARRY_IN, Through.CARRY_ON)), 1]] = True
        from_lut = np.zeros(self.netlist.nets, bool)
        from_lut[rows[np.isin(rows[:, 2], (Through.LUT, Through.MUX_DATA)), 1]] = True
        no_wire = (rows[:, 3] == 0) | (
            np.isin(rows[:, 2], (Through.CARRY_ON, Through.CARRY_OUT)) & from_carry[rows[:, 0]]
        )
        no_wire |= (rows[:, 2] == Through.MUX_DATA) & from_lut[rows[:, 0]]
        self._through = rows[:, 2]
        return rows[:, 0], rows[:, 1], cell[rows[:, 2]] + np.where(no_wire, 0.0, self._wire[rows[:, 0]])

    def _absorb(self) -> None:
        netlist, delays = self.netlist, self.delays
        registered = np.full(netlist.nets, CONSTANT)  # by output: data net
        registered[netlist.flip_flops[:, 1]] = netlist.flip_flops[:, 0]
        behind = np.full(netlist.nets, CONSTANT)  # by data net that nothing else reads: output
        alone = netlist.fanout[netlist.flip_flops[:, 0]] == 1
        behind[netlist.flip_flops[alone, 0]] = netlist.flip_flops[alone, 1]
        removed_ends = np.zeros(netlist.nets, bool)
        arcs_to: dict[int, Any] = {}
        order = np.argsort(self._targets, kind="stable")
        sorted_targets = self._targets[order]
        removed_arcs = np.zeros(len(self._targets), bool)

        def read(nets: Any) -> Any:
            return nets[(nets != CONSTANT) & (netlist.fanout[nets] > 0)]

        extra_nets: list[int] = []
        extra_setup: list[float] = []
        for block in netlist.dsps:
            inner = int(block["inner"][0])
            low, high = np.searchsorted(sorted_targets, [inner, inner + 1])
            arcs_to[inner] = order[low:high]
            for port, through in (("A", Through.DSP_A), ("B", Through.DSP_B)):
                operand = block[port][block[port] != CONSTANT]
                if len(operand) and np.all(registered[operand] != CONSTANT):
                    own = arcs_to[inner][self._through[arcs_to[inner]] == through]
                    self._times[own] = delays.dsp_in_registered
            product = read(block["P"])
            if len(product) and np.all(behind[product] != CONSTANT):
                first = behind[product]
                second = read(first)
                stages = 2 if len(second) and np.all(behind[second] != CONSTANT) else 1
                low, high = np.searchsorted(self._sources_sorted[0], [inner, inner + 1])
                removed_arcs[self._sources_sorted[1][low:high]] = True
                removed_ends[product] = True
                if stages == 2:
                    removed_ends[first] = True
                    first = behind[second]
                self._launch[first] = delays.dsp
                extra_nets.append(inner)
                extra_setup.append(delays.dsp_setup[stages - 1])
        for outputs in netlist.rams:
            used = read(outputs)
            if len(used) and np.all(behind[used] != CONSTANT):
                removed_ends[used] = True
                self._launch[behind[used]] = delays.ram_registered
        self._wire[extra_nets] = 0.0
        self._end_setup = np.concatenate([self._end_setup, extra_setup])
        self._end_nets = np.concatenate(
            [np.where(removed_ends[self._end_nets], CONSTANT, self._end_nets), np.array(extra_nets, np.int64)]
        )
        self._sources, self._targets = self._sources[~removed_arcs], self._targets[~removed_arcs]
        self._times, self._through = self._times[~removed_arcs], self._through[~removed_arcs]

    @functools.cached_property
    def _sources_sorted(self) -> tuple[Any, Any]:
        order = np.argsort(self._sources, kind="stable")
        return self._sources[order], order

    def _propagate(self) -> Floats:
        """Level by level, each net when all that lead to it are known."""
        nets = self.netlist.nets
        order = np.argsort(self._sources, kind="stable")
        sources, targets, times = self._sources[order], self._targets[order], self._times[order]
        begin = np.searchsorted(sources, np.arange(nets + 1))
        open_arcs = np.bincount(targets, minlength=nets)
        arrival = self._launch.copy()
        ready = np.flatnonzero(open_arcs == 0)
        done = 0
        while len(ready):
            done += len(ready)
            counts = begin[ready + 1] - begin[ready]
            rows = np.repeat(begin[ready] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
            np.maximum.at(arrival, targets[rows], arrival[sources[rows]] + times[rows])
            touched = targets[rows]
            np.subtract.at(open_arcs, touched, 1)
            touched = np.unique(touched)
            ready = touched[open_arcs[touched] == 0]
        if done != nets:
            names = self.netlist.names(set(np.flatnonzero(open_arcs)[:200].tolist()))
            raise ValueError(
                f"the design has a combinational loop; nets in it or behind it: {sorted(names.values())[:8]}"
            )
        return arrival

    def worst(self) -> float:
        """The longest path in ns."""
        return float(self.times.max(initial=0.0))

    def late(self, limit: float) -> int:
        """Ends that miss a period of ``limit`` ns."""
        return int((self.times > limit).sum())

    def end_module(self, end: int) -> str:
        """Name of the module that an end lies in."""
        if end < len(self.netlist.ends):
            return base_name(self.netlist.instances[self.netlist.ends[end, 1]][1])
        return "port or multiplier"

    def by_module(self) -> dict[str, float]:
        """The longest path that ends in each module, in ns."""
        found: dict[str, float] = {}
        modules = [base_name(name) for _, name, _ in self.netlist.instances]
        rows = self.netlist.ends
        worst = np.full(len(modules), NEVER)
        np.maximum.at(worst, rows[:, 1], self.times[: len(rows)])
        for name, time in zip(modules, worst.tolist(), strict=True):
            if time > 0:
                found[name] = max(time, found.get(name, 0.0))
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def paths(self, count: int, apart: bool = True) -> list[Path]:
        """The longest paths, longest first.

        Args:
            count: how many.
            apart: only the longest between any two modules.
        """
        found: list[Path] = []
        seen: set[tuple[str, str]] = set()
        order = np.argsort(self._targets, kind="stable")
        targets = self._targets[order]
        owner = {int(net): (int(instance), int(cell)) for net, instance, cell in self.netlist.starts[:, :3]}
        for end in np.argsort(-self.times, kind="stable").tolist():
            if len(found) == count or self.times[end] <= 0:
                break
            net = int(self._end_nets[end])
            chain, levels = [net], 0
            while True:
                low, high = np.searchsorted(targets, [net, net + 1])
                rows = order[low:high]
                if not len(rows) or self.arrival[net] <= self._launch[net] + 1e-9:
                    break
                row = rows[np.argmax(self.arrival[self._sources[rows]] + self._times[rows])]
                levels += int(self._through[row] in (Through.LUT, Through.LUTRAM_READ))
                net = int(self._sources[row])
                chain.append(net)
            start = owner.get(net)
            start_module = base_name(self.netlist.instances[start[0]][1]) if start else "port"
            key = (start_module, self.end_module(end))
            if apart and key in seen:
                continue
            seen.add(key)
            names = self.netlist.names(set(chain))
            end_cell = ""
            if end < len(self.netlist.ends):
                end_cell = self._register(end)
            chain.reverse()
            found.append(
                Path(
                    float(self.times[end]),
                    names.get(net, "?"),
                    start_module,
                    end_cell,
                    key[1],
                    tuple((names.get(item, ""), float(self.arrival[item])) for item in chain),
                    levels,
                )
            )
        return found

    def _register(self, end: int) -> str:
        """Name of the cell that an end belongs to: that of its output, if it has one."""
        instance, cell = self.netlist.ends[end, 1:3].tolist()
        rows = self.netlist.starts
        outputs = rows[(rows[:, 1] == instance) & (rows[:, 2] == cell), 0]
        names = self.netlist.names(set(outputs[:1].tolist()))
        return next(iter(names.values()), self.netlist.cell(instance, cell))
