"""Channels of a live network: which belong together, which can be cut, and the cutting."""
