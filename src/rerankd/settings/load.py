"""Default, TOML file, environment, flags: the later wins; where each value came from is kept."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, cast

import msgspec

from rerankd.core.errors import StartError
from rerankd.settings.declared import NAMED, SECTIONS, STRUCTS, Setting, by_variable, struct_at
from rerankd.settings.keys import check_keys
from rerankd.settings.schema import Settings

API_KEYS = "RERANKD_API_KEYS"
_UNKNOWN = re.compile("Object contains unknown field `(.*)`")  # msgspec's sentence
_NOT_TEXT = re.compile("Expected `str.*, got `(float|int)`")
_MISSING = re.compile("Object missing required field `(.*)`")
_DATED = ("price", "cost")  # tables with a `from`
_PREFIXES = tuple(f"RERANKD_{section.upper()}_" for section in SECTIONS)


class Effective(msgspec.Struct, frozen=True):
    """The settings in force and where each value came from, by dotted name."""

    settings: Settings
    sources: dict[str, str] = {}
    file: Path | None = None
    file_has_settings: bool = False  # false for one that is empty, or only comments


def load(
    config: Path | None, env: Mapping[str, str], flags: Mapping[tuple[str, ...], Any]
) -> Effective:
    """Merge default, file, environment and flags.

    Args:
        config: the TOML file, or None.
        env: the process environment.
        flags: path of a setting -> value, for flags that were given.

    Raises:
        StartError: the file cannot be read or is not TOML, a name is unknown, a value is of the
            wrong type or out of range; the message names the file or variable and the setting.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    written = {} if config is None else _read_toml(config)
    written |= {name: _with_starts(written[name]) for name in _DATED if name in written}
    _merge(merged, sources, written, str(config))
    variables = by_variable()
    for name in env:
        if name.startswith(_PREFIXES) and name not in variables:
            raise StartError(f"{name}: no such setting. `rerankd config` lists them.")
    for name, setting in variables.items():
        if name in env:
            _set(merged, sources, setting.path, _from_text(setting, env[name]), name)
    if API_KEYS in env:
        keys = [*merged.get("keys", []), *_keys_of(env[API_KEYS])]
        _set(merged, sources, ("keys",), keys, API_KEYS)
    for path, value in flags.items():
        _set(merged, sources, path, _joined(merged.get(path[0]), value), "flag")
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise StartError(_explain(str(error), sources, merged)) from None
    check_keys(settings.keys)
    return Effective(settings, sources, config, bool(written))


def pairs(written: Iterable[str]) -> dict[str, str]:
    """SERVED=MODEL, as --alias and RERANKD_ALIASES write it.

    Raises:
        StartError: a pair without '=' or with an empty side.
    """
    found: dict[str, str] = {}
    for pair in written:
        name, equals, value = pair.strip().partition("=")
        if not (equals and name and value):
            raise StartError(
                f"--alias {pair!r}: write SERVED=MODEL, for example "
                "BAAI/bge-reranker-v2-m3=rerankd-lexical."
            )
        found[name] = value
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StartError(f"{path} is not TOML: {error}.") from None


def _with_starts(tables: Any) -> Any:
    """Prices whose `from` is a text: TOML has a type for dates, and another for times."""
    if not isinstance(tables, list):
        return tables
    listed = cast("list[Any]", tables)
    return [_with_start(each) for each in listed]


def _with_start(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    values = cast("dict[str, Any]", table)
    start = values.get("from")
    return values | {"from": start.isoformat()} if isinstance(start, date) else values


def _merge(
    merged: dict[str, Any], sources: dict[str, str], values: Mapping[str, Any], source: str
) -> None:
    for name, value in values.items():
        if name in SECTIONS and isinstance(value, dict):
            for inner, inner_value in cast("dict[str, Any]", value).items():
                _set(merged, sources, (name, inner), inner_value, source)
        else:
            _set(merged, sources, (name,), value, source)


def _set(
    merged: dict[str, Any], sources: dict[str, str], path: tuple[str, ...], value: object, src: str
) -> None:
    at = merged
    for part in path[:-1]:
        at = at.setdefault(part, {})
    at[path[-1]] = value
    sources[".".join(path)] = src


def _joined(before: Any, value: Any) -> Any:
    """What a flag says, with the names that file and environment gave already."""
    if isinstance(before, dict) and isinstance(value, dict):
        return cast("dict[str, Any]", before) | cast("dict[str, Any]", value)
    return value


def _from_text(setting: Setting, text: str) -> object:
    """A value from an environment variable, typed by the setting it is for."""
    words = [part.strip() for part in text.split(",") if part.strip()]
    if setting.is_map:
        return pairs(words)
    value: object = words if setting.is_list else text
    try:
        return msgspec.to_builtins(msgspec.convert(value, setting.declared, strict=False))
    except msgspec.ValidationError as error:
        raise StartError(f"{setting.variable}={text!r}: {error}.") from None


def _keys_of(text: str) -> list[dict[str, str]]:
    """Keys without limits, from their variable."""
    listed = [key.strip() for key in text.split(",") if key.strip()]
    if not listed:
        raise StartError(
            f"{API_KEYS} is set, but holds no key. Unset it to run without keys, or give it "
            "some: key1,key2."
        )
    return [{"name": f"env-{n}", "key": key} for n, key in enumerate(listed, 1)]


def _explain(message: str, sources: Mapping[str, str], merged: Mapping[str, Any]) -> str:
    """msgspec's message, with the setting's name first and the file or variable it came from."""
    text, _, where = message.rpartition(" - at `$")
    name = where.rstrip("`").lstrip(".") if text else ""
    section, is_named, _ = name.partition("[...]")
    if is_named and section in NAMED:
        return _explain_named(section, merged[section], sources)
    unknown = _UNKNOWN.fullmatch(text or message)
    if unknown:
        known = STRUCTS[name.split("[")[0]].__struct_encode_fields__
        name = f"{name}.{unknown[1]}".lstrip(".")
        text = f"no such setting; there are {', '.join(known)}"
    text = text or message
    if section.split("[")[0] in _DATED and _NOT_TEXT.match(text):
        text += '; write an amount as text, as in "0.10": a number of TOML is not exact'
    return _sentence(name, text, sources)


def _explain_named(section: str, tables: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """As _explain, for the first table of a section whose tables have names."""
    for key, table in tables.items():
        try:
            msgspec.convert(table, NAMED[section])
        except msgspec.ValidationError as error:
            text, _, where = str(error).rpartition(" - at `$")
            text, inner = (text, where.rstrip("`")) if text else (str(error), "")
            if unknown := _UNKNOWN.fullmatch(text):
                known = struct_at(NAMED[section], inner).__struct_fields__
                inner = f"{inner}.{unknown[1]}"
                text = f"no such setting; there are {', '.join(known)}"
            elif missing := _MISSING.fullmatch(text):
                inner, text = f"{inner}.{missing[1]}", "is required"
            return _sentence(f'{section}."{key}"{inner}', text, sources)
    raise LookupError(section)


def _sentence(name: str, text: str, sources: Mapping[str, str]) -> str:
    parent = name.split("[", maxsplit=1)[0]
    source = sources.get(name) or sources.get(parent) or sources.get(parent.split(".")[0], "")
    return f"{name or 'settings'}: {text}" + (f" (from {source})." if source else ".")
