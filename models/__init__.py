"""Networks and data that Sliceflow's examples, tests and benchmarks use.

Not part of the installed package: put the root of the repository on ``sys.path`` (``python -m models`` run there does).
``python -m models --list`` names the networks, ``models/README.md`` tells where each comes from.
"""
