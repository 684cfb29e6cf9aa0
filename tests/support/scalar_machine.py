"""A second reading of docs/program.md, as an oracle: value by value, Python integers and fractions, strip by strip.

It shares no code with the reference, the mapper or ``sliceflow.graph.geometry``; integer profiles only.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from fractions import Fraction

from sliceflow.graph.descriptor import Descriptor
from sliceflow.hardware.profile import Profile

CONV, POINTWISE, DEPTHWISE, PASS = range(4)
NO_POOL, MAX, AVERAGE, GLOBAL_MAX, GLOBAL_AVERAGE = range(5)
Map = dict[tuple[int, int], list[int]]


def rhe(value: int, shift: int) -> int:
    """Round to nearest, ties to even: what Python's ``round`` does with a fraction."""
    return round(Fraction(value, 2**shift))


def signed(value: int, bits: int) -> int:
    value %= 1 << bits
    return value - (1 << bits) if value >> (bits - 1) else value


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


class ScalarMachine:
    """Executes one descriptor on byte memories; ``activations`` is changed in place."""

    def __init__(self, d: Descriptor, profile: Profile, program: bytes, weights: bytes, activations: bytearray) -> None:
        self.d, self.p = d, profile
        self.program, self.weight_memory, self.activations = program, weights, activations
        self.word = f"<{profile.cpi}{'b' if profile.activation_bits == 8 else 'h'}"
        self.word_bytes = struct.calcsize(self.word)
        dense = d.op in (CONV, POINTWISE)
        self.lanes = profile.cpo if dense else profile.cpi
        self.slices_per_out = profile.cpo // profile.cpi if dense else 1
        self.outs = -(-d.out_slices // self.slices_per_out)
        self.steps = {CONV: d.in_slices, POINTWISE: -(-d.in_slices // 9)}.get(d.op, 1)

    def execute(self) -> None:
        d = self.d
        results: dict[tuple[int, int], Map] = defaultdict(dict)
        for group in range(d.group_first, d.group_first + d.group_count):
            for strip in range(d.strip_first, d.strip_first + d.strip_count):
                rows, pooled = self.strip_rows(strip)
                for out in range(d.out_first, d.out_first + d.out_count):
                    block = self.strip_map(group, out, rows)
                    if d.pool_mode in (GLOBAL_MAX, GLOBAL_AVERAGE):
                        results[group, out].update(block)
                        continue
                    for y in pooled:
                        for x in range(d.pool_width):
                            self.write(group, out, y, x, self.window(group, out, block, y, x))
        for (group, out), whole in results.items():
            self.write(group, out, 0, 0, self.whole(list(whole.values())))

    def strip_rows(self, strip: int) -> tuple[range, range]:
        """Array rows and pooled rows of a strip."""
        d, first = self.d, strip * self.d.strip_rows
        if d.pool_mode in (GLOBAL_MAX, GLOBAL_AVERAGE):
            return range(first, min(first + d.strip_rows, d.conv_height)), range(0)
        pooled = range(first, min(first + d.strip_rows, d.pool_height))
        if d.pool_mode == NO_POOL:
            return pooled, pooled
        touched = [y * d.pool_stride_y - d.pool_pad_top + offset for y in pooled for offset in range(d.pool_window_y)]
        return range(max(0, min(touched)), min(d.conv_height, max(touched) + 1)), pooled

    def activation(self, base: int, slices: int, height: int, width: int, s: int, y: int, x: int) -> list[int]:
        assert 0 <= s < slices
        assert 0 <= y < height
        assert 0 <= x < width
        at = (base + (s * height + y) * width + x) * self.word_bytes
        return list(struct.unpack_from(self.word, self.activations, at))

    def tap(self, group: int, step: int, window: tuple[int, int], tap: int, y: int, x: int) -> list[int] | None:
        """The word under a tap; None if the tap is not in use."""
        d = self.d
        row = y * d.stride_y - d.pad_top + window[0] * d.window_step_y
        column = x * d.stride_x - d.pad_left + window[1] * d.window_step_x
        s = step
        if d.op == POINTWISE:
            s = 9 * step + tap
            if s >= d.in_slices:
                return None
        else:
            ky, kx = divmod(tap, 3)
            if ky >= d.taps_y or kx >= d.taps_x:
                return None
            row += ky * d.dilation_y
            column += kx * d.dilation_x
        if not (0 <= row < d.in_height and 0 <= column < d.in_width):
            return [d.pad_value] * self.p.cpi
        total = d.groups * d.in_slices
        return self.activation(d.in_base, total, d.in_height, d.in_width, group * d.in_slices + s, row, column)

    def block(self, number: int) -> list[int]:
        count = 9 * self.p.cpi * (self.p.cpo if self.d.op != DEPTHWISE else 1)
        bits = self.p.weight_bits
        size = -(-count * bits // 512) * 64
        at = self.d.weights_base * 64 + number * size
        # As one number: the first weight stands in its lowest bits.
        whole = int.from_bytes(self.weight_memory[at : at + size], "little")
        return [signed(whole >> (bits * k), bits) for k in range(count)]

    def record(self, group: int, out: int, lane: int) -> tuple[int, ...]:
        """bias, multiplier, shift, main left, other left, right."""
        block = -(-16 * self.p.cpo // 64) * 64
        at = self.d.lanes_base * 64 + (group * self.outs + out) * block + 16 * lane
        return struct.unpack_from("<iiBBBB", self.program, at)

    def strip_map(self, group: int, out: int, rows: range) -> Map:
        """Values before the pool, of every array pixel of a strip."""
        d = self.d
        records = [self.record(group, out, lane) for lane in range(self.lanes)]
        acc = {(y, x): [r[0] for r in records] for y in rows for x in range(d.conv_width)}
        number = (group * self.outs + out) * d.weight_planes * self.steps * d.windows_y * d.windows_x
        for _plane in range(d.weight_planes):
            for step in range(self.steps):
                for wy in range(d.windows_y):
                    for wx in range(d.windows_x):
                        weights = self.block(number) if d.op != PASS else []
                        number += 1
                        for (y, x), sums in acc.items():
                            for lane, value in enumerate(self.partial(group, step, (wy, wx), y, x, weights)):
                                sums[lane] += value
        return {at: self.finish(group, out, at, sums, records) for at, sums in acc.items()}

    def partial(self, group: int, step: int, window: tuple[int, int], y: int, x: int, weights: list[int]) -> list[int]:
        cpi, cpo, sums = self.p.cpi, self.p.cpo, [0] * self.lanes
        if self.d.op == PASS:
            word = self.tap(group, step, window, 0, y, x)
            assert word is not None
            return word
        for tap in range(9):
            word = self.tap(group, step, window, tap, y, x)
            if word is None:
                continue
            for i, value in enumerate(word):
                if self.d.op == DEPTHWISE:
                    sums[i] += value * weights[tap * cpi + i]
                    continue
                for o in range(cpo):
                    sums[o] += value * weights[(tap * cpi + i) * cpo + o]
        return sums

    def table(self, q: int) -> int:
        return struct.unpack_from("<b", self.program, self.d.table_base * 64 + q + 128)[0]

    def finish(
        self, group: int, out: int, at: tuple[int, int], sums: list[int], records: list[tuple[int, ...]]
    ) -> list[int]:
        d, values = self.d, []
        for lane, (total, record) in enumerate(zip(sums, records, strict=True)):
            j, i = divmod(lane, self.p.cpi)
            s = out * self.slices_per_out + j
            if s >= d.out_slices:
                values.append(0)
                continue
            _, multiplier, shift, main_left, other_left, right = record
            v = signed(total, 32)
            q = signed(v, self.p.activation_bits)
            if d.requantize and d.add_mode != 2:
                q = clamp(d.out_zero + rhe(v * multiplier, shift), d.out_low, d.out_high)
            q = self.table(q) if d.table_mode == 1 else q
            if d.add_mode:
                total_slices = d.groups * d.out_slices
                word = self.activation(
                    d.add_base, total_slices, d.conv_height, d.conv_width, group * d.out_slices + s, *at
                )
                other = (word[i] - d.add_other_zero) * d.add_other_multiplier
                if d.add_mode == 1:
                    main = (q - d.add_main_zero) * d.add_main_multiplier * 2**d.add_main_shift
                    total_sum = rhe(main + other * 2**d.add_other_shift, d.add_shift)
                else:
                    total_sum = rhe(v * multiplier * 2**main_left + other * 2**other_left, right)
                q = clamp(d.add_zero + total_sum, d.add_low, d.add_high)
            values.append(self.table(q) if d.table_mode == 2 else q)
        return values

    def average(self, cells: list[list[int]], count: int) -> list[int]:
        d = self.d
        multiplier, shift = struct.unpack_from("<iI", self.program, d.pool_scales_base * 64 + 8 * count)
        sums = [sum(q - d.pool_in_zero for q in lane) for lane in zip(*cells, strict=True)]
        return [clamp(d.pool_out_zero + rhe(s * multiplier, shift), d.pool_low, d.pool_high) for s in sums]

    def whole(self, cells: list[list[int]]) -> list[int]:
        if self.d.pool_mode == GLOBAL_MAX:
            return [max(lane) for lane in zip(*cells, strict=True)]
        return self.average(cells, 0)

    def window(self, group: int, out: int, block: Map, y: int, x: int) -> list[int]:
        d = self.d
        if d.pool_mode == NO_POOL:
            return block[y, x]
        cells, count = [], 0
        for py in range(d.pool_window_y):
            for px in range(d.pool_window_x):
                row, column = y * d.pool_stride_y - d.pool_pad_top + py, x * d.pool_stride_x - d.pool_pad_left + px
                count += (
                    -d.pool_count_top <= row < d.conv_height + d.pool_count_bottom
                    and -d.pool_count_left <= column < d.conv_width + d.pool_count_right
                )
                if 0 <= row < d.conv_height and 0 <= column < d.conv_width:
                    cells.append(block[row, column])
        if d.pool_mode == MAX:
            return [max(lane) for lane in zip(*cells, strict=True)]
        return self.average(cells, count)

    def write(self, group: int, out: int, y: int, x: int, values: list[int]) -> None:
        d, cpi = self.d, self.p.cpi
        height, width = d.pool_height * d.upsample_y, d.pool_width * d.upsample_x
        for j in range(self.slices_per_out):
            s = out * self.slices_per_out + j
            if s >= d.out_slices:
                continue
            for row in range(y * d.upsample_y, (y + 1) * d.upsample_y):
                for column in range(x * d.upsample_x, (x + 1) * d.upsample_x):
                    word = d.out_base + ((group * d.out_slices + s) * height + row) * width + column
                    part = values[j * cpi : (j + 1) * cpi]
                    struct.pack_into(self.word, self.activations, word * self.word_bytes, *part)
