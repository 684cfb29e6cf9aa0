"""A folder takes the results of one study only, and whole ones."""

import json
from pathlib import Path

import pytest

from sliceflow.errors import UserError
from sliceflow.study.store import Store, checksum, differing

IDENTITY = {"recipe": {"finetune": {"epochs": 4}}, "data": {"sha256": "ab"}, "sliceflow": "1"}


def opened(folder: Path, **changes: object) -> Store:
    store = Store(folder / "study", {**IDENTITY, **changes})
    store.begin({"command": ["x"]})
    return store


def test_results_come_back_in_a_second_run(tmp_path: Path) -> None:
    opened(tmp_path).put("a-s0", {"value": 1.5, "seconds": 2})
    again = opened(tmp_path)
    assert again.result("a-s0") == {"study": again.checksum, "value": 1.5, "seconds": 2}
    assert again.result("a-s1") is None
    manifest = json.loads((tmp_path / "study" / "manifest.json").read_text())
    assert len(manifest["runs"]) == 2


def test_the_log_keeps_every_event(tmp_path: Path) -> None:
    opened(tmp_path).put("a-s0", {"value": 1})
    opened(tmp_path)
    lines = (tmp_path / "study" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["run", "cell", "run"]


def test_another_study_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UserError, match="another study") as caught:
        opened(tmp_path, recipe={"finetune": {"epochs": 5}})
    assert "recipe.finetune.epochs" in caught.value.why


def test_a_result_that_was_copied_in_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put("a-s0", {"value": 1})
    path = tmp_path / "study" / "cells" / "a-s0.json"
    path.write_text(path.read_text().replace(store.checksum, "0" * 64))
    with pytest.raises(UserError, match="another study"):
        store.result("a-s0")


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put("a-s0", {"value": 1})
    path = tmp_path / "study" / "cells" / "a-s0.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot be read"):
        store.result("a-s0")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        opened(tmp_path)
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["thesis.txt"]


def test_checksums_see_every_value_and_no_order() -> None:
    assert checksum({"a": 1, "b": [2, 3]}) == checksum({"b": [2, 3], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 2})
    assert differing({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == ["a.c", "d"]
