"""Every error class of the package, found by itself, crosses a process whole."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

import rerankd
from rerankd.core.errors import InvalidRequest, Overloaded, RerankError
from rerankd.core.portable import ErrorForm, Portable, declared, decode, encode
from rerankd.service.bodies import OfRequest

# Folders whose modules need libraries that not every install has, and raise no errors of their own.
_NOT_IMPORTED = ("rerankd.engines.torch", "rerankd.adapters.ray")


def classes() -> list[type[Portable]]:
    """All of the package, with those that no module here imports yet."""
    for module in pkgutil.walk_packages(rerankd.__path__, "rerankd."):
        is_program = module.name.endswith(".__main__")
        if not is_program and not module.name.startswith(_NOT_IMPORTED):
            importlib.import_module(module.name)
    return sorted(Portable.classes.values(), key=lambda kind: kind.__name__)


def said(hint: Any) -> object:
    """A value that no class has by default."""
    if get_origin(hint) is Literal:
        return get_args(hint)[-1]
    if get_args(hint):
        return said(get_args(hint)[0])
    if issubclass(hint, Portable):
        return made(hint)
    return {str: "said by the test", int: 7, float: 2.5, bool: True}[hint]


def made(kind: type[Portable]) -> Portable:
    """An error with something of its own for every parameter of its constructor."""
    if kind.__init__ is Exception.__init__:
        return kind("said by the test")
    hints = get_type_hints(kind.__init__, vars(inspect.getmodule(kind)))
    given = {name: said(hint) for name, hint in hints.items() if name != "return"}
    return kind(**given)


def seen(error: Any) -> Iterator[object]:
    """All that can be read of an error, nested ones included."""
    yield type(error)
    yield str(error)
    for name in sorted(n for n in dir(error) if not n.startswith("__")):
        value = getattr(error, name)
        if isinstance(value, Portable):
            yield from seen(value)
        elif not callable(value) and name not in ("classes", "args"):
            yield name, value


CLASSES = classes()


def test_all_are_found() -> None:
    assert {RerankError, InvalidRequest, Overloaded, OfRequest} <= set(CLASSES)
    assert len(CLASSES) >= 18


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_copy_has_all_of_it(kind: type[Portable]) -> None:
    error = made(kind)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - ours
        assert list(seen(other)) == list(seen(error))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_its_form_has_all_of_it(kind: type[Portable]) -> None:
    error = made(kind)
    packed = msgspec.msgpack.encode(encode(error))
    other = decode(msgspec.msgpack.decode(packed, type=ErrorForm))
    assert list(seen(other)) == list(seen(error))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_what_it_has_is_declared(kind: type[Portable]) -> None:
    assert vars(made(kind)).keys() <= declared(kind).keys()


def test_the_values_are_not_those_of_another_error() -> None:
    first = decode(encode(Overloaded("full", retry_after_s=1.5)))
    second = decode(encode(Overloaded("full", retry_after_s=9)))
    assert isinstance(first, Overloaded)
    assert isinstance(second, Overloaded)
    assert (first.retry_after_s, second.retry_after_s) == (1.5, 9)


GOOD = encode(Overloaded("full", retry_after_s=1.5))
NESTED = encode(OfRequest(1, InvalidRequest("wrong")))


@pytest.mark.parametrize(
    "form",
    [
        msgspec.structs.replace(GOOD, name="SystemExit"),
        msgspec.structs.replace(GOOD, name="Portable"),
        msgspec.structs.replace(GOOD, name="InvalidRequest"),
        msgspec.structs.replace(GOOD, values={**GOOD.values, "status": 200}),
        msgspec.structs.replace(GOOD, values={}),
        msgspec.structs.replace(GOOD, values={**GOOD.values, "retry_after_s": "soon"}),
        msgspec.structs.replace(NESTED, values={"index": 1, "cause": "wrong"}),
        msgspec.structs.replace(NESTED, values={"index": 1, "cause": msgspec.to_builtins(GOOD)}),
    ],
)
def test_another_form_is_refused(form: ErrorForm) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(form)


def test_a_form_of_something_else_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"facts","name":"Overloaded"}', type=ErrorForm)


def test_one_class_per_name() -> None:
    with pytest.raises(TypeError, match="both have Overloaded"):
        type("Overloaded", (RerankError,), {"__module__": "elsewhere"})
    assert Portable.classes["Overloaded"] is Overloaded


def test_class_variables_stay_with_the_class() -> None:
    assert get_origin(get_type_hints(Overloaded)["status"]) is ClassVar
    assert "status" not in GOOD.values
