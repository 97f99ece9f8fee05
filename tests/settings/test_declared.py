"""A setting is declared once: file, environment, flag and page follow from that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from rerankd.cli.flags import effective
from rerankd.dialects.registry import SERVED
from rerankd.service.pool import Pool
from rerankd.settings.declared import (
    LISTED,
    NAMED,
    SECTIONS,
    STRUCTS,
    Setting,
    by_variable,
    declared,
    with_flags,
)
from rerankd.settings.load import load
from rerankd.settings.schema import Limits, Settings
from rerankd.web.protocol import bounded

ALL = list(declared())
PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")


# What a table cannot be without.
NEEDED: dict[str, dict[str, Any]] = {
    '[upstream."NAME"]': {"dialect": "jina", "url": "http://127.0.0.1"},
    '[route."NAME"]': {"to": [{"upstream": "x"}]},
    "[[price]]": {"model": "m"},
    "[[cost]]": {"upstream": "u"},
}


def named(setting: Setting) -> str:
    return ".".join((setting.section, setting.path[-1]))


def another(kind: Any, default: object) -> Any:
    """A value of a type that is not the default."""
    inner = [each for each in get_args(kind) if each is not type(None)]
    simple: dict[Any, Any] = {bool: default is not True, str: "x", int: 17, float: 17}
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return msgspec.to_builtins(kind())
    match get_origin(kind):
        case origin if origin is Literal:
            return next(each for each in inner if each != default)
        case origin if origin is tuple:
            return [another(inner[0], None)]
        case origin if origin is dict:
            return {"x": "y"}
        case _:  # Annotated, or one that may be absent
            return another(inner[0], default)


def toml(value: object) -> str:
    if isinstance(value, dict):
        said = {k: v for k, v in msgspec.convert(value, dict[str, Any]).items() if v is not None}
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in said.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(each) for each in msgspec.convert(value, list[Any])) + "]"
    return msgspec.json.encode(value).decode()


def text(value: object) -> str:
    """As a variable writes it."""
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in msgspec.convert(value, dict[str, str]).items())
    if isinstance(value, list):
        return ",".join(str(each) for each in msgspec.convert(value, list[Any]))
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_at(settings: Settings, setting: Setting) -> Any:
    """Where a setting stands; in a table: of the one that is called `t`."""
    found: Any = settings
    if setting.section.startswith("[["):
        found = getattr(settings, setting.section.strip("[]"))[0]
    elif setting.section.startswith("["):
        found = getattr(settings, setting.section.strip("[]").partition(".")[0])["t"]
    for part in setting.path:
        found = getattr(found, {"from": "starts"}.get(part, part))
    return msgspec.to_builtins(found)


def same(found: Any, wanted: Any) -> bool:
    return list(found) == wanted if isinstance(wanted, list) else found == wanted


@pytest.mark.parametrize("setting", ALL, ids=named)
def test_the_file_sets_it(setting: Setting, tmp_path: Path) -> None:
    value = another(setting.kind, setting.default)
    key = setting.path[-1]
    head = setting.section.replace("NAME", "t")
    head = f"[{head}]" if head and not head.startswith("[") else head
    lines = [head, f"{key} = {toml(value)}"]
    if setting.section == "[[keys]]":
        hashed = key == "sha256"
        lines = [head, *([] if key == "name" else ["name = 't'"])]
        value = "ab" * 32 if hashed else value
        lines += [f"{key} = {toml(value)}", *([] if key in ("key", "sha256") else ["key = 'k'"])]
    if setting.section in NEEDED:
        lines += [f"{k} = {toml(v)}" for k, v in NEEDED[setting.section].items() if k != key]
    path = tmp_path / "rerankd.toml"
    path.write_text("\n".join(lines))
    assert same(value_at(load(path, {}, {}).settings, setting), value)


@pytest.mark.parametrize("setting", by_variable().values(), ids=named)
def test_the_environment_sets_it(setting: Setting) -> None:
    value = another(setting.kind, setting.default)
    found = load(None, {setting.variable: text(value)}, {})
    assert same(value_at(found.settings, setting), value)
    assert found.sources == {".".join(setting.path): setting.variable}


@pytest.mark.parametrize("setting", with_flags(), ids=named)
def test_its_flag_sets_it(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RERANKD_CONFIG", raising=False)
    assert setting.flag is not None
    value = another(setting.kind, setting.default)
    given = ["x=y"] if isinstance(value, dict) else value
    found = effective(config=None, **{setting.flag.name.removeprefix("--"): given})
    assert same(value_at(found.settings, setting), value)


@pytest.mark.parametrize("setting", ALL, ids=named)
def test_the_page_has_it_in_its_section(setting: Setting) -> None:
    section = PAGE.split(f"## {setting.section or 'top level'}\n")[1].split("\n## ")[0]
    [row] = [line for line in section.splitlines() if line.startswith(f"| `{setting.path[-1]}` |")]
    assert setting.meaning
    assert row.endswith(f"| {setting.meaning} |")
    assert (f"`{setting.variable}`" in row) == bool(setting.variable)


def test_nothing_that_the_schema_holds_is_left_out() -> None:
    tables = {*SECTIONS, *LISTED, *NAMED}
    fields = [name for name in Settings.__struct_fields__ if name not in tables]
    fields += [name for top in tables for name in STRUCTS[top].__struct_encode_fields__]
    assert sorted(setting.path[-1] for setting in ALL) == sorted(fields)
    assert all(setting.variable for setting in ALL if not setting.section.startswith("["))


@pytest.mark.parametrize(
    ("kind", "is_list"),
    [
        (str, False),
        (tuple[str, ...], True),
        (tuple[int, ...] | None, True),
        (str | None, False),
        (dict[str, str], False),
        (Literal["a", "b"], False),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["models", "allow", "other"])
def test_a_list_is_one_by_its_type_whatever_its_name(kind: Any, is_list: bool, name: str) -> None:  # noqa: FBT001 - a table
    assert replace(ALL[0], path=("gateway", name), kind=kind).is_list is is_list


def test_who_reads_a_section_is_handed_its_struct_and_has_no_default_of_its_own() -> None:
    limits = Limits(wait_s=3.0)
    assert Pool(limits).limits is limits
    assert bounded(limits, SERVED.root).limits is limits
