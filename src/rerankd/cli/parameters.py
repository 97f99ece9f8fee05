"""The flags that set settings, made of their declarations, as cyclopts reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter

from rerankd.cli.flags import argument, declared_flag, effective
from rerankd.settings.declared import Setting, with_flags

Command = Callable[..., None]


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


def _flag(setting: Setting, says: str) -> inspect.Parameter:
    name = declared_flag(setting).name
    if setting.is_list or setting.is_map:
        return parameter(argument(setting), list[str], Parameter(name=name, negative=(), help=says))
    return parameter(argument(setting), setting.kind, Parameter(name=name, help=says))


def parameter(name: str, kind: Any, how: Parameter) -> inspect.Parameter:
    """A keyword that may be left out, in the form that cyclopts reads."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, how]
    )
