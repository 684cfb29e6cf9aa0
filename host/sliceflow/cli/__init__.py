"""The ``sliceflow`` command: one file per verb. Nothing heavy is imported before a verb needs it."""

from sliceflow.cli.app import main

__all__ = ["main"]
