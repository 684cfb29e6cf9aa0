"""The integer truth: what the accelerator computes, in NumPy, written to be read and not to be fast."""
