"""The schema as a table: each declared setting with what follows from its declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from rerankd.settings.schema import Flag, Secret, Settings

Form = Literal["plain", "section", "list of tables", "table of tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One declared setting."""

    section: str  # as the configuration page names it; "" = top level
    path: tuple[str, ...]  # where it stands in `Settings`, or in the tables of its section
    kind: Any  # its type, without what stands beside it
    declared: Any  # with it: limits, meaning, flag
    default: object  # NODEFAULT: required, or empty
    is_required: bool
    meaning: str
    variable: str  # "" = only in the file
    flag: Flag | None
    is_secret: bool

    @property
    def is_list(self) -> bool:
        """Whether it holds several values."""
        return _is_list(self.kind)

    @property
    def is_map(self) -> bool:
        """Whether it holds values by name."""
        return get_origin(self.kind) is dict


def _bare(kind: Any) -> Any:
    """A type without what stands beside it."""
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _beside(kind: Any, what: type) -> Any:
    """What stands beside a type, of one class; None = nothing does."""
    return next(
        (each for each in getattr(kind, "__metadata__", ()) if isinstance(each, what)), None
    )


def _is_list(kind: Any) -> bool:
    """Tuples, and tuples that may be absent."""
    several = get_args(kind) if get_origin(kind) not in (tuple, dict, Literal) else ()
    return get_origin(kind) is tuple or any(get_origin(_bare(each)) is tuple for each in several)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _form(kind: Any) -> tuple[Form, type[msgspec.Struct] | None]:
    """How a field of `Settings` is written, and the struct of what is in it."""
    bare = _bare(kind)
    if _is_struct(bare):
        return "section", bare
    inner = [_bare(each) for each in get_args(bare)]
    if get_origin(bare) is tuple and _is_struct(inner[0]):
        return "list of tables", inner[0]
    if get_origin(bare) is dict and _is_struct(inner[1]):
        return "table of tables", inner[1]
    return "plain", None


_FORMS: Final = {field.name: _form(field.type) for field in msgspec.structs.fields(Settings)}


def _of(*forms: Form) -> dict[str, type[msgspec.Struct]]:
    return {n: struct for n, (form, struct) in _FORMS.items() if struct and form in forms}


# Name at the top of a file -> what it holds.
SECTIONS: Final = _of("section")
LISTED: Final = _of("list of tables")
NAMED: Final = _of("table of tables")
STRUCTS: Final = {"": Settings, **SECTIONS, **LISTED, **NAMED}


def struct_at(struct: type[msgspec.Struct], path: str) -> type[msgspec.Struct]:
    """The struct at a path inside another, such as `.to[1]`."""
    for name in re.findall(r"[a-z_]+", path):
        kind = next(field.type for field in msgspec.structs.fields(struct) if field.name == name)
        struct = next(found for found in _structs(kind))
    return struct


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs in a type, the outer ones first."""
    bare = _bare(kind)
    if _is_struct(bare):
        yield bare
    for inner in get_args(bare):
        yield from _structs(inner)


@cache
def declared() -> tuple[Setting, ...]:
    """Every setting: those of the top level, then section by section, then those of tables."""
    return tuple(_declared())


def _declared() -> Iterator[Setting]:
    for field in msgspec.structs.fields(Settings):
        if _FORMS[field.name][0] == "plain":
            yield _setting(field, "", (field.name,), f"RERANKD_{field.name}".upper())
    for section, struct in SECTIONS.items():
        for field in msgspec.structs.fields(struct):
            variable = f"RERANKD_{section}_{field.name}".upper()
            yield _setting(field, section, (section, field.name), variable)
    headed = {f"[[{n}]]": kind for n, kind in LISTED.items()}
    headed |= {f'[{n}."NAME"]': kind for n, kind in NAMED.items()}
    for section, struct in headed.items():
        for field in msgspec.structs.fields(struct):
            yield _setting(field, section, (field.encode_name,), "")


def by_variable() -> dict[str, Setting]:
    """Environment variable -> the setting it sets."""
    return {setting.variable: setting for setting in declared() if setting.variable}


def with_flags() -> list[Setting]:
    """The settings that a flag sets, in the order of `rerankd serve --help`."""
    flagged = [setting for setting in declared() if setting.flag is not None]
    return sorted(flagged, key=lambda setting: setting.section == "")  # those of sections first


def _setting(field: FieldInfo, section: str, path: tuple[str, ...], variable: str) -> Setting:
    said = cast("Meta | None", _beside(field.type, Meta))
    return Setting(
        section=section,
        path=path,
        kind=_bare(field.type),
        declared=field.type,
        default=field.default,
        is_required=field.required,
        meaning=(said.description or "") if said else "",
        variable=variable,
        flag=_beside(field.type, Flag),
        is_secret=_beside(field.type, Secret) is not None,
    )
