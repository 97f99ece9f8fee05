"""The expressions of a chat template, with a pair's messages open: fixed text and slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

MAX_CHARACTERS: Final = 65_536  # of a template, and of a text that is made of one
MAX_TOKENS: Final = 64  # of an expression

Role = Literal["system", "query", "document"]
_OPENS: Final = "bos_token"
# What Jinja and transformers give every template.
_GIVEN: Final = (
    *("cycler", "dict", "joiner", "lipsum", "namespace", "range", "loop", "self", "caller"),
    *("raise_exception", "strftime_now"),
)


@dataclass(frozen=True, slots=True)
class TextSlot:
    """Where a text of a pair stands, or the tokenizer's first token."""

    role: Role | Literal["bos"]
    is_stripped: bool = False


Piece = str | TextSlot
Form = tuple[Piece, ...]  # no two neighbours are both text


class Unknown(Exception):
    """A template says something that is not read here."""


@dataclass(frozen=True, slots=True)
class OpenMessages:
    """The pair's messages, or those of some roles."""

    roles: tuple[Role, ...]
    are_contents: bool = False


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """One of them."""

    role: Role


@dataclass(frozen=True, slots=True)
class Nothing:
    """A name that nothing has, or the first of none."""


@dataclass(frozen=True, slots=True)
class MadeText:
    """What an expression makes: text with slots."""

    pieces: Form


Value = OpenMessages | OpenMessage | Nothing | MadeText | bool | None

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<number>\d+)|(?P<op>==|!=|>|[|().,=+~\[\]]))"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Expression:
    """Reads one expression."""

    def __init__(self, text: str, names: Mapping[str, Value]) -> None:
        self._names = names
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                raise Unknown(text)
            self._tokens.append((token.lastgroup, token.group(token.lastgroup)))
            at = token.end()
            if len(self._tokens) > MAX_TOKENS:
                raise Unknown("length")
        self._at = 0

    def value(self) -> Value:
        """All of it."""
        found = self._choice()
        if self._at < len(self._tokens):
            raise Unknown(self._tokens[self._at][1])
        return found

    def _peek(self, *wanted: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][1] in wanted

    def _take(self, *wanted: str) -> bool:
        """Whether one of these comes next; then it is behind us."""
        if self._peek(*wanted) and self._tokens[self._at][0] != "string":
            self._at += 1
            return True
        return False

    def _need(self, wanted: str) -> None:
        if not self._take(wanted):
            raise Unknown(wanted)

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise Unknown(kind)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _choice(self) -> Value:
        chosen = self._either()
        if not self._take("if"):
            return chosen
        is_so = truth(self._either())
        self._need("else")
        other = self._choice()
        return chosen if is_so else other

    def _either(self) -> Value:
        found = self._both()
        while self._take("or"):
            other = self._both()
            found = found if truth(found) else other
        return found

    def _both(self) -> Value:
        found = self._negated()
        while self._take("and"):
            other = self._negated()
            found = other if truth(found) else found
        return found

    def _negated(self) -> Value:
        if self._take("not"):
            return not truth(self._negated())
        return self._compared()

    def _compared(self) -> Value:
        left = self._sum()
        if self._take("is"):
            is_not = self._take("not")
            name = self._next("name")
            if name == "defined":
                return isinstance(left, Nothing) is is_not
            if name == "string" and isinstance(left, MadeText | Nothing):
                return isinstance(left, MadeText) is not is_not
            raise Unknown(name)
        if self._peek("==", "!="):
            wants = self._take("==") or not self._take("!=")
            right = self._sum()
            one, other = (_plain(side) for side in (left, right))
            return (one == other) is wants
        return left

    def _sum(self) -> Value:
        found = self._filtered()
        while self._take("+", "~"):
            right = self._filtered()
            found = MadeText(merged((*as_text(found).pieces, *as_text(right).pieces)))
            if sum(len(piece) for piece in found.pieces if isinstance(piece, str)) > MAX_CHARACTERS:
                raise Unknown("length")
        return found

    def _filtered(self) -> Value:
        found = self._primary()
        while True:
            if self._take("|"):
                found = self._filter(found, self._next("name"))
            elif self._take("."):
                found = self._member(found, self._next("name"))
            elif self._take("["):
                found = self._item(found)
                self._need("]")
            else:
                return found

    def _item(self, found: Value) -> Value:
        if self._take("0"):
            return _first(found)
        return self._member(found, _string(self._next("string")))

    def _member(self, found: Value, name: str) -> Value:
        if isinstance(found, OpenMessage) and name in ("role", "content"):
            piece: Piece = found.role if name == "role" else TextSlot(found.role)
            return MadeText((piece,))
        raise Unknown(name)

    def _filter(self, found: Value, name: str) -> Value:
        arguments = self._arguments() if self._peek("(") else ()
        made: Value
        match name, found, arguments:
            case "selectattr", OpenMessages(roles, False), ("role", "eq" | "equalto" | "==", role):
                made = OpenMessages(tuple(each for each in roles if each == role))
            case "map", OpenMessages(roles, False), ("attribute=content",):
                made = OpenMessages(roles, are_contents=True)
            case "list", OpenMessages(), ():
                made = found
            case "first", OpenMessages(), ():
                made = _first(found)
            case "default" | "d", Nothing(), (str(), *_):
                made = MadeText(merged((arguments[0],)))
            case "default" | "d", MadeText(), (str(), *_):
                made = found
            case "trim", Nothing(), ():
                made = MadeText(())
            case "trim", MadeText(pieces), ():
                made = MadeText(merged(tuple(_stripped(piece) for piece in pieces)))
            case _:
                raise Unknown(name)
        return made

    def _arguments(self) -> tuple[str, ...]:
        """String arguments, and `attribute="content"`; true is passed over as "true"."""
        found: list[str] = []
        self._need("(")
        while not self._take(")"):
            if found:
                self._need(",")
            if self._take("attribute"):
                self._need("=")
                found.append(f"attribute={_string(self._next('string'))}")
            elif self._take("true", "True"):
                found.append("true")
            else:
                found.append(_string(self._next("string")))
        return tuple(found)

    def _primary(self) -> Value:
        if self._take("("):
            found = self._choice()
            self._need(")")
            return found
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "string":
            text = _string(self._next("string"))
            return MadeText((text,) if text else ())
        name = self._next("name")
        if name in ("true", "True", "false", "False"):
            return name in ("true", "True")
        if name == _OPENS:
            return MadeText((TextSlot("bos"),))
        if name.endswith("_token") or name in _GIVEN:
            raise Unknown(name)
        return self._names.get(name, Nothing())


def truth(value: Value) -> bool:
    """Whether Jinja takes it for true; a pair's texts and the instruction are not empty."""
    match value:
        case OpenMessages(roles):
            return bool(roles)
        case MadeText(pieces):
            return bool(pieces)
        case Nothing() | None:
            return False
        case OpenMessage():
            return True
        case bool():
            return value


def _plain(value: Value) -> str:
    """Fixed text, to be compared."""
    pieces = as_text(value).pieces
    if any(isinstance(piece, TextSlot) for piece in pieces):
        raise Unknown("a text compared")
    return "".join(cast("tuple[str, ...]", pieces))


def as_text(value: Value) -> MadeText:
    """What is written where it stands. Raises Unknown: it is no text."""
    if isinstance(value, MadeText):
        return value
    if isinstance(value, Nothing):
        return MadeText(())
    raise Unknown("no text")


def _first(value: Value) -> Value:
    if not isinstance(value, OpenMessages):
        raise Unknown("first")
    if not value.roles:
        return Nothing()
    role = value.roles[0]
    return MadeText((TextSlot(role),)) if value.are_contents else OpenMessage(role)


def _stripped(piece: Piece) -> Piece:
    return replace(piece, is_stripped=True) if isinstance(piece, TextSlot) else piece.strip()


def _string(text: str) -> str:
    """A string literal's text."""

    def escaped(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise Unknown(found[0])
        return _ESCAPES[found[1]]

    return re.sub(r"\\(.)", escaped, text[1:-1], flags=re.DOTALL)


def merged(pieces: Form) -> Form:
    """The same text with neighbouring fixed parts as one, and none empty."""
    made: list[Piece] = []
    for piece in pieces:
        if piece == "":
            continue
        if made and isinstance(piece, str) and isinstance(made[-1], str):
            made[-1] += piece
        else:
            made.append(piece)
    return tuple(made)
