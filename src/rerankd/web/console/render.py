"""Pages of the console as HTML: templates of the package, everything escaped, nothing inline."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from rerankd import __version__
from rerankd.web.console.nav import menu_of
from rerankd.web.console.visit import Visit
from rerankd.web.static_files import PAGE_HEADERS

HEADERS: Final = {**PAGE_HEADERS, "cache-control": "no-store"}
_TAIL: Final = 8  # characters of a request's id that tell it from others


class _Templates(Environment):
    """`each.keys` is what an answer has by that name, not a method of dicts."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A name behind a point."""
        if isinstance(obj, dict) and attribute in obj:
            return cast("dict[str, Any]", obj)[attribute]
        return super().getattr(obj, attribute)


@cache
def environment() -> Environment:
    """The templates, compiled when they are first used."""
    found = _Templates(
        loader=PackageLoader("rerankd.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for show in (whole, when, moment, millis, span, size, money, number, part, brief, tail):
        found.filters[show.__name__] = show
    return found


def fragment(name: str, visit: Visit, **values: Any) -> str:
    """A part of a page, for a script to put in its place."""
    return environment().get_template(f"{name}.html").render(visit=visit, **values)


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
    text = template.render(
        visit=visit,
        notes=notes,
        menu=() if visit is None else menu_of(visit.key),
        version=__version__,
        **values,
    )
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def whole(value: float) -> str:
    """A number to read: 12 345 678 with thin spaces."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def number(value: float) -> str:
    """A figure to read, with as many digits as say something."""
    if abs(value) >= 100 or value == int(value):
        return whole(value)
    return f"{value:.3g}"


def moment(written: str | None) -> str:
    """A time of the API to read, in UTC, to the second; None is a dash."""
    if not written:
        return "\N{EN DASH}"
    return datetime.fromisoformat(written).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def millis(value: float) -> str:
    """Milliseconds to read."""
    if value >= 10_000:
        return f"{value / 1e3:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def span(seconds: float) -> str:
    """A stretch of time to read: its two largest units."""
    left, found = int(seconds), list[str]()
    for name, unit in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, unit)
        if count or (name == "s" and not found):
            found.append(f"{count} {name}")
    return " ".join(found[:2])


def _short(value: float) -> str:
    """Three digits, or all before the point: never an exponent of a large one."""
    return whole(value) if abs(value) >= 100 else f"{value:.3g}"


def tail(name: str) -> str:
    """The end of a request's id: their beginnings are alike."""
    return name if len(name) <= _TAIL else f"\N{HORIZONTAL ELLIPSIS}{name[-_TAIL:]}"


def size(count: float) -> str:
    """Bytes to read."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{_short(count)} {unit}"
        count /= 1_000
    return f"{_short(count)} GB"


def money(amount: str, currency: str = "") -> str:
    """An amount to read: at least two digits behind the point, all that are not nothing."""
    whole_part, _, rest = amount.partition(".")
    sign, digits = ("\N{MINUS SIGN}", whole_part[1:]) if whole_part[:1] == "-" else ("", whole_part)
    text = f"{sign}{whole(int(digits or '0'))}.{rest.ljust(2, '0')}"
    return f"{text} {currency}".strip()


def brief(amount: str) -> str:
    """An amount as a figure: two digits behind the point, four below one."""
    value = Decimal(amount)
    return money(f"{value:.{2 if abs(value) >= 1 or not value else 4}f}")


def part(share: float) -> str:
    """A share to read."""
    return f"{_short(share * 100)} %"


def when(seconds: float) -> str:
    """A time to read, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
