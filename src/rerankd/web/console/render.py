"""Pages of the console as HTML: templates of the package, everything escaped, nothing inline."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from rerankd import __version__
from rerankd.web.console.nav import MENU
from rerankd.web.console.visit import Visit
from rerankd.web.static_files import PAGE_HEADERS

HEADERS: Final = {**PAGE_HEADERS, "cache-control": "no-store"}


@cache
def environment() -> Environment:
    """The templates, compiled when they are first used."""
    found = Environment(
        loader=PackageLoader("rerankd.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["whole"] = whole
    found.filters["when"] = when
    return found


def page(name: str, visit: Visit | None, status: int = 200, **values: Any) -> HTMLResponse:
    """One page.

    Args:
        name: of its template, without .html.
        visit: who sees it; None = nobody is signed in.
        status: of the answer.
        values: what the template shows.
    """
    template = environment().get_template(f"{name}.html")
    notes = () if visit is None else visit.taken_notes()
    text = template.render(visit=visit, notes=notes, menu=MENU, version=__version__, **values)
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def whole(value: float) -> str:
    """A number to read: 12 345 678 with thin spaces."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def when(seconds: float) -> str:
    """A time to read, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
