"""The accelerator profile: everything that synthesis fixes, in one frozen object.

A profile is read once from TOML, checked, and passed on explicitly. It renders the C++ configuration header and
the RTL parameters and feeds the mapper, the cycle model and the reports, so no value is set twice.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from sliceflow.errors import UserError

_BUILT_IN = "sliceflow.hardware"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_DEVICE = re.compile(r"[ -~]{0,40}")
TAPS = 9
"""Multiplier groups of the array, one for each bank of the window buffer (a 3x3 window)."""
_WIDTHS = {"int": ((8, 8), (8, 4), (16, 8), (16, 4)), "float": ((32, 32),)}
"""Widths of an activation and a weight that each kind of arithmetic has."""
CLOCK_BASES = ("assumed", "delay model", "placed and routed")
"""What a profile's clock frequency can rest on, from the weakest to the strongest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """One synthesized accelerator.

    Attributes:
        name: what users type after ``--profile``.
        kind: ``"int"`` or ``"float"`` arithmetic.
        activation_bits: bits of a stored activation (8 or 16; 32 for float).
        weight_bits: bits of a stored weight (8 or 4; 32 for float).
        cpi: input channels consumed per clock; also the channels of a memory word.
        cpo: output channels produced per clock; a multiple of ``cpi``.
        bank_words: words in each of the nine banks of one (of two) strip buffers.
        accumulator_pixels: output pixels whose partial sums stay on chip.
        pool_window: largest window side of the streaming pool.
        pool_width: widest row of the streaming pool's line buffers.
        beat_bytes: bytes that a memory port moves per clock.
        read_latency: clocks from a read request to its first beat (cycle model).
        mhz: clock frequency that predictions use.
        clock_basis: what that frequency rests on, one of :data:`CLOCK_BASES`. ``"assumed"``: somebody's wish;
            ``"delay model"``: the longest path of the mapped netlist, before placement;
            ``"placed and routed"``: reported by a place-and-route tool.
        clock_device: device family and speed grade for which it holds; empty if assumed for none.
    """

    name: str
    kind: str
    activation_bits: int
    weight_bits: int
    cpi: int
    cpo: int
    bank_words: int
    accumulator_pixels: int
    pool_window: int
    pool_width: int
    beat_bytes: int
    read_latency: int
    mhz: float
    clock_basis: str
    clock_device: str

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise UserError(
                f"the profile is impossible: {problem}", where=f"profile {self.name[:80]!a}", fix="correct that value"
            )

    def _problems(self) -> list[str]:
        found = []
        if not _NAME.fullmatch(self.name):  # it becomes part of a file name and of the kernel's source
            found.append(f"name must be 1 to 64 letters, digits, dots, dashes or underscores, not {self.name[:80]!a}")
        if self.kind not in _WIDTHS:
            found.append(f"kind must be 'int' or 'float', not {self.kind!r}")
        widths = _WIDTHS.get(self.kind, ())
        if widths and (self.activation_bits, self.weight_bits) not in widths:
            found.append(
                f"activation_bits x weight_bits must be one of {widths} for kind {self.kind!r}, "
                f"not {self.activation_bits} x {self.weight_bits}"
            )
        for field, low, high in (
            ("cpi", 1, 64),
            ("cpo", 1, 64),
            ("bank_words", 16, 1 << 20),
            ("accumulator_pixels", 16, 1 << 20),
            ("pool_window", 2, 16),
            ("pool_width", 8, 1 << 16),
            ("beat_bytes", 8, 128),
            ("read_latency", 0, 10_000),
        ):
            value = getattr(self, field)
            if not low <= value <= high:
                found.append(f"{field} must lie in {low}..{high}, not {value}")
        if not found and self.cpo % self.cpi:
            found.append(
                f"cpo must be a multiple of cpi, so that an output can be an input, not {self.cpo} / {self.cpi}"
            )
        if self.beat_bytes != 64:
            found.append(f"beat_bytes must be 64, not {self.beat_bytes}")
        if not 1 <= self.mhz <= 2000:
            found.append(f"mhz must lie in 1..2000, not {self.mhz}")
        if self.clock_basis not in CLOCK_BASES:
            found.append(f"clock_basis must be one of {CLOCK_BASES}, not {self.clock_basis[:80]!a}")
        elif self.clock_basis != "assumed" and not self.clock_device:
            found.append("clock_device must name the device for which the clock holds")
        if not _DEVICE.fullmatch(self.clock_device):
            found.append(f"clock_device must be at most 40 printable ASCII characters, not {self.clock_device[:80]!a}")
        return found

    @property
    def is_float(self) -> bool:
        """Whether activations, weights and sums are float32."""
        return self.kind == "float"

    @property
    def has_tables(self) -> bool:
        """Whether the accelerator has function tables: they have an entry for each of 256 activations."""
        return not self.is_float and self.activation_bits == 8

    @property
    def activation_bytes(self) -> int:
        """Bytes of one stored activation."""
        return self.activation_bits // 8

    @property
    def word_bytes(self) -> int:
        """Bytes of one activation word: CPI channels of one pixel."""
        return self.cpi * self.activation_bytes

    @property
    def weight_block_bytes(self) -> int:
        """Bytes of the weights of one pass, ``[9][CPI][CPO]``, padded to whole beats."""
        return self._beats(math.ceil(TAPS * self.cpi * self.cpo * self.weight_bits / 8))

    @property
    def depthwise_block_bytes(self) -> int:
        """Bytes of the weights of one depthwise pass, ``[9][CPI]``, padded to whole beats."""
        return self._beats(math.ceil(TAPS * self.cpi * self.weight_bits / 8))

    @property
    def lane_block_bytes(self) -> int:
        """Bytes of the lane parameters of one output group (CPO records of 16 bytes), padded to whole beats."""
        return self._beats(16 * self.cpo)

    @property
    def multipliers(self) -> int:
        """Products per clock."""
        return TAPS * self.cpi * self.cpo

    @property
    def clock(self) -> str:
        """The clock and what it rests on, as every printed time names it: ``"51 MHz, delay model, UltraScale+ -2"``."""
        return ", ".join(filter(None, (f"{self.mhz:g} MHz", self.clock_basis, self.clock_device)))

    def seconds(self, cycles: float) -> float:
        """Time of so many cycles at the profile's clock; as good as ``clock_basis``."""
        return cycles / (self.mhz * 1e6)

    def _beats(self, size: int) -> int:
        return math.ceil(size / self.beat_bytes) * self.beat_bytes

    def to_json(self) -> dict[str, Any]:
        """All fields, as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Any, *, where: str) -> Profile:
        """Build a profile from plain data; unknown, missing or mistyped keys are refused."""
        if not isinstance(data, dict):
            raise UserError(f"a profile must be a table, not {type(data).__name__}", where=where)
        known = {field.name: field.type for field in dataclasses.fields(cls)}
        unknown, missing = sorted(set(data) - set(known)), sorted(set(known) - set(data))
        if unknown or missing:
            raise UserError(
                "the profile has "
                + "; ".join(
                    [f"unknown keys {', '.join(map(repr, unknown))}"] * bool(unknown)
                    + [f"missing keys {', '.join(missing)}"] * bool(missing)
                ),
                where=where,
                fix=f"the keys are {', '.join(known)}",
            )
        kinds = {"str": str, "int": int, "float": (int, float)}
        for key, type_name in known.items():
            value = data[key]
            if isinstance(value, bool) or not isinstance(value, kinds[str(type_name)]):  # type: ignore[arg-type]
                raise UserError(f"{key} must be of type {type_name}, not {value!r}", where=where)
        return cls(**data)

    @classmethod
    def load(cls, name: str) -> Profile:
        """Load a built-in profile by its name, or one of the user's by the path of its TOML file."""
        if name in cls.names():
            text, where = _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"built-in profile {name!r}"
        elif Path(name).suffix == ".toml":
            where = name
            try:
                text = Path(name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError("the profile cannot be read", where=name, why=str(error)) from error
        else:
            raise UserError(
                f"there is no profile called {name!r}",
                why=f"the built-in ones are {', '.join(cls.names())}",
                fix="name one of them, or a .toml file",
            )
        try:
            tables = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # TOMLDecodeError, numbers of thousands of digits, deep nesting
            raise UserError("the profile is not valid TOML", where=where, why=str(error)) from error
        flat: dict[str, Any] = {}
        sections = {"arithmetic", "array", "buffers", "memory", "clock"}
        for key, value in tables.items():
            if isinstance(value, dict) and key in sections:
                flat.update(value)
            else:
                flat[key] = value
        return cls.from_json(flat, where=where)

    @staticmethod
    def names() -> list[str]:
        """Names of the built-in profiles."""
        return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def _folder() -> Any:
    return resources.files(_BUILT_IN).joinpath("profiles")
