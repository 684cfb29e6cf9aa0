"""Data-driven sparse structure selection: factors on channels, groups and blocks."""
