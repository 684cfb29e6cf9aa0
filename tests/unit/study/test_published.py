"""Result tables: rows of a survey whose contradictions are known, and rows that were made consistent."""

from pathlib import Path

import numpy as np
import pytest

from sliceflow.cli import main
from sliceflow.errors import UserError
from sliceflow.study.published import contradictions, read_table


def checked(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return [(found.row, found.column) for name, row in read_table(path) for found in contradictions(name, row)]


def test_an_anchor_row_is_consistent(tmp_path: Path) -> None:
    """H. Li et al., "Pruning filters for efficient ConvNets", 2017, table 1: VGG-16 on CIFAR-10."""
    sizes = "parameters_before,parameters_after,parameters_removed,macs_before,macs_after,macs_removed"
    header = f"name,error_before,error_after,error_change,{sizes}"
    text = f"{header}\nVGG-16-pruned-A,6.75,6.60,-0.15,15.0M,5.4M,64.0%,313M,206M,34.2%\n"
    assert checked(tmp_path, text) == []


def test_differences_from_another_baseline_are_found(tmp_path: Path) -> None:
    text = """name,error_before,error_after,error_change
a,7.23,7.35,0.6
b,7.23,7.85,0.62
"""
    assert checked(tmp_path, text) == [("a", "error_change")]


def test_shares_and_ratios_that_contradict_counts_are_found(tmp_path: Path) -> None:
    text = """name,parameters_before,parameters_after,parameters_removed,compression
wrong share,14.98M,1.78M,92,
right share,14.98M,1.78M,88.1%,8.42
wrong ratio,14.98M,1.78M,,0.119
ratio of a share,,,50%,3
"""
    assert checked(tmp_path, text) == [
        ("wrong share", "parameters_removed"),
        ("wrong ratio", "compression"),
        ("ratio of a share", "compression"),
    ]


def test_a_lost_sign_is_found(tmp_path: Path) -> None:
    text = "name,error_before,error_after,relative_change\na,6.75,6.60,0.0222\nb,6.75,6.60,-0.0222\n"
    assert checked(tmp_path, text) == [("a", "relative_change")]


@pytest.mark.parametrize("seed", range(30))
def test_rounded_facts_never_contradict_and_changed_ones_do(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.uniform(1e6, 1e8), rng.uniform(1e5, 1e6)
    error, worse = rng.uniform(3, 30), rng.uniform(3, 30)
    removed = 100 * (1 - after / before)
    header = "name,error_before,error_after,error_change,macs_before,macs_after,macs_removed,speed_up"
    row = f"a,{error:.2f},{worse:.2f},{worse - error:.2f},{before / 1e6:.2f}M,{after / 1e6:.3f}M,{removed:.2f}"
    assert checked(tmp_path, f"{header}\n{row},{before / after:.1f}\n") == []
    assert checked(tmp_path, f"{header}\n{row},{1.5 * before / after:.1f}\n") != []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,size\na,1\n", "size"),
        ("error_before\n1\n", "name"),
        ("name,compression\na,50%\n", "per cent"),
        ("name,error_before\na,5M\n", "count"),
        ("name,error_before\na,five\n", "number"),
        ("name,parameters_before\na,-5\n", "-5"),
        ("name,error_before\na,1,2\n", "cells"),
        ("name,error_before\na,nan\n", "nan"),
    ],
)
def test_mixed_units_and_other_mistakes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        checked(tmp_path, text)
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "no.csv")


def test_the_command_names_rows_and_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,error_before,error_after,error_change\ngood,7.0,8.0,1.0\nbad,7.0,8.0,2.0\n")
    assert main(["table", str(path)]) == 3
    said = capsys.readouterr().out
    assert "bad" in said
    assert "good" not in said
    assert "1 of 2 rows" in said
    path.write_text("name,error_before,error_after,error_change\ngood,7,8,1\n")
    assert main(["table", str(path), "--json"]) == 0
