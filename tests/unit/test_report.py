"""Figures and tables: percentiles, units, transfers, and the two ways to draw a table."""

import dataclasses
import io

import pytest

from sliceflow.bench import BenchOptions
from sliceflow.bench.measure import measure, percentile
from sliceflow.errors import UserError
from sliceflow.hardware.cycles import caveat
from sliceflow.hardware.profile import Profile
from sliceflow.hardware.transfer import LINKS, crossing_bytes
from sliceflow.report.compilation import compilation_json
from sliceflow.report.lanes import lanes_json
from sliceflow.report.tables import Table, count, share, size, write_table
from tests.support import tiny_program


def test_percentiles_are_values_that_occurred():
    values = [float(i) for i in range(1, 101)]
    assert percentile(values, 95) == 95
    assert percentile(values[::-1], 50) == 50
    assert percentile([3.0], 95) == 3
    assert percentile([1.0, 2.0], 95) == 2


def test_warm_up_calls_do_not_count():
    calls = []
    timing = measure(lambda: calls.append(0), warmup=3, repeats=4)
    assert len(calls) == 7
    assert (timing.warmup, timing.repeats) == (3, 4)
    assert 0 <= timing.best_ms <= timing.median_ms <= timing.p95_ms


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"warmup": -1}, {"threads": (0,)}, {"link": "rope"}])
def test_impossible_benchmarks_are_refused(wrong):
    with pytest.raises(UserError):
        BenchOptions(**wrong)


def test_transfers_are_counted_with_their_idle_lanes():
    assert crossing_bytes(tiny_program.tiny_program()) == {
        "to_device": (1, 1 * 6 * 7 * 4),
        "to_host": (1, 2 * 6 * 7 * 4),
    }
    assert LINKS["pcie"].seconds(4_000_000, 2) == pytest.approx(1e-3 + 40e-6)


def test_units():
    assert [count(v) for v in (0, 999, 1000, 1_234_567, 15.3e9)] == ["0", "999", "1.00 k", "1.23 M", "15.30 G"]
    assert [size(v) for v in (0, 1023, 1536, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
    assert [share(v) for v in (0, 0.5, 0.99999, 1)] == ["0.0 %", "50.0 %", "99.9 %", "100.0 %"]


def test_compilation_report():
    program = tiny_program.tiny_program()
    document = compilation_json(program, "folder")
    assert set(document) == {"artifact", "profile", "layers", "totals"}
    conv = document["layers"][1]
    assert (conv["name"], conv["placement"], conv["macs"]) == ("conv", "fpga", 9 * 3 * 5 * 42)
    totals = document["totals"]
    assert totals["fpga_share"] == 1
    assert totals["lanes_used"] == conv["macs"] / (84 * 9 * 16) == 15 / 32
    assert totals["predicted_ms"] == pytest.approx(1e3 * 3 * 42 / (program.profile.mhz * 1e6))
    assert totals["clock"] == program.profile.clock
    assert (totals["fpga_layers"], totals["cpu_layers"], totals["transforms"], totals["launches"]) == (1, 0, 2, 1)


def test_cycles_of_float_profiles_say_that_no_kernel_stands_behind_them():
    program = tiny_program.tiny_program()
    assert compilation_json(program, "")["totals"]["cycles_caveat"] == caveat(program.profile)
    for name in Profile.names():
        profile = Profile.load(name)
        text = caveat(profile)
        assert (profile.kind == "float") == bool(text)
        document = lanes_json(program, dataclasses.replace(program, profile=profile))
        assert document["cycles_caveat"] == caveat(program.profile)
    assert "fp32-4x4: the cycle model is validated on the integer RTL only" in caveat(Profile.load("fp32-4x4"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_tables_keep_every_cell_and_read_no_markup():
    table = Table("Title [red]", ("name", "number"), right=frozenset({"number"}))
    table.add("[bold]x", 5)
    table.add("longer", 12345)
    plain, drawn = io.StringIO(), Terminal()
    write_table(table, plain)
    assert plain.getvalue() == "Title [red]\n  name     number\n  [bold]x       5\n  longer    12345\n"
    write_table(table, drawn)
    for text in ("Title [red]", "[bold]x", "12345"):
        assert text in drawn.getvalue()
