"""A chat template as the text that it makes of a pair: read as far as rerankers' templates go.

They put a pair's texts between fixed ones. The few forms of Jinja that this takes are read with the
messages left open, so that fixed text and slots come out; anything else makes a template unknown.
Nothing of a template is executed, and what is read of it is bounded.
Form: sentence-transformers gives one message per role, "system" (a prompt, if there is one),
"query" and "document"; transformers renders with trim_blocks and lstrip_blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rerankd.models.template_expression import (
    MAX_CHARACTERS,
    Expression,
    Form,
    OpenMessage,
    OpenMessages,
    Piece,
    Role,
    Unknown,
    Value,
    as_text,
    merged,
    truth,
)

MAX_DEPTH: Final = 16
MAX_STEPS: Final = 10_000  # tags and texts, those of a loop each time

_OPENS = re.compile(r"\{[{%#]")
_CLOSES = {"{{": "}}", "{%": "%}", "{#": "#}"}


@dataclass(frozen=True, slots=True)
class _Node:
    """Fixed text, or what stands in a tag."""

    kind: Literal["text", "expression", "statement"]
    text: str


def _nodes(source: str) -> list[_Node]:
    """Tags and the text between them, white space as trim_blocks and lstrip_blocks leave it."""
    found: list[_Node] = []
    at, strips = 0, ""
    source = source.removesuffix("\n")
    while tag := _OPENS.search(source, at):
        text, opens = source[at : tag.start()], tag[0]
        end = source.find(_CLOSES[opens], tag.end())
        if end < 0:
            raise Unknown("a tag without an end")
        inner, is_block = source[tag.end() : end], opens != "{{"
        text = _left(text, strips)
        if inner.startswith("-"):
            text = text.rstrip()
        elif inner.startswith("+"):
            raise Unknown("white space kept by +")
        elif is_block:
            line = text.rpartition("\n")[2]
            is_line = "\n" in text or not found
            text = text[: len(text) - len(line)] if is_line and not line.strip(" \t") else text
        found.append(_Node("text", text))
        at, strips = end + 2, "-" if inner.endswith("-") else "\n" if is_block else ""
        inner = inner.removeprefix("-").removesuffix("-").strip()
        if opens != "{#":
            found.append(_Node("statement" if is_block else "expression", inner))
    found.append(_Node("text", _left(source[at:], strips)))
    return found


def _left(text: str, strips: str) -> str:
    """A text behind a tag."""
    return text.lstrip() if strips == "-" else text.removeprefix(strips)


class _Reader:
    """Follows a template's statements with a pair's messages in it."""

    def __init__(self, source: str, names: Mapping[str, Value]) -> None:
        self._nodes = _nodes(source)
        self._names = dict(names)
        self._at = 0
        self._steps = 0
        self._made: list[Piece] = []

    def form(self) -> Form:
        """What the whole template makes."""
        self._block((), is_read=True, depth=0)
        return merged(tuple(self._made))

    def _block(self, ends: tuple[str, ...], *, is_read: bool, depth: int) -> str:
        """Nodes up to one of the statements, which is behind us then; "" = the template's end."""
        if depth > MAX_DEPTH:
            raise Unknown("depth")
        while self._at < len(self._nodes):
            node = self._nodes[self._at]
            self._at += 1
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise Unknown("length")
            word = node.text.split(maxsplit=1)[0] if node.text.strip() else ""
            if node.kind == "statement":
                if word in ends:
                    return node.text
                self._statement(word, node.text, is_read=is_read, depth=depth)
            elif is_read and node.kind == "text":
                self._made.append(node.text)
            elif is_read:
                found = Expression(node.text, self._names).value()
                self._made += as_text(found).pieces
        if ends:
            raise Unknown(ends[-1])
        return ""

    def _statement(self, word: str, text: str, *, is_read: bool, depth: int) -> None:
        rest = text[len(word) :].strip()
        if word == "if":
            self._if(rest, is_read=is_read, depth=depth)
        elif word == "for":
            self._for(rest, is_read=is_read, depth=depth)
        elif word == "set" and not is_read:
            pass
        elif word == "set":
            name, equals, value = rest.partition("=")
            if not equals or not name.strip().isidentifier():
                raise Unknown(rest)
            self._names[name.strip()] = Expression(value, self._names).value()
        elif is_read or word in ("raw", "macro", "call", "filter"):
            raise Unknown(word)

    def _if(self, condition: str, *, is_read: bool, depth: int) -> None:
        """The branch that a pair takes is read, the others are passed over."""
        open_ends = ("elif", "else", "endif")
        is_done = not is_read
        while True:
            takes = not is_done and truth(Expression(condition, self._names).value())
            end = self._block(open_ends, is_read=takes, depth=depth + 1)
            is_done = is_done or takes
            word, _, condition = end.partition(" ")
            if word == "else":
                self._block(("endif",), is_read=not is_done, depth=depth + 1)
            if word in ("else", "endif"):
                return

    def _for(self, head: str, *, is_read: bool, depth: int) -> None:
        """A loop over the messages: once per message, three at most."""
        start = self._at
        name, _, what = head.partition(" in ")
        found = Expression(what, self._names).value() if is_read else None
        roles: tuple[Role, ...] = ()
        if is_read:
            if not isinstance(found, OpenMessages) or found.are_contents:
                raise Unknown(head)
            roles = found.roles
        for role in roles:
            self._at = start
            self._names[name.strip()] = OpenMessage(role)
            self._block(("endfor",), is_read=True, depth=depth + 1)
        if not roles:
            self._block(("endfor",), is_read=False, depth=depth + 1)


def template_forms(source: str, *, adds_generation_prompt: bool = False) -> tuple[Form, Form]:
    """What a template makes of a pair without and with an instruction.

    Raises:
        Unknown: it says something that is not read here.
    """
    if len(source) > MAX_CHARACTERS:
        raise Unknown("length")
    pair: tuple[Role, ...] = ("query", "document")

    def read(*roles: Role) -> Form:
        names: dict[str, Value] = {
            "messages": OpenMessages(roles),
            "add_generation_prompt": adds_generation_prompt,
        }
        return _Reader(source, names).form()

    return read(*pair), read("system", *pair)
