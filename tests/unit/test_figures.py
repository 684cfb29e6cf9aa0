"""Published pages say what their data say, and what they were made with."""

import json

import pytest

from scripts.figures import record
from scripts.figures.pages import pages


def test_every_page_is_made_of_its_data():
    """After a change of a script's text: ``python -m scripts.figures.pages --write``."""
    found = dict(pages())
    assert {path.name for path in record.FOLDER.glob("*.md")} == {path.name for path in found}
    for path, text in found.items():
        assert path.read_text() == text, path.name


def test_pages_say_processor_and_versions_or_that_they_were_not_recorded():
    for path in record.FOLDER.glob("*.json"):
        made, page = json.loads(path.read_text())["made"], path.with_suffix(".md").read_text()
        assert (f" on {made['cpu']}" in page) if "cpu" in made else ("processor" in page and "not recorded" in page)
        versions = made.get("versions")
        assert ("versions of packages were not recorded" in page) == (versions is None) or "cpu" not in made, path.name
        assert all(f"{name} {version}" in page for name, version in (versions or {}).items()), path.name


def test_what_a_figure_is_made_with(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FOLDER", tmp_path)
    monkeypatch.setattr(record, "command_line", lambda: "python -m scripts.figures.one --write")

    def page(data):
        return f"# One\n\n{data['runs'][0][0]}"

    record.write("one", page, {"runs": ((1, 2),)})
    document, text = json.loads((tmp_path / "one.json").read_text()), (tmp_path / "one.md").read_text()
    assert document["data"] == {"runs": [[1, 2]]}
    assert {"command", "sliceflow", "python", "cpu", "versions"} == set(document["made"])
    assert {"torch", "onnxruntime", "numpy"} <= set(document["made"]["versions"])
    assert text == record.render("one", document, page)
    assert f"torch {document['made']['versions']['torch']}, " in text
    assert text.endswith(f" on {document['made']['cpu']}. Data: `one.json`.\n")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"command": "c"}, "Made by `c`; processor and versions of packages were not recorded. Data: `x.json`."),
        (
            {"command": "c", "cpu": "P", "sliceflow": "1"},
            "Made by `c` with Sliceflow 1 on P; versions of packages were",
        ),
        ({"command": "c", "versions": {"torch": "2"}}, "Made by `c` with torch 2; processor was not recorded."),
    ],
)
def test_what_was_not_recorded_is_said(made, expected):
    assert expected in record.render("x", {"made": made, "data": None}, lambda _: "text")
