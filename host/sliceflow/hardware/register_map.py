"""Where the kernel's registers lie (hls/rtl/README.md, Registers): byte offsets, as Vitis HLS chooses them."""

CONTROL, INTERRUPT_GLOBAL, INTERRUPT_ENABLE, INTERRUPT_STATUS = 0x00, 0x04, 0x08, 0x0C
POINTERS = {"program": 0x10, "weights": 0x1C, "act_in": 0x28, "act_add": 0x34, "act_out": 0x40}
"""Arguments of 64 bits: byte addresses in memory."""
FIRST, COUNT, STATUS = 0x4C, 0x54, 0x5C
"""Arguments of 32 bits; a word behind STATUS tells whether it is valid."""
ABORT, WATCHDOG = 0x64, 0x68
"""A one ends the launch; clocks without progress that end it, 0 for none. Like DEBUG and the log, in the RTL only."""
DEBUG = (0x70, 0x74, 0x78, 0x7C)
"""What the units are doing."""
LOG = 0x4000
LOG_ENTRIES = 1024
"""Descriptors of a launch that the clock log has room for."""
ADDRESS_BITS = 15
"""Of a byte address on the register bus."""
