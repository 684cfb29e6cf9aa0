"""An accelerator at the end of a serial line: ``hls/rtl/serial`` on a board, or simulated bit by bit."""
