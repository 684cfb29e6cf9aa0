"""Studies of pruning: methods, ratios and seeds beside controls, and the whole chain from training to a device.

Everything that is measured of a network is measured from its exported graph, so that only structure that really went
counts, and in one place (``measure``).
"""
