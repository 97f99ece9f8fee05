"""`rerankd usage`: what the ledger holds, whether it adds up, and an invoice beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import App, Parameter

from rerankd.cli.stored import Config, Json, Store, opened, print_json, table, words
from rerankd.cli.terminal import console
from rerankd.core.errors import InvalidRequest
from rerankd.core.money import shown
from rerankd.store.accounts import journal_folder
from rerankd.store.database import Database
from rerankd.store.export import ROW_COLUMNS, Format, in_units, write
from rerankd.store.reconcile import reconcile
from rerankd.store.times import span_s, time_us
from rerankd.store.usage import BYS, SUMS, By, UsageQuery, all_rows, sums
from rerankd.store.verify import verify

_HEADS: Final[dict[By, tuple[str, ...]]] = {
    "key": ("key_id", "key_name"),
    "team": ("team_id", "team"),
    "status": ("status_class",),
    "hour": ("hour_us",),
    "day": ("day_us",),
}
_SHOWN: Final = (
    *("requests", "documents", "input_tokens", "unknown_tokens", "searches", "charge_nano"),
    *("cost_nano", "maybe_billed_nano"),
)


app: Final = App(name="usage", help="Show what was used: sums, or with --rows every request.")


@app.default
def listed(  # noqa: PLR0913 - one for each flag
    *,
    by: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    since: str | None = None,
    until: str | None = None,
    key: str | None = None,
    model: str | None = None,
    format: Literal["table", "csv", "jsonl", "parquet"] = "table",
    rows: Annotated[bool, Parameter(negative=())] = False,
    output: Path | None = None,
    store: Store = None,
    config: Config = None,
) -> None:
    """Show what was used: sums, or with --rows every request.

    Parameters
    ----------
    by
        What sums are told apart by: key, team, model, route, upstream, dialect, status, hour, day;
        several with commas between them.
    since
        From this time on: 2026-11-01, 2026-11-01T12:00:00+01:00, or as long ago as 30d, 24h.
    until
        Before this time.
    key
        Of the key of this name alone.
    model
        Of the model that answered alone.
    format
        How to print. Money is in the currency in a table and in CSV, else in 10^-9 of it.
    rows
        Every request instead of sums; not as a table.
    output
        File to write to instead.
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    asked = UsageQuery(
        since_us=_time(since, "since") or 0,
        until_us=_time(until, "until"),
        key_name=key,
        model=model,
    )
    wanted = _bys(by)
    if rows and (format == "table" or wanted):
        raise InvalidRequest("--rows is for --format csv, jsonl or parquet, without --by.")
    with opened(store, config) as found:
        if rows and format != "table":
            _write(output, format, ROW_COLUMNS, all_rows(found.database, asked))
            return
        with found.database.read() as connection:
            lines = sums(connection, asked, wanted)
        heads = [name for each in wanted for name in _HEADS.get(each, (each,))]
        if format == "table":
            _show([*heads, *_SHOWN], lines)
        else:
            _write(output, format, [*heads, *SUMS], lines)


@app.command(name="verify")
def verified(*, json: Json = False, store: Store = None, config: Config = None) -> None:
    """Recompute every charge and compare journal, rows and hours; status 1 when they differ.

    Parameters
    ----------
    json
        Print JSON.
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    with opened(store, config) as found:
        folder = _folder(found.database, found.settings.store.journal)
        verdict = verify(found.database, folder)
    if json:
        print_json(verdict)
    else:
        print(
            f"{verdict.rows} rows in {verdict.hours} hours of {verdict.journals} journals, charged "
            f"{shown(verdict.charge_nano)}, cost {shown(verdict.cost_nano)}."
        )
        for problem in verdict.problems:
            print(problem)
        if verdict.more_problems:
            print(f"And {verdict.more_problems} more.")
        print("All adds up." if verdict.ok else "This does not add up.")
    if not verdict.ok:
        sys.exit(1)


@app.command(name="reconcile")
def reconciled(
    invoice: Path, /, *, json: Json = False, store: Store = None, config: Config = None
) -> None:
    """Compare an upstream's invoice with the ledger, by day; status 1 when it is not explained.

    Parameters
    ----------
    invoice
        CSV file with the columns date, upstream, amount.
    json
        Print JSON.
    store
        URL of the store; default: [store] url of the settings.
    config
        TOML file, as for `rerankd serve`.
    """
    with opened(store, config) as found, found.database.read() as connection:
        days = reconcile(connection, invoice)
    if json:
        print_json(days)
    else:
        made = table("day", "upstream", "ours", "theirs", "difference", "may be billed", "")
        for day in days:
            made.add_row(
                day.day,
                day.upstream,
                shown(day.ours_nano),
                shown(day.theirs_nano),
                shown(day.theirs_nano - day.ours_nano),
                shown(day.maybe_billed_nano),
                "" if day.is_explained else "not explained",
            )
        console().print(made)
    if not all(day.is_explained for day in days):
        sys.exit(1)


def _bys(written: Sequence[str]) -> list[By]:
    """What sums are told apart by. Raises InvalidRequest."""
    found = words(written) or []
    known: dict[str, By] = {each: each for each in BYS}
    if unknown := [each for each in found if each not in known]:
        raise InvalidRequest(f"--by {', '.join(unknown)}: there are {', '.join(BYS)}.", param="by")
    return [known[each] for each in dict.fromkeys(found)]


def _time(written: str | None, name: str) -> int | None:
    """A time, or a span before now. Raises InvalidRequest."""
    if written is None:
        return None
    if written[-1:] in "smhdw" and written[:-1].isdigit():
        return round((time.time() - span_s(written, name)) * 1_000_000)
    return time_us(written, name)


def _folder(database: Database, written: str | None) -> Path | None:
    """Where journals of this machine are, if anybody said."""
    if written is None and database.file is None:
        return None
    return journal_folder(written, database)


def _show(names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    made = table(*(in_units(name, 0)[0].replace("_", " ") for name in names))
    for line in lines:
        made.add_row(*(str(in_units(name, line[name])[1]) for name in names))
    console().print(made)


def _write(
    output: Path | None,
    form: Format,
    names: Sequence[str],
    lines: Any,
) -> None:
    if output is None:
        write(sys.stdout.buffer, form, names, lines)
        return
    with output.open("wb") as out:
        write(out, form, names, lines)
