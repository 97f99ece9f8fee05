"""Settings to read: what is in force, by dotted name, and what may be set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from rerankd.core.shown_url import shown_url
from rerankd.settings.declared import LISTED, NAMED, SECTIONS, Setting, declared
from rerankd.settings.schema import Settings

_SECRETS = {setting.path[-1] for setting in declared() if setting.is_secret}


def without_secrets(settings: Settings) -> Settings:
    """The same with keys that have names and limits only."""
    hidden = dict.fromkeys(_SECRETS)
    keys = (msgspec.structs.replace(key, **hidden) for key in settings.keys)
    return msgspec.structs.replace(settings, keys=tuple(keys))


def dotted(settings: Settings) -> Iterator[tuple[str, object]]:
    """Every setting as (dotted name, value); tables by their names, secrets never."""
    plain = [setting for setting in declared() if setting.section == ""]
    for section, struct in SECTIONS.items():
        part = getattr(settings, section)
        for name in struct.__struct_fields__:
            value = getattr(part, name)
            yield f"{section}.{name}", shown_url(value) if name == "url" and value else value
    for setting in plain:
        (name,), value = setting.path, getattr(settings, setting.path[0])
        if setting.is_map:
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, list(value) if setting.is_list else value
    for name in NAMED:
        for key, table in getattr(settings, name).items():
            yield f"{name}.{key}", _shown_table(table)
    for name in LISTED:
        for table in getattr(settings, name):
            yield f"{name}.{table.label}", _shown_table(table)


class Documented(NamedTuple):
    """One setting, as the configuration page shows it."""

    section: str
    name: str
    default: str
    variable: str  # "" = only in the file
    meaning: str
    last: bool  # of its section


def reference() -> Iterator[Documented]:
    """Every setting with its default, variable and meaning, section by section."""
    settings = declared()
    for setting, after in zip(settings, [*settings[1:], None], strict=True):
        yield Documented(
            section=setting.section or "top level",
            name=setting.path[-1],
            default=_shown_default(setting),
            variable=setting.variable,
            meaning=setting.meaning,
            last=after is None or after.section != setting.section,
        )


def _shown_table(table: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.fields(table)
    values = {field.encode_name: getattr(table, field.name) for field in fields}
    return {name: value for name, value in values.items() if name not in _SECRETS}


def _shown_default(setting: Setting) -> str:
    default = setting.default
    if setting.is_required:
        return "required"
    if default is None or default is msgspec.NODEFAULT:  # the latter: made by a factory, empty
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()  # as TOML and variables write it
    return str(list(default)) if isinstance(default, tuple) else str(default)  # pyright: ignore[reportUnknownArgumentType] - any tuple
