"""When the RTL kernel does what: the parts of the cycle model, each after the modules in hls/rtl that it stands for.

All times are clocks since a layer began; a frame's time is the clock in which it enters the multiplier array. Nothing
is simulated pixel by pixel: a unit is known by the times of the first and the last item of an output group of a strip.
"""
