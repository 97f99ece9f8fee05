"""Flags of `rerankd serve` that need no parser of commands: most starts give no others.

What is not plain (help, a word that is no flag, a flag of another form, a value that may be wrong)
is left to cyclopts, whole, which says what it means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerankd.cli.flags import argument, declared_flag
from rerankd.settings.declared import Setting, with_flags
from rerankd.settings.schema import WorkerCount

_CONFIG = "--config"
_MOST_DIGITS = 9


def plainly_given(words: list[str]) -> dict[str, Any] | None:
    """What flags.effective() takes; None = not everything is plain.

    Args:
        words: of the command line, behind the command.
    """
    settings = {declared_flag(setting).name: setting for setting in with_flags()}
    found: dict[str, Any] = {"config": None}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if not equals:
            value = next(rest, "")
        if not value or value.startswith("-") or (flag != _CONFIG and flag not in settings):
            return None
        name = "config" if flag == _CONFIG else argument(settings[flag])
        one = Path(value) if flag == _CONFIG else _value(settings[flag], value)
        if one is None:
            return None
        if isinstance(one, list):
            found[name] = [*found.get(name, []), *one]
        elif found.get(name) is None:
            found[name] = one
        else:
            return None  # given twice
    return found


def _value(setting: Setting, value: str) -> Any:
    """A flag's value as cyclopts would give it; None = of a kind that is not plain."""
    if setting.is_list or setting.is_map:
        return [value]
    if setting.kind is str:
        return value
    is_number = value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS
    takes_numbers = setting.kind in (int, WorkerCount)
    return int(value) if takes_numbers and is_number else None
