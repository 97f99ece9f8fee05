"""The settings that come of flags, which their declarations name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rerankd.cli.options import model_settings, split
from rerankd.settings.declared import Setting, with_flags
from rerankd.settings.load import Effective, load, pairs
from rerankd.settings.schema import Flag

_MODELS = ("models",)  # its flag takes settings of the model as well

Read = Callable[[], Effective]  # raises StartError


def flag_help(setting: Setting) -> str:
    """What a setting's flag does, as its declaration says it."""
    return declared_flag(setting).help.format(default=setting.default)


def effective(*, config: Path | None, **given: Any) -> Effective:
    """The settings in force.

    Args:
        config: the file; None = that of RERANKD_CONFIG, if it is set.
        given: flag without its dashes -> what was given; None or empty = not given.

    Raises:
        StartError: as `settings.load`.
    """
    flags: dict[tuple[str, ...], Any] = {}
    for setting in with_flags():
        value = given.get(argument(setting))
        if value is None or value == []:
            continue
        if setting.path == _MODELS:
            flags |= _models(value, declared_flag(setting).name)
        else:
            flags[setting.path] = pairs(value) if setting.is_map else value
    if config is None and os.environ.get("RERANKD_CONFIG"):
        config = Path(os.environ["RERANKD_CONFIG"])
    return load(config, os.environ, flags)


def _models(given: list[str], flag: str) -> dict[tuple[str, ...], Any]:
    """NAME or NAME,setting=value,… : the models, and settings of each."""
    words = [split(written) for written in given]
    flags: dict[tuple[str, ...], Any] = {_MODELS: [name for name, _ in words]}
    for written, (name, values) in zip(given, words, strict=True):
        for setting, value in model_settings(values, f"{flag} {written}").items():
            flags["model", name, setting] = value
    return flags


def declared_flag(setting: Setting) -> Flag:
    """The flag of a setting that has one."""
    if setting.flag is None:
        raise LookupError(setting.path)
    return setting.flag


def argument(setting: Setting) -> str:
    """The name under which effective() takes what a setting's flag was given."""
    return declared_flag(setting).name.lstrip("-").replace("-", "_")
