"""What a descriptor must satisfy so that every implementation ends: the one statement of the kernel's rules.

Python executes them here; C++ and SystemVerilog are rendered from them (``sliceflow.graph.rule`` has the language). The
first rule that a descriptor breaks is its status, so the order counts: single fields come first, and what follows may
rely on them. An accumulator holds less than 2**39 wherever the rules before it hold.

The rules bound what a kernel's counters meet. What needs the sizes of the memories is in ``sliceflow.graph.validate``,
and whether a strip fits the buffers is computed strip by strip (status 3).
"""

from __future__ import annotations

from collections.abc import Iterable

from sliceflow.graph.descriptor import VERSION, AddMode, Descriptor, Op, PoolMode, TableMode
from sliceflow.graph.rule import TOP, Machine, Number, Operation, Rule, Step, Symbol
from sliceflow.hardware.profile import Profile

MAX_SIDE = (1 << 16) - 1
"""Largest size, count, step or padding of a descriptor."""
MAX_SHIFT = 62
"""Largest shift of a product in 64 bits."""
MAX_PLANES = 3
"""Most sets of weights over one input."""
MAX_REACH = (1 << 17) - 1
"""Largest distance from the first to the last place of a walk over the input: its side and its paddings."""
MAX_BLOCKS = 1 << 23
"""Most weight blocks of a layer, counted once for each strip."""
FIRST_CODE = 16
"""Status of the first rule of the table; those below are in ``sliceflow.devices.status``."""

_LAST_TABLE = Symbol(
    lambda profile: max(TableMode) if profile.has_tables else 0,
    "(has_tables<C>() ? 2u : 0u)",
    "32'(ACTIVATION_BITS == 8 ? 2 : 0)",
)
_POOL_WINDOW = Symbol(lambda profile: profile.pool_window - 1, "C::POOL_WINDOW - 1", "32'(POOL_WINDOW - 1)")
_POOL_WIDTH = Symbol(lambda profile: profile.pool_width - 1, "C::POOL_WIDTH - 1", "32'(POOL_WIDTH - 1)")
_RATIO = Symbol(lambda profile: profile.cpo // profile.cpi, "C::CPO / C::CPI", "32'(CPO / CPI)")
_HALF = Symbol(
    lambda profile: 1 << (profile.activation_bits - 1),
    "(1u << (C::ACTIVATION_BITS - 1))",
    "32'(1 << (ACTIVATION_BITS - 1))",
)
_FULL = Symbol(
    lambda profile: (1 << profile.activation_bits) - 1,
    "((2u << (C::ACTIVATION_BITS - 1)) - 1)",
    "32'((1 << ACTIVATION_BITS) - 1)",
)


def broken(layer: Descriptor, profile: Profile) -> Rule | None:
    """The first rule that a layer breaks.

    Args:
        layer: whose fields fit their words.
        profile: the accelerator.
    """
    machine = Machine({"version": VERSION, **vars(layer)}, profile)
    return next((rule for rule in RULES if not (rule.integers and profile.is_float) and not machine.holds(rule)), None)


def rule_of(code: int) -> Rule | None:
    """The rule with a status code."""
    return next((rule for rule in RULES if rule.code == code), None)


_POOLED_SIDES = {
    "y": ("pool_height", "conv_height", "pool_pad_top"),
    "x": ("pool_width", "conv_width", "pool_pad_left"),
}
_SIZES = (
    *("in_height", "in_width", "groups", "in_slices", "windows_y", "windows_x", "window_step_y", "window_step_x"),
    *("dilation_y", "dilation_x", "stride_y", "stride_x", "conv_height", "conv_width", "pool_window_y"),
    *("pool_window_x", "pool_stride_y", "pool_stride_x", "pool_height", "pool_width", "upsample_y", "upsample_x"),
    *("out_slices", "strip_rows", "group_count", "strip_count", "out_count"),
)
_OFFSETS = (
    *("pad_top", "pad_left", "pool_pad_top", "pool_pad_left", "pool_count_top", "pool_count_left"),
    *("pool_count_bottom", "pool_count_right", "group_first", "strip_first", "out_first"),
)
_ACTIVATIONS = (
    *("pad_value", "out_zero", "add_main_zero", "add_other_zero", "add_zero", "pool_in_zero", "pool_out_zero"),
    *("out_low", "out_high", "add_low", "add_high", "pool_low", "pool_high"),
)


def _set(members: Iterable[int]) -> int:
    return sum(1 << int(member) for member in members)


def _when(field: str, *members: int) -> tuple[Step, ...]:
    return (Step(Operation.WHEN, field, limit=_set(members)),)


class _Table:
    """Collects rules and numbers them."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(
        self, text: str, *steps: Step, when: tuple[Step, ...] = (), why: str = "", code: int = 0, integers: bool = False
    ) -> None:
        """A rule of several steps."""
        code = code or FIRST_CODE + sum(rule.code >= FIRST_CODE for rule in self.rules)
        self.rules.append(Rule(code, steps, when, text, why, integers))

    def range(
        self, field: str, low: int, high: Number, *, shown: str = "", when: tuple[Step, ...] = (), why: str = ""
    ) -> None:
        """A field must lie in ``low .. high``. A profile's number stands for what the field exceeds ``low`` by."""
        limit = high - low if isinstance(high, int) else high
        shown = shown or (f"in {low}..{high}" if high != low else str(low))
        text = f"{field} must be {shown}"
        self.add(text, Step(Operation.RANGE, field, -low, limit), when=when, why=why)


def _singles(table: _Table) -> None:
    """Every field by itself."""
    table.add("the descriptor has another version", Step(Operation.RANGE, "version", -VERSION), code=1)
    for field, last in (("op", max(Op)), ("add_mode", max(AddMode)), ("pool_mode", max(PoolMode)), ("requantize", 1)):
        table.range(field, 0, int(last))
    table.range(
        "table_mode",
        0,
        _LAST_TABLE,
        shown="a TableMode, and 0 without tables",
        why="a table has 256 entries, one for each 8-bit value",
    )
    table.range("taps_y", 1, 3)
    table.range("taps_x", 1, 3)
    table.range("weight_planes", 1, MAX_PLANES)
    for field in ("add_main_shift", "add_other_shift", "add_shift"):
        table.range(field, 0, MAX_SHIFT)
    for field in _SIZES:
        table.range(field, 1, MAX_SIDE)
    for field in _OFFSETS:
        table.range(field, 0, MAX_SIDE)
    for field in _ACTIVATIONS:
        table.add(f"{field} must be an activation", Step(Operation.RANGE, field, _HALF, _FULL), integers=True)
    for name in ("out", "add", "pool"):
        low, high = Step(Operation.SET, f"{name}_low", _HALF), Step(Operation.AT_MOST, f"{name}_high", _HALF)
        table.add(f"{name}_low must be at most {name}_high", low, high, integers=True)


def _array(table: _Table) -> None:
    """What the array, the banks and the table can do."""
    by_channel, by_pixel = _when("op", Op.DEPTHWISE, Op.PASS), _when("op", Op.POINTWISE, Op.PASS)
    for field in ("in_slices", "out_slices"):
        table.range(field, 1, 1, when=by_channel, why="DEPTHWISE and PASS have one slice in each group")
    for field in ("taps_y", "taps_x"):
        table.range(field, 1, 1, when=by_pixel, why="POINTWISE and PASS read one pixel at a time")
    for field in ("windows_y", "windows_x", "weight_planes"):
        table.range(field, 1, 1, when=_when("op", Op.PASS), why="PASS has no weights")
    table.add(
        "table_mode must be OFF or AFTER_ADD, not BEFORE_ADD",
        Step(Operation.IN, "table_mode", limit=_set((TableMode.OFF, TableMode.AFTER_ADD))),
        when=_when("add_mode", AddMode.ACCUMULATOR),
        why="add_mode is ACCUMULATOR",
    )
    for axis in "yx":
        # 3*0x5555 is -1 modulo 2**16, so a product's low half is -n/3 if three divides n, and smaller if not.
        table.add(
            f"dilation_{axis} must not be a multiple of 3 with several taps",
            Step(Operation.SET, f"dilation_{axis}"),
            Step(Operation.MULTIPLY, offset=0x5555),
            Step(Operation.LOW),
            Step(Operation.AT_MOST, offset=0xAAAA),
            when=_when(f"taps_{axis}", 2, 3),
            why="two taps would read the same bank",
        )
    for axis in "yx":
        for count, step in ((_POOLED_SIDES[axis][1], f"stride_{axis}"), (f"windows_{axis}", f"window_step_{axis}")):
            table.add(
                f"({count} - 1) * {step} must be at most {MAX_REACH}",
                Step(Operation.SET, count, -1),
                Step(Operation.MULTIPLY, step),
                Step(Operation.AT_MOST, offset=MAX_REACH),
                why="no input and its paddings reach so far",
            )


def _pool(table: _Table) -> None:
    """The pooled map, and that every window holds at least one value."""
    windowed = _when("pool_mode", PoolMode.MAX, PoolMode.AVERAGE)
    for pooled, mapped, _ in _POOLED_SIDES.values():
        table.add(
            f"{pooled} must be {mapped}",
            Step(Operation.SET, pooled),
            Step(Operation.EQUALS, mapped),
            when=_when("pool_mode", PoolMode.OFF),
            why="pool_mode is OFF",
        )
    for pooled, _, _ in _POOLED_SIDES.values():
        table.range(
            pooled,
            1,
            1,
            when=_when("pool_mode", PoolMode.GLOBAL_MAX, PoolMode.GLOBAL_AVERAGE),
            why="a global pool leaves one value",
        )
    table.range(
        "conv_width",
        1,
        _POOL_WIDTH,
        shown="in 1..pool_width of the profile",
        when=windowed,
        why="the pool's line buffers are that wide",
    )
    for axis in "yx":
        table.range(
            f"pool_window_{axis}",
            1,
            _POOL_WINDOW,
            shown="in 1..pool_window of the profile",
            when=windowed,
            why="the profile's largest window",
        )
    for axis, (pooled, mapped, pad) in _POOLED_SIDES.items():
        window, stride = f"pool_window_{axis}", f"pool_stride_{axis}"
        table.add(
            f"{pad} must be below {window}",
            Step(Operation.SET, pad),
            Step(Operation.AT_MOST, window, -1),
            when=windowed,
            why="the first window would lie outside the map",
        )
        table.add(
            f"({pooled} - 1) * {stride} must be below {mapped} + {pad}",
            Step(Operation.SET, pooled, -1),
            Step(Operation.MULTIPLY, stride),
            Step(Operation.SUBTRACT, pad),
            Step(Operation.AT_MOST, mapped, -1),
            when=windowed,
            why="the last window would lie outside the map",
        )
    for axis, (pooled, _, _) in _POOLED_SIDES.items():
        table.add(
            f"{pooled} * upsample_{axis} must be at most {MAX_SIDE}",
            Step(Operation.SET, pooled),
            Step(Operation.MULTIPLY, f"upsample_{axis}"),
            Step(Operation.AT_MOST, offset=MAX_SIDE),
            why="it is a side of the output",
        )


def _schedule(table: _Table) -> None:
    """The part of the layer that the ranges name."""
    dense, by_channel = _when("op", Op.CONV, Op.POINTWISE), _when("op", Op.DEPTHWISE, Op.PASS)
    whole = _when("pool_mode", PoolMode.GLOBAL_MAX, PoolMode.GLOBAL_AVERAGE)
    rows = _when("pool_mode", PoolMode.OFF, PoolMode.MAX, PoolMode.AVERAGE)
    table.add(
        "group_first + group_count must be at most groups",
        Step(Operation.SET, "group_first"),
        Step(Operation.ADD, "group_count"),
        Step(Operation.AT_MOST, "groups"),
    )
    for when, last in ((dense, (Step(Operation.MULTIPLY, offset=_RATIO),)), (by_channel, ())):
        table.add(
            "out_first + out_count must be at most the output groups of out_slices",
            Step(Operation.SET, "out_first"),
            Step(Operation.ADD, "out_count", -1),
            *last,
            Step(Operation.AT_MOST, "out_slices", -1),
            when=when,
        )
    for when, height in ((rows, "pool_height"), (whole, "conv_height")):
        table.add(
            f"strip_first + strip_count must be at most the strips of strip_rows in {height}",
            Step(Operation.SET, "strip_first"),
            Step(Operation.ADD, "strip_count", -1),
            Step(Operation.MULTIPLY, "strip_rows"),
            Step(Operation.AT_MOST, height, -1),
            when=when,
        )
    table.add(
        "strip_count must be all strips of strip_rows in conv_height",
        Step(Operation.SET, "strip_count"),
        Step(Operation.MULTIPLY, "strip_rows"),
        Step(Operation.AT_LEAST, "conv_height"),
        when=whole,
        why="a global pool takes the whole map",
    )
    several = Step(Operation.AND, "strip_count", limit=_set(range(TOP + 1)) - _set((1,)))
    table.add(
        "a global pool must have one strip or one output group",
        Step(Operation.RANGE, "out_slices", limit=_RATIO),
        when=(*whole, several),
    )
    factors = ("windows_y", "windows_x", "out_count", "strip_count", "group_count")
    blocks = [Step(Operation.SET, "weight_planes")]
    for factor in factors:
        blocks += [Step(Operation.MULTIPLY, factor), Step(Operation.AT_MOST, offset=MAX_BLOCKS)]
    text = f"the layer's weight blocks must be at most {MAX_BLOCKS}"
    why = "there is one for each set of weights, input step, window, output group, strip and group"
    table.add(text, *blocks, why=why)
    for op, limit in ((Op.CONV, MAX_BLOCKS), (Op.POINTWISE, 9 * MAX_BLOCKS)):
        more = (Step(Operation.MULTIPLY, "in_slices"), Step(Operation.AT_MOST, offset=limit))
        table.add(text, *more, when=_when("op", op), why=why)  # goes on with the product of the rule before


def _rules() -> tuple[Rule, ...]:
    table = _Table()
    for part in (_singles, _array, _pool, _schedule):
        part(table)
    return tuple(table.rules)


RULES = _rules()
"""All rules, in the order in which they are checked. That of the version needs the encoded descriptor."""
