"""Runs cases: inside a worker with a watchdog, or each command as a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scripts.fuzzing import judge, worker
from scripts.fuzzing.case import Case, Command, Run

ROOT = Path(__file__).resolve().parent.parent.parent
_GRACE = 3.0
"""Seconds beyond the time bound until the watchdog strikes."""
_MAX_COMMANDS = 300
"""Commands of one worker: a fresh one now and then keeps leaks of the libraries out of the figures."""
_TIRED_MB = 1000.0
_SHOWN = 200_000


class Runner:
    """Runs one case after the other. Not safe to share between threads.

    Use as a context manager; the worker ends with it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._results = -1
        self._commands = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, case: Case, folder: Path) -> list[Run]:
        """Run the commands of a case until one fails or breaks a rule."""
        runs = []
        for command in case.commands:
            run = self._as_process(command, folder) if case.as_process else self._in_worker(command, folder)
            run = dataclasses.replace(run, problems=judge.judge(command, run, folder))
            runs.append(run)
            if run.code or run.problems:
                break
        return runs

    def _in_worker(self, command: Command, folder: Path) -> Run:
        process = self._worker()
        request = {"arguments": command.arguments, "folder": str(folder)}
        assert process.stdin is not None
        begin = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        ready, _, _ = select.select([self._results], [], [], judge.HANG + _GRACE)
        line = os.read(self._results, 1 << 16) if ready else b""
        self._commands += 1
        if line:
            answer: dict[str, Any] = json.loads(line)
            if answer["peak_mb"] > _TIRED_MB or self._commands >= _MAX_COMMANDS:
                self._stop()
            return _result(command, folder, **answer)
        if not ready:
            process.send_signal(signal.SIGUSR1)  # writes every thread's stack to stderr
            time.sleep(0.3)
        seconds = time.monotonic() - begin
        return _result(command, folder, code=self._stop(), seconds=seconds, peak_mb=0.0)

    def _as_process(self, command: Command, folder: Path) -> Run:
        program = Path(sys.executable).with_name("sliceflow")
        begin = time.monotonic()
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [str(program), *command.arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                preexec_fn=worker.limit_memory,
            )
            while (found := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                time.sleep(0.01)
                if time.monotonic() - begin > judge.HANG + _GRACE:
                    process.kill()
                    found = os.wait4(process.pid, 0)
                    break
        process.returncode = os.waitstatus_to_exitcode(found[1])
        killed, used = process.returncode < 0, found[2]
        seconds = time.monotonic() - begin if killed else used.ru_utime + used.ru_stime
        peak = used.ru_maxrss / 1024
        return _result(command, folder, code=process.returncode, seconds=seconds, peak_mb=peak)

    def _worker(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._results, writing = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scripts.fuzzing.worker", str(writing)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writing,),
                text=True,
            )
            os.close(writing)
            self._commands = 0
        return self._process

    def _stop(self) -> int:
        """End the worker; its exit code (negative: a signal) if it had ended by itself, else that of the kill."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        os.close(self._results)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0 if self._commands and process.poll() is not None else 0.2)
        process.kill()
        code = process.wait()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        return code


def _result(command: Command, folder: Path, **figures: Any) -> Run:
    texts = {}
    for name in ("stdout", "stderr"):
        path = folder / name
        text = path.read_bytes()[: 64 << 20].decode("utf-8", "replace") if path.exists() else ""
        texts[name] = text if name == "stdout" or len(text) <= _SHOWN else text[:_SHOWN]
    return Run(arguments=command.arguments, **figures, **texts)


def clean(folder: Path) -> None:
    """Remove a case's folder, whatever the mutation put there."""
    shutil.rmtree(folder, ignore_errors=True)
