"""A process that runs the command line again and again: commands on stdin, results on the file handle in argv.

The parent sees it die (crash) or stay silent (hang), and starts another one.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path

ADDRESS_SPACE = 8 << 30
"""Virtual memory that a command may ask for, in bytes: ONNX Runtime's threads and maps need a lot of it."""


def limit_memory() -> None:
    """Bound the address space of this process, and leave no core dumps."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _processor_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _run(arguments: list[str], folder: Path) -> dict[str, float]:
    from sliceflow.cli import main

    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the commands before
    begin = _processor_seconds()
    try:
        code = main(arguments)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    seconds = _processor_seconds() - begin
    sys.stdout.flush()
    sys.stderr.flush()
    return {"code": code, "seconds": seconds, "peak_mb": _peak_mb()}


def work(results: int) -> None:
    """Serve until stdin ends."""
    limit_memory()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    with os.fdopen(results, "w") as channel:
        for line in sys.stdin:
            request = json.loads(line)
            answer = _run(request["arguments"], Path(request["folder"]))
            channel.write(json.dumps(answer) + "\n")
            channel.flush()


if __name__ == "__main__":
    work(int(sys.argv[1]))
