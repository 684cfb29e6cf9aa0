"""One self-contained HTML page: no script, no network, readable on a phone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib import resources

from sliceflow.errors import UserError
from sliceflow.report.tables import Table
from sliceflow.text import encodable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a page; what is given is shown in this order.

    Attributes:
        title: its heading.
        text: paragraphs.
        items: a list.
        table: a table.
        image: address of a drawing.
        alt: what the drawing shows, in words.
        code: text as it stands.
        folded: shown when it is opened.
    """

    title: str
    text: Sequence[str] = ()
    items: Sequence[str] = ()
    table: Table | None = None
    image: str = ""
    alt: str = ""
    code: str = ""
    folded: bool = False


def render(title: str, lead: str, parts: Sequence[Part]) -> bytes:
    """An HTML file.

    Args:
        title: of the page.
        lead: a sentence or two below it.
        parts: the rest.

    Raises:
        UserError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise UserError("jinja2 is not installed", why=str(error), fix="pip install 'sliceflow[pruning]'") from error
    source = resources.files("sliceflow.study").joinpath("templates/page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    page = environment.from_string(source).render(title=title, lead=lead, parts=parts)
    return str(encodable(page)).encode()
