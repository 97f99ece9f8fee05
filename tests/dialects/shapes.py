"""What a body's own type says of it: its fields by their names on the wire, values to try."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

IMAGE = "https://example.com/image.jpg"
OBJECTS: list[dict[str, Any]] = [
    {"text": "a"},
    {"text": "b"},
    {"image": IMAGE},
    {"content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},  # vLLM's
    {"instruction": "a"},  # chat_template_kwargs
]
STRINGS = ["a", "b", '{"instruction": "a"}']  # kwargs


def fields(kind: type[msgspec.Struct]) -> list[tuple[str, inspect.Field]]:
    """The fields of a struct by their names on the wire."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return [(found.encode_name, found) for found in info.fields]


def fields_of(kind: type[msgspec.Struct]) -> list[str]:
    """All fields of a body, nested ones with dots."""
    return [leaf.name for leaf in leaves(kind)]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that holds a value and not more fields; `path` leads to it."""

    path: tuple[str, ...]
    kind: inspect.Type
    required: bool

    @property
    def name(self) -> str:
        """As the pages write it."""
        return ".".join(self.path)


def leaves(kind: type[msgspec.Struct], above: tuple[str, ...] = ()) -> list[Leaf]:
    """All fields below a struct; one is required when all above it are, too."""
    found: list[Leaf] = []
    for name, inner in fields(kind):
        path, struct = (*above, name), _struct_of(inner.type)
        below = leaves(struct, path) if struct else [Leaf(path, inner.type, inner.required)]
        found += [Leaf(leaf.path, leaf.kind, leaf.required and inner.required) for leaf in below]
    return found


def variants(kind: type[msgspec.Struct]) -> Iterator[tuple[Leaf, dict[str, Any], dict[str, Any]]]:
    """(field, body, the same body with one more or another value there), for all that may be sent.

    The body is the least that can be said: required fields, or any two where none is. Not every
    body is right: some of the values are not, for some dialects.
    """
    every = leaves(kind)
    required = [leaf for leaf in every if leaf.required]
    bases = [required] if required else list(itertools.combinations(every, 2))
    for said in bases:
        several = [(leaf, values(leaf.kind)) for leaf in said]
        for i in range(max(len(held) for _, held in several)):
            body: dict[str, Any] = {}
            for leaf, held in several:
                body = put(body, leaf.path, held[min(i, len(held) - 1)])
            for leaf in every:
                for value in values(leaf.kind):
                    yield leaf, body, put(body, leaf.path, value)


def put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of a body with a value at a path."""
    first, *rest = path
    return {**body, first: put(body.get(first, {}), tuple(rest), value) if rest else value}


def values(kind: inspect.Type) -> list[Any]:  # noqa: C901, PLR0911, PLR0912 - one line per type
    """Some values of a type: enough that one of them is no default."""
    match kind:
        case inspect.Metadata():
            return values(kind.type)
        case inspect.UnionType():
            return [value for option in kind.types for value in values(option)]
        case inspect.StructType():
            return [
                {name: value}
                for name, inner in fields(kind.cls)
                for value in values(inner.type)
                if value is not None
            ]
        case inspect.StrType():
            return STRINGS
        case inspect.BoolType():
            return [True, False]
        case inspect.IntType():
            low = -1 if kind.ge is None else kind.ge
            return [low, low + 1, low + 2]
        case inspect.FloatType():
            return [1.0, 0.5]
        case inspect.NoneType():
            return []
        case inspect.LiteralType():
            return list(kind.values)
        case inspect.ListType():
            held = values(kind.item_type)
            return [[value] for value in held] + [held[:2], held[1:3]]
        case inspect.DictType():
            return OBJECTS
        case inspect.AnyType():
            return ["a"]
        case _:
            raise NotImplementedError(f"teach the values {kind}")


def violations(kind: inspect.Type) -> list[Any]:
    """Values that a type's ranges and lengths exclude, as the OpenAPI document says them."""
    match kind:
        case inspect.Metadata():
            says = str(kind.extra_json_schema)  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType] - msgspec's dict
            empty: dict[str, Any] = {"minLength": "", "minItems": []}
            return [empty[key] for key in empty if key in says] + violations(kind.type)
        case inspect.UnionType():
            return [value for option in kind.types for value in violations(option)]
        case inspect.StrType(min_length=1):
            return [""]
        case inspect.IntType():
            low = [] if kind.ge is None else [kind.ge - 1]
            return low + ([] if kind.le is None else [kind.le + 1])
        case inspect.ListType():
            inner = [[value] for value in violations(kind.item_type)]
            return inner + ([] if kind.min_length is None else [[]])
        case _:
            return []


def _struct_of(kind: inspect.Type) -> type[msgspec.Struct] | None:
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((option.cls for option in options if isinstance(option, inspect.StructType)), None)
