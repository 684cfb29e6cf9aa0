"""Where the channels of a graph go: which are constant, which are read, and which must stay or leave together.

A *channel* is a position on axis 1 of a tensor of rank 2 or more. Each operator has one rule (``table``), which says

- what is known of its output channels if some input channels are constant (forwards),
- which input channels it needs for the output channels that are needed (backwards),
- which channels can only be removed together,
- how the node is rewritten once channels are gone.

Operators without a rule make their outputs unknown, need all of their inputs, and lose nothing: whatever is not
understood is left as it is.
"""

from __future__ import annotations

from sliceflow.passes.channels.flow import Closure, constants, needed
from sliceflow.passes.channels.state import Constants, Masks, channels

__all__ = ["Closure", "Constants", "Masks", "channels", "constants", "needed"]
