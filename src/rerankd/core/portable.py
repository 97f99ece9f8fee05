"""Errors that cross a process: by pickle and copy, and as plain data that msgspec reads and writes.

What an error is besides its message are the attributes that its class declares. `__cause__`, the
traceback and notes stay where it was raised: they are for that process's log.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, get_origin, get_type_hints

import msgspec


class Portable(Exception):
    """An error whose class declares what it has, `name: type`, so that it can be sent on."""

    classes: ClassVar[dict[str, type[Portable]]] = {}  # by name: what decode() makes

    def __init_subclass__(cls) -> None:
        """One class per name."""
        other = Portable.classes.setdefault(cls.__name__, cls)
        if other.__module__ != cls.__module__:
            raise TypeError(f"{cls.__module__} and {other.__module__} both have {cls.__name__}")
        Portable.classes[cls.__name__] = cls

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without the constructor, which takes other arguments than Exception's."""
        return _unpickled, (type(self), *self.args), self.__dict__


class ErrorForm(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """An error as plain data."""

    name: str  # of the class
    message: str
    values: dict[str, Any]  # of its declared attributes: plain, an error among them as its form


@functools.cache
def declared(kind: type[Portable]) -> dict[str, Any]:
    """The types of the attributes that an error has of its own, by name."""
    hints = get_type_hints(kind)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}


def encode(error: Portable) -> ErrorForm:
    """The error's form."""
    kind = type(error)
    values = {name: getattr(error, name) for name in declared(kind)}
    plain = msgspec.to_builtins(values, enc_hook=_plain)
    return ErrorForm(name=kind.__name__, message=str(error), values=plain)


def decode(form: ErrorForm) -> Portable:
    """The error of a form.

    Raises:
        msgspec.ValidationError: no error of that name is known, or its values are not those that
            its class declares.
    """
    kind = Portable.classes.get(form.name)
    if kind is None:
        raise msgspec.ValidationError(f"no error is named {form.name!r}")
    types = declared(kind)
    if types.keys() != form.values.keys():
        raise msgspec.ValidationError(f"{form.name} has {list(types)}, not {list(form.values)}")
    error = kind.__new__(kind, form.message)
    for name, hint in types.items():
        setattr(error, name, msgspec.convert(form.values[name], hint, dec_hook=_error))
    return error


def _unpickled(kind: type[Portable], *args: object) -> Portable:
    return kind.__new__(kind, *args)


def _plain(value: object) -> object:
    if isinstance(value, Portable):
        return msgspec.to_builtins(encode(value))
    raise TypeError(f"{type(value).__name__} is not plain")


def _error(kind: type, value: object) -> object:
    """An error inside an error."""
    error = decode(msgspec.convert(value, ErrorForm))
    if not isinstance(error, kind):
        raise msgspec.ValidationError(f"{type(error).__name__} is not {kind.__name__}")
    return error
