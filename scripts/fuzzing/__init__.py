"""Hostile inputs for the command line, and what must hold for each: see ``scripts/fuzz.py``."""
