"""Feed thousands of hostile models, data files and artifacts to the command line.

Each case must end with exit code 0 or 1, with one clear message, without a traceback, crash, hang or half-written
output, within 20 s of processor time and 2 GiB of resident memory; ``scripts/fuzzing/judge.py`` has the rules. Cases
depend on ``--seed`` and their number only. Those that break a rule are kept and can be run again with ``--replay``.

    python scripts/fuzz.py --cases 3000 --seed 0
    python scripts/fuzz.py --replay build/fuzz/case-000123
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.figures import record  # noqa: E402
from scripts.fuzzing import judge, report  # noqa: E402
from scripts.fuzzing.case import Case, Run  # noqa: E402
from scripts.fuzzing.corpus import Corpus, build_corpus  # noqa: E402
from scripts.fuzzing.generate import generate  # noqa: E402
from scripts.fuzzing.report import page  # noqa: E402
from scripts.fuzzing.runner import Runner, clean  # noqa: E402

PROCESS_SHARE = 10
"""One case in so many runs its commands as processes of their own."""


def fuzz(corpus: Corpus, seed: int, numbers: list[int], keep: Path, workers: int) -> report.Tally:
    """Run cases.

    Args:
        corpus: what mutations start from.
        seed: of the run.
        numbers: the cases.
        keep: folder for cases that break a rule.
        workers: processes beside each other.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in numbers:
        waiting.put(number)
    tally, lock = report.Tally(), threading.Lock()

    def serve(scratch: Path) -> None:
        with Runner() as runner:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                folder = scratch / f"case-{number:06d}"
                folder.mkdir()
                case = generate(corpus, seed, number, folder, as_process=number % PROCESS_SHARE == 0)
                case.save(folder / "case.json")
                runs = runner.run(case, folder)
                with lock:
                    tally.add(case, runs)
                    if any(run.problems for run in runs):
                        _keep(case, runs, folder, keep)
                clean(folder)

    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        threads = [threading.Thread(target=serve, args=(Path(scratch),)) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return tally


def _keep(case: Case, runs: list[Run], folder: Path, keep: Path) -> None:
    last = runs[-1]
    sys.stderr.write(
        f"case {case.number} ({case.what[:150]!a}), {' '.join(last.arguments)}: {'; '.join(last.problems)}\n"
    )
    target = keep / folder.name
    shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(shutil.Error):  # pipes cannot be copied
        shutil.copytree(folder, target, symlinks=True)


def replay(folder: Path) -> int:
    """Run a kept case again, as processes, and show all that it says."""
    if not folder.is_dir():
        folder = folder.parent
    case = Case.load(folder / "case.json")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / "case", symlinks=True))
        for output in filter(None, (command.output for command in case.commands)):
            shutil.rmtree(copy / output, ignore_errors=True)
            (copy / output).unlink(missing_ok=True)
        with Runner() as runner:
            runs = runner.run(Case(case.number, case.kind, case.what, case.commands, as_process=True), copy)
    for run in runs:
        print(f"$ sliceflow {' '.join(run.arguments)}\n{run.stdout[-2000:]}{run.stderr[-4000:]}")
        print(f"exit code {run.code}, {run.seconds:.1f} s, {run.peak_mb:.0f} MiB, problems: {run.problems or 'none'}")
    return int(any(run.problems for run in runs))


def main() -> int:
    """Parse the command line and run; the exit code is 1 if a case broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz", help="folder for cases that break a rule")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--write", action="store_true", help="record the result in docs/benchmarks")
    parser.add_argument("--replay", type=Path, help="run a kept case again")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    logging.getLogger().setLevel(logging.ERROR)
    begin = time.monotonic()
    print(f"seed {options.seed}, cases {options.first} to {options.first + options.cases - 1}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-corpus-") as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            corpus = build_corpus(Path(folder))
        numbers = list(range(options.first, options.first + options.cases))
        tally = fuzz(corpus, options.seed, numbers, options.keep.resolve(), options.workers)
    command = f"python scripts/fuzz.py --cases {options.cases} --seed {options.seed}"
    figures = tally.figures(command, time.monotonic() - begin, judge.SECONDS, judge.PEAK_MB)
    print(page(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.write:
        record.write("fuzz", page, figures)
    return int(figures["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
