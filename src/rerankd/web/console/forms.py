"""Forms of the console: fields, what was filled in as JSON, and what the admin API refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rerankd.web.admin.answers import problem
from rerankd.web.console.visit import Visit

Kind = Literal["text", "whole", "words", "time", "choice", "long"]
# What whoever fills in a form can mend, or has to know: 501 is what this kind of server cannot do.
_SAID: Final = frozenset({400, 404, 409, 422, 429, 501})
_DIGITS: Final = 15  # of a whole number; what is longer the API is to refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a form, named as in the JSON that it becomes."""

    name: str
    label: str
    kind: Kind = "text"
    hint: str = ""
    choices: Sequence[str] = ()  # "" is the one for null
    needed: bool = False
    example: str = ""

    def written(self, value: Any) -> str:
        """A value of the API, as the form shows it."""
        if value is None:
            return ""
        if self.kind == "words":
            return "\n".join(value)
        return str(value)

    def sent(self, text: str) -> Any:
        """What was filled in, as the API takes it; empty = null where null means something."""
        text = text.strip()
        match self.kind:
            case "words":
                words = [word.strip() for line in text.splitlines() for word in line.split(",")]
                return [word for word in words if word] or None
            case "whole":
                is_whole = text.isascii() and text.isdigit() and len(text) <= _DIGITS
                return int(text) if is_whole else text or None
            case "time" | "choice":
                return text or None
            case _:
                return text


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedForm:
    """What the admin API said to a form."""

    status: int
    message: str
    param: str | None
    kind: str = ""  # one word


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A form as a page shows it."""

    fields: Sequence[Field]
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: RefusedForm | None = None

    def value(self, name: str) -> str:
        """What stands in a field."""
        return self.values.get(name, "")

    def problem(self, name: str) -> str | None:
        """What is wrong with a field."""
        refused = self.refused
        return refused.message if refused and _field_of(refused.param) == name else None

    @property
    def elsewhere(self) -> str | None:
        """What is wrong with none of the fields."""
        if self.refused is None:
            return None
        known = {each.name for each in self.fields}
        return None if _field_of(self.refused.param) in known else self.refused.message


def filled(fields: Sequence[Field], row: Mapping[str, Any]) -> dict[str, str]:
    """A form's values from what the API answered."""
    return {each.name: each.written(row.get(each.name)) for each in fields}


def body_of(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """The JSON of all that was filled in: what is empty is left out."""
    found = {each.name: each.sent(form.get(each.name, "")) for each in fields}
    return {name: value for name, value in found.items() if value not in (None, "")}


def changes_of(
    fields: Sequence[Field], form: Mapping[str, str], row: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON of what differs from a row; empty = null."""
    return {
        each.name: each.sent(form[each.name])
        for each in fields
        if each.name in form and _flat(form[each.name]) != each.written(row.get(each.name))
    }


def version_of(form: Mapping[str, str]) -> Any:
    """Of what a form was made of: a number, as the API takes it."""
    return Field(name="version", label="", kind="whole").sent(form.get("version", ""))


async def attempt(
    visit: Visit,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: Sequence[tuple[str, str]] = (),
) -> Any | RefusedForm:
    """What a call answers, or why whoever filled in the form is refused.

    Raises:
        Exception: it failed for another reason than what was asked.
    """
    try:
        return await visit.ask(method, path, body, query=query)
    except Exception as error:
        status, told, _ = problem(error, visit.request_id)
        if status not in _SAID:
            raise
        return RefusedForm(status=status, message=told.message, param=told.param, kind=told.type)


def _field_of(param: str | None) -> str:
    """`networks[0]` is of networks."""
    return (param or "").partition("[")[0].partition(".")[0]


def _flat(text: str) -> str:
    """As browsers send it, with the ends of lines that it had."""
    return text.replace("\r\n", "\n").strip()
