"""Pages and drawings that need nothing but themselves."""

import re
import xml.etree.ElementTree as ET

from sliceflow.report.tables import Table
from sliceflow.study.page import Part, render
from sliceflow.study.plots import data_uri, trade_off
from sliceflow.study.summary import fronts, summarize
from sliceflow.study.tables import hardware_table, main_table, markdown, recall_table, width_table
from tests.unit.study.test_summary import documents


def test_names_cannot_inject_anything() -> None:
    evil = '<script>alert("x")</script>&'
    table = Table(evil, (evil, "b"), [[evil, "2"]], frozenset({"b"}))
    page = render(evil, evil, [Part(title=evil, text=[evil], items=[evil], table=table, code=evil, alt=evil)]).decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 9


def test_a_page_is_complete_and_asks_for_nothing() -> None:
    rows = summarize(documents())
    image = data_uri(trade_off(rows, fronts(rows)["cycles"], "cycles"))
    page = render("t", "l", [Part(title="p", image=image, alt="a"), Part(title="f", code="c", folded=True)]).decode()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert 'name="viewport"' in page
    assert page.count("<details>") == page.count("</details>") == 1
    assert page.rstrip().endswith("</html>")


def test_drawings_are_svg_and_always_the_same() -> None:
    rows = summarize(documents())
    for cost, front in fronts(rows).items():
        first, second = (trade_off(rows, front, cost) for _ in range(2))
        assert first == second
        assert ET.fromstring(first).tag.endswith("svg")  # our own
    assert trade_off(rows, front, "macs") != trade_off(rows[:2], [0], "macs")


def test_tables_say_what_is_a_control_and_keep_speed_ups_apart() -> None:
    rows = summarize(documents())
    table = main_table(rows, "t")
    assert [row[0] for row in table.rows] == ["unpruned (control)", "l2-filter", "random (control)"]
    cells = dict(zip(table.columns, table.rows[1], strict=True))
    assert cells["accuracy %"] == "82.00 ± 2.00"
    assert cells["change"] == "-9.00 ± 1.00"
    assert (cells["smaller"], cells["ONNX Runtime"], cells["theoretical"]) == ("4.11 ± 0.84", "1.50", "4.11 ± 0.84")
    assert width_table(rows, ["a", "b"]).rows[1] == ["l2-filter", "4", "4", "2"]
    assert recall_table(rows).rows[0][:5] == ["l2-filter", "4", "100.00 ± 0.00", "3", "-9.00 ± 1.00"]
    assert hardware_table(rows).rows[2][3] == "50.00 ± 0.00"


def test_markdown_keeps_its_columns() -> None:
    text = markdown(Table("t", ("a|b", "c"), [["1|2", "3"]], frozenset({"c"})))
    assert text.splitlines() == ["| a\\|b | c |", "| --- | ---: |", "| 1\\|2 | 3 |"]
