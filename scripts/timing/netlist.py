"""A mapped netlist with its hierarchy (``write_json`` of Yosys) as one flat graph of arrays.

Each module is read once; its copies differ in the numbers of their nets only, so that a million cells stay cheap.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.timing.cells import CLOCKS, Arc, Kind, arcs, ends, kind_of

Ints = NDArray[np.int64]
CONSTANT = 0
"""The net that stands for all constants; no path begins at it."""


@dataclasses.dataclass
class _Module:
    """A module with nets numbered from 1; ``cells`` holds the names of its cells by their number."""

    name: str
    nets: int
    ports: dict[str, list[int]]
    names: dict[int, str]
    children: list[tuple[str, str, dict[str, list[int]]]]
    arcs: Ints  # source, target, way through, source is a pin
    ends: Ints  # net, cell, kind, is the data pin
    starts: Ints  # net, cell, kind
    flip_flops: Ints  # data, output
    loads: Ints  # nets as often as they are read
    dsps: list[dict[str, list[int]]]
    rams: list[list[int]]
    cells: list[str]
    counts: collections.Counter[str]


@dataclasses.dataclass
class Netlist:
    """A flat design.

    Attributes:
        nets: how many; net 0 stands for constants.
        arcs: source net, target net, ``Through``.
        ends: net, instance, cell in its module, ``Kind``.
        starts: net, instance, cell in its module, ``Kind``.
        flip_flops: data net, output net.
        fanout: readers of each net.
        dsps: for each block its nets by port; ``inner`` is its inner node.
        rams: for each block memory its output nets.
        instances: path, module and first net of each instance.
        counts: cells by type, for each module's name without its parameters.
        copies: instances of each module.
        inputs: nets of the top module's inputs.
    """

    nets: int
    arcs: Ints
    ends: Ints
    starts: Ints
    flip_flops: Ints
    fanout: Ints
    dsps: list[dict[str, Ints]]
    rams: list[Ints]
    instances: list[tuple[str, str, int]]
    counts: dict[str, collections.Counter[str]]
    copies: collections.Counter[str]
    inputs: Ints
    outputs: Ints
    _modules: dict[str, _Module]
    _root: Ints

    def cell(self, instance: int, cell: int) -> str:
        """Name of a cell, with its instance's path."""
        path, module, _ = self.instances[instance]
        return f"{path}.{self._modules[module].cells[cell]}".lstrip(".")

    def names(self, wanted: set[int]) -> dict[int, str]:
        """The shortest name of each of the nets, with the path of the instance that it was found in."""
        found: dict[int, str] = {}
        for path, module, first in self.instances:
            template = self._modules[module]
            roots = self._root[first : first + template.nets]
            for local in np.flatnonzero(np.isin(roots, list(wanted))):
                name = template.names.get(int(local))
                if name is not None:
                    full, net = f"{path}.{name}".lstrip("."), int(roots[local])
                    if net not in found or len(full) < len(found[net]):
                        found[net] = full
        return found


def base_name(module: str) -> str:
    """A module's name without parameters and path."""
    return module.split("$")[0].lstrip("\\")


class _Reader:
    """Reads one module."""

    def __init__(self, name: str, data: Mapping[str, Any], modules: Mapping[str, Any]) -> None:
        self._numbers: dict[int, int] = {}
        self._patterns: dict[Any, list[Arc]] = {}
        self._rows: dict[str, list[Any]] = {key: [] for key in ("arcs", "ends", "starts", "flip_flops", "loads")}
        ports = {port: self._locals(entry["bits"]) for port, entry in data["ports"].items()}
        self.module = _Module(name, 0, ports, {}, [], *(np.empty(0, np.int64),) * 5, [], [], [], collections.Counter())
        for cell_name, cell in data["cells"].items():
            pins = {port: self._locals(bits) for port, bits in cell["connections"].items()}
            inside = modules.get(cell["type"])
            if inside is not None and not {"blackbox", "whitebox"} & inside.get("attributes", {}).keys():
                self.module.children.append((cell_name, cell["type"], pins))
            elif not cell["type"].startswith("$"):  # scopes and checks: no hardware
                self._cell(cell_name, cell, pins)
        self._name(data["netnames"])
        self.module.nets = len(self._numbers) + 1
        for key, columns in (("arcs", 4), ("ends", 4), ("starts", 3), ("flip_flops", 2)):
            setattr(self.module, key, np.array(self._rows[key], np.int64).reshape(-1, columns))
        self.module.loads = np.array(self._rows["loads"], np.int64)

    def _locals(self, bits: Sequence[int | str]) -> list[int]:
        numbers = self._numbers
        return [CONSTANT if isinstance(bit, str) else numbers.setdefault(bit, len(numbers) + 1) for bit in bits]

    def _cell(self, name: str, cell: Mapping[str, Any], pins: dict[str, list[int]]) -> None:
        module, rows = self.module, self._rows
        kind, number = kind_of(cell["type"]), len(module.cells)
        module.counts[cell["type"]] += 1
        module.cells.append(name)
        outputs = {port: bits for port, bits in pins.items() if cell["port_directions"][port] == "output"}
        inputs = {port: bits for port, bits in pins.items() if port not in outputs}
        inner = CONSTANT
        if kind is Kind.DSP:
            (inner,) = self._locals([-1 - number])
            module.dsps.append({"inner": [inner], **pins})
        elif kind is Kind.RAM:
            module.rams.append([net for bits in outputs.values() for net in bits if net])
        elif kind is Kind.FLIP_FLOP:
            rows["flip_flops"].append((pins["D"][0], pins["Q"][0]))
        key = (cell["type"], *((port, len(bits)) for port, bits in pins.items()))
        if key not in self._patterns:
            self._patterns[key] = [
                arc
                for arc in arcs(kind, inputs, outputs)
                if (arc.source is None or arc.source[0] in pins) and (arc.target is None or arc.target[0] in pins)
            ]
        for source, target, through in self._patterns[key]:
            a = inner if source is None else pins[source[0]][source[1]]
            b = inner if target is None else pins[target[0]][target[1]]
            if a and b:
                rows["arcs"].append((a, b, through, source is not None))
        for port, bits in inputs.items():
            if port not in CLOCKS:
                rows["loads"] += bits
                if ends(kind, port):
                    rows["ends"] += [(net, number, kind, port == "D") for net in set(bits) if net]
        if kind in (Kind.FLIP_FLOP, Kind.RAM, Kind.LUTRAM):
            rows["starts"] += [(net, number, kind) for bits in outputs.values() for net in bits if net]

    def _name(self, names: Mapping[str, Any]) -> None:
        found = self.module.names
        for name, entry in names.items():
            for i, bit in enumerate(() if entry.get("hide_name") else entry["bits"]):
                if bit in self._numbers:
                    full = f"{name}[{i}]" if len(entry["bits"]) > 1 else name
                    net = self._numbers[bit]
                    found[net] = min(full, found.get(net, full), key=len)


def flatten(document: Mapping[str, Any], top: str) -> Netlist:
    """The whole design under a top module.

    Args:
        document: what ``write_json`` wrote, loaded.
        top: name of the top module, as in the document.
    """
    sources = document["modules"]
    modules: dict[str, _Module] = {}
    instances: list[tuple[str, str, int]] = []
    parts: dict[str, list[Ints]] = {"arcs": [], "ends": [], "starts": [], "flip_flops": [], "loads": []}
    dsps, rams, roots = [], [], [np.zeros(1, np.int64)]
    merges: list[tuple[int, int]] = []
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    copies: collections.Counter[str] = collections.Counter()
    total = 1

    def place(path: str, name: str, outside: Mapping[str, list[int]]) -> None:
        nonlocal total
        if name not in modules:
            modules[name] = _Reader(name, sources[name], sources).module
        module = modules[name]
        first, number = total, len(instances)
        total += module.nets
        instances.append((path, name, first))
        counts[base_name(name)].update(module.counts)
        copies[base_name(name)] += 1
        root = np.arange(first, first + module.nets)
        root[CONSTANT] = CONSTANT
        for port, bits in module.ports.items():
            for inner, net in zip(bits, outside.get(port, ()), strict=False):
                if inner == CONSTANT or root[inner] != first + inner:
                    merges.append((net, int(root[inner])))  # a constant output, or two ports on one net
                else:
                    root[inner] = net
        roots.append(root)

        parts["arcs"].append(np.column_stack([root[module.arcs[:, :2]], module.arcs[:, 2:]]))
        for key in ("ends", "starts"):
            rows = getattr(module, key)
            place_of = np.full(len(rows), number, np.int64)
            parts[key].append(np.column_stack([root[rows[:, 0]], place_of, rows[:, 1:]]))
        parts["flip_flops"].append(root[module.flip_flops])
        parts["loads"].append(root[module.loads])
        dsps.extend({port: root[bits] for port, bits in block.items()} for block in module.dsps)
        rams.extend(root[bits] for bits in module.rams)
        for child, child_type, pins in module.children:
            place(f"{path}.{child}".lstrip("."), child_type, {port: root[bits].tolist() for port, bits in pins.items()})

    place("", top, {})
    final = np.arange(total)
    for a, b in merges:
        a, b = _find(final, a), _find(final, b)
        final[max(a, b)] = min(a, b)
    if merges:
        while not np.array_equal(final, final[final]):
            final = final[final]
    joined = {key: np.concatenate(rows) for key, rows in parts.items()}
    arc = joined["arcs"]
    arc[:, :2] = final[arc[:, :2]]
    arc = arc[(arc[:, 0] != CONSTANT) & (arc[:, 1] != CONSTANT)]
    for key in ("ends", "starts"):
        joined[key][:, 0] = final[joined[key][:, 0]]
        joined[key] = joined[key][joined[key][:, 0] != CONSTANT]
    ports = {"input": np.empty(0, np.int64), "output": np.empty(0, np.int64)}
    for port, entry in sources[top]["ports"].items():
        bits = np.array([bit for bit in modules[top].ports[port] if bit], np.int64)
        ports[entry["direction"]] = np.append(ports[entry["direction"]], final[1 + bits])
    return Netlist(
        total,
        arc,
        joined["ends"],
        joined["starts"],
        final[joined["flip_flops"]],
        np.bincount(final[joined["loads"]], minlength=total),
        [{port: final[bits] for port, bits in block.items()} for block in dsps],
        [final[bits] for bits in rams],
        instances,
        dict(counts),
        copies,
        ports["input"],
        ports["output"],
        modules,
        final[np.concatenate(roots)],
    )


def _find(root: Ints, net: int) -> int:
    while root[net] != net:
        net = int(root[net])
    return net
