"""The store that a command works on, and how it is written what keys and teams may do."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.table import Table

from rerankd.access.fields import LIMITS
from rerankd.access.keys import Role
from rerankd.cli.flags import effective
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.settings.schema import Settings
from rerankd.store.database import Database, StoreAway, open_database
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.migrate import migrate
from rerankd.store.times import span_s, time_us

NONE = "none"  # at a flag: no limit, no team, no end

Config = Annotated[Path | None, Parameter(help="TOML file, as for `rerankd serve`.")]
Store = Annotated[
    str | None, Parameter(help="URL of the store; default: [store] url of the settings.")
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


class Opened(msgspec.Struct, frozen=True):
    """A store, and the settings that go with it."""

    database: Database
    settings: Settings


@contextmanager
def opened(store: str | None, config: Path | None) -> Generator[Opened]:
    """The store, with all tables; what goes wrong in it is one sentence.

    Args:
        store: its URL; None = that of the settings.
        config: of the settings.

    Raises:
        StartError: there is none, it is away, or refuses what is asked.
    """
    settings = effective(config=config).settings
    database = open_database(_url(store, settings))
    try:
        migrate(database)
        yield Opened(database, settings)
    except StoreAway as error:
        raise StartError(f"The store {database.shown} cannot be used now: {error}.") from None
    except (NotFound, Conflict) as error:
        raise StartError(str(error)) from None
    finally:
        database.close()


def url_of(store: str | None, config: Path | None) -> str:
    """The URL of the store, that of the settings if None was given. Raises StartError."""
    return _url(store, effective(config=config).settings)


def _url(store: str | None, settings: Settings) -> str:
    url = store or settings.store.url
    if url is None:
        raise StartError(
            "No store: name one with --store sqlite:////path/to/rerankd.db, in RERANKD_STORE_URL "
            "or as [store] url in the file of --config."
        )
    return url


class LimitFlags(msgspec.Struct, frozen=True, kw_only=True):
    """As they are written at flags."""

    models: list[str] | None = None
    rpm: str | None = None
    tpm: str | None = None
    rpd: str | None = None
    tpd: str | None = None
    in_flight: str | None = None

    def given(self) -> dict[str, Any]:
        """What was given, as it is stored. Raises InvalidRequest."""
        found: dict[str, Any] = {}
        for name in LIMITS:
            written = getattr(self, name)
            if written is not None:
                found[name] = _limit(written, name)
        if self.models is not None:
            found["models"] = words(self.models)
        return found


def words(written: Sequence[str]) -> list[str] | None:
    """Words, given one by one or with commas between them; `none` = no restriction."""
    found = [word.strip() for each in written for word in each.split(",") if word.strip()]
    return None if found == [NONE] else found


def until_us(written: str) -> int | None:
    """When a key ends: a span from now, a time, or `none`. Raises InvalidRequest."""
    if written == NONE:
        return None
    if written[-1:] in "smhdw" and written[:1].isdigit() and written[:-1].isdigit():
        return int((time.time() + span_s(written, "expires")) * 1_000_000)
    return time_us(written, "expires")


def role_of(role: Role | None, *, admin: bool) -> Role | None:
    """The role that was given. Raises InvalidRequest: two were."""
    if admin and role not in (None, "admin"):
        raise InvalidRequest(f"role: --admin and --role {role} are two.", param="role")
    return "admin" if admin else role


def print_json(value: object) -> None:
    """Readable, and read by programs."""
    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def say(sentence: str) -> None:
    """To the person, beside what a program reads."""
    print(sentence, file=sys.stderr)


def table(*headings: str) -> Table:
    """Without a frame; long values are folded."""
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def shown_limits(row: object) -> str:
    """The limits of a key or team, in one cell."""
    found = [(name, getattr(row, name)) for name in LIMITS]
    return " ".join(f"{name}={value}" for name, value in found if value is not None)


def _limit(written: str, name: str) -> int | None:
    if written == NONE:
        return None
    if not written.isascii() or not written.isdigit():
        raise InvalidRequest(f"{name}: {written!r} is no whole number, or none.", param=name)
    return int(written[:18])  # `fields` refuses what is too large
