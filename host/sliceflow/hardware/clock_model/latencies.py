"""What the kernel's pipelines take, in clocks, each after the module in hls/rtl that takes it."""

from __future__ import annotations

import math

from sliceflow.graph.descriptor import AddMode, Descriptor, PoolMode, TableMode
from sliceflow.hardware.profile import TAPS, Profile

# schedule
STRIP_SETUP = 31
"""From the commands of a strip to those of the next (strip_setup's products)."""
GROUP_SETUP = 4
"""The same where a group has one strip, of which only the addresses change."""
COMMANDS = 8
"""Strips that a unit may lag behind the scheduler (its command FIFOs)."""
NEXT_COMMANDS = 2
"""From a row of pad to the commands that take the place of its strip's."""
FIRST_COMMAND = 1
"""From a layer's begin to the commands of its first strip."""
LEAD = 28
"""From the requests for a layer's weights and lane parameters to its begin, if nothing else holds it up."""
DESCRIPTOR = 292
"""From the turn to a descriptor to its layer's begin, beside a read latency: beats, layer_check, strip_setup."""
NEXT_DESCRIPTOR = 2
"""From the last strip's commands to the turn to the next descriptor."""
PORT_TURN = 1
"""From the last beat that lane parameters are asked for to a descriptor on the same port (read_mux)."""
CLOSE = 1
"""From a layer's last write response to the begin of a layer that waits."""

# read_port with its FIFO, and what stands before it
PARAMETER_READ = 5
"""From a request for weights or lane parameters to the first beat, beside a read latency (read_runs, read_port)."""
INPUT_READ = 8
"""From a strip's commands to the first beat of its input, beside a read latency (load, read_port)."""
ADDEND_READ = 6
"""From a strip's turn in read_addend to its first addend, beside a read latency."""
LANES_BUFFER = 64
"""Beats of lane parameters that may be on their way (read_lanes)."""

# load, pad, cvt
LOAD_WORDS = 8
"""Most words that load places in a clock."""
NEXT_LOAD = 1
"""Clocks that load rests between two strips."""
ROW_TO_FRAME = 5
"""From pad's row to its first frame."""
STRIP_TO_FRAME = 6
"""From the last words of a strip to the first frame that needed them."""
LOADED_TO_FRAME = 7
"""From the words of a row, or of a slice, to the first frame that needed them, while the strip is being loaded."""
LOADING_ROW = 2
"""From a row of pad to the next, if neither the strip nor the slices of its pass are loaded as a whole."""
NEXT_STRIP_ROW = 4
"""From the last row of a strip to the first row of the next (pad's commands)."""
FIRST_ROW = 4
"""From a strip's commands to its first row."""
PASS_SPACING = 3
"""From the begin of a pass to that of the next (cvt), so that sums are written before they are read."""
IN_FLIGHT = 96
"""Frames of a last pass between the issue in cvt and the pool: the credits of add's FIFO and the room in post."""
RETURN = 6
"""From a pixel that leaves post to the frame that its room lets in."""

# lane parameters
BIAS_TO_FRAME = 2
"""From the last beat of an output group's lane parameters to its first frame."""
LANES_AHEAD = 2
"""Output groups whose lane parameters read_lanes holds."""
LANES_TO_FRAME = 4
"""From the first sum of an output group, which frees a place there, to the first frame of the group that takes it."""
LANES_AGAIN = 4
"""From a beat of lane parameters that leaves read_lanes to a beat in its place, beside a read latency."""
TABLE_COPY = 69
"""From a table's first beat until activation has copied it; no sum is admitted before."""
TABLE_BEATS = 4

# write
STRIP_CLOSE = 4
"""Clocks in which write takes no pixel between two strips: the last burst must have been announced."""
BURST_TO_END = 5
"""From a burst's last pixel to the layer's end, beside its beats and the write latency."""
ANNOUNCED = 26
"""Bursts between write's pixels and the memory (write_part, write_send)."""
OPEN_BURSTS = 64
"""Bursts without response that the simulated memory takes (hls/rtl/sim/axi.h)."""
FEW_PARTS = 4
"""Slices of an output group up to which write's bursts have WRITE_BURST beats; more slices share 64 beats."""
WRITE_BURST = 16

# pool
POOL_STRIP = 2
"""Clocks that pool_steps rests between two strips."""
POOL_ROOM = 32
"""Pooled pixels that wait for write."""
ROUND = 4
"""round_shift."""
ALIGN = 3
"""eltwise: both products to one scale, and their sum."""
TABLE = 2
"""activation."""


def multiply(bits: int) -> int:
    """Clocks of ``multiply`` for an operand of ``bits`` bits (post_pkg)."""
    return 1 + _log2((bits + 1) // 2)


def array(profile: Profile) -> int:
    """Clocks from a frame to its finished sum at post: mul's adder tree, add, and its FIFO."""
    terms, clocks = TAPS * profile.cpi, 1
    while terms > 1:
        terms, clocks = math.ceil(terms / 4), clocks + 1
    return clocks + 3


def post(layer: Descriptor, profile: Profile) -> int:
    """Clocks from an admitted sum to its pixel in front of the pool (requantize, activation, eltwise)."""
    centred = profile.activation_bits + 1  # bits of an activation minus a zero point
    clocks = 1
    if layer.add_mode == AddMode.ACCUMULATOR:
        clocks += 1 + multiply(centred) + ALIGN + ROUND
    elif layer.requantize:
        clocks += max(multiply(32), multiply(centred) + 1) + ROUND
    if layer.add_mode == AddMode.REQUANTIZED:
        clocks += 1 + multiply(centred) + ALIGN + ROUND
    if layer.table_mode != TableMode.OFF:
        clocks += TABLE
    return clocks + 1


def pool(layer: Descriptor, profile: Profile) -> int:
    """Clocks from the step that ends a window, or the map, to the pooled pixel in front of write."""
    total = profile.activation_bits + 7  # bits of a window's sum
    average = 6 + multiply(max(17, total)) + ROUND + 1
    return {PoolMode.OFF: 0, PoolMode.MAX: 4, PoolMode.GLOBAL_MAX: 3}.get(PoolMode(layer.pool_mode), average)


def _log2(count: int) -> int:
    return (count - 1).bit_length()
