"""The flags that set settings, made of their declarations, and the settings that come of them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter

from rerankd.cli.options import model_settings, split
from rerankd.settings.declared import Setting, with_flags
from rerankd.settings.load import Effective, load, pairs
from rerankd.settings.schema import Flag

_MODELS = ("models",)  # its flag takes settings of the model as well

Command = Callable[..., None]
Read = Callable[[], Effective]  # raises StartError


def reads_settings(
    *,
    config: str,
    says: Callable[[Setting], str],
    config_first: bool = False,
    more: Sequence[inspect.Parameter] = (),
) -> Callable[[Callable[..., None]], Command]:
    """Give a command --config and the flags of settings; it is handed what reads them all.

    Args:
        config: the help of --config.
        says: the help of a setting's flag.
        config_first: whether --config comes before the others.
        more: parameters of the command's own, which it is given by name.
    """
    own = {each.name for each in more}

    def decorate(body: Callable[..., None]) -> Command:
        def command(**given: Any) -> None:
            ours = {name: given.pop(name) for name in own & given.keys()}
            body(lambda: effective(**{"config": None, **given}), **ours)

        file = parameter("config", Path, Parameter(help=config))
        flags = [_flag(setting, says(setting)) for setting in with_flags()]
        parameters = [*more, file, *flags] if config_first else [*more, *flags, file]
        cast("Any", command).__signature__ = inspect.Signature(parameters)
        command.__name__, command.__doc__ = body.__name__, body.__doc__
        return command

    return decorate


def flag_help(setting: Setting) -> str:
    """What a setting's flag does, as its declaration says it."""
    return _declared(setting).help.format(default=setting.default)


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
        value = given.get(_argument(setting))
        if value is None or value == []:
            continue
        if setting.path == _MODELS:
            flags |= _models(value, _declared(setting).name)
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


def _flag(setting: Setting, says: str) -> inspect.Parameter:
    name = _declared(setting).name
    if setting.is_list or setting.is_map:
        return parameter(
            _argument(setting), list[str], Parameter(name=name, negative=(), help=says)
        )
    return parameter(_argument(setting), setting.kind, Parameter(name=name, help=says))


def parameter(name: str, kind: Any, how: Parameter) -> inspect.Parameter:
    """A keyword that may be left out, in the form that cyclopts reads."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, how]
    )


def _declared(setting: Setting) -> Flag:
    if setting.flag is None:
        raise LookupError(setting.path)
    return setting.flag


def _argument(setting: Setting) -> str:
    return _declared(setting).name.lstrip("-").replace("-", "_")
