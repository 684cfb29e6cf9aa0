"""Signals of processes that tests start."""

import signal


def take_interrupts() -> None:
    """For ``preexec_fn``: a shell that runs tests in the background lets its children ignore SIGINT, and theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
