"""What a running server holds of its store: opened before it binds, drained when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rerankd.access.keys import Key
from rerankd.accounts.account import Account, Attempt, Books, Entry
from rerankd.accounts.budget import Budgets
from rerankd.accounts.price import Price
from rerankd.accounts.shared_budgets import SharedBudgets
from rerankd.core.errors import Overloaded, StartError
from rerankd.settings.schema_accounts import StoreSettings
from rerankd.store.database import Database, StoreAway, open_database
from rerankd.store.journal import JournalFull
from rerankd.store.key_feed import KeyFeed
from rerankd.store.keys import KeyRepo
from rerankd.store.ledger import Ledger
from rerankd.store.migrate import migrate
from rerankd.store.money import Money
from rerankd.store.owner import claim
from rerankd.store.prices import LEAD_US
from rerankd.store.rows import AttemptRow, UsageRow
from rerankd.store.servers import check_others
from rerankd.store.shared import SharedCounts
from rerankd.store.watch import Watch
from rerankd.telemetry.ledger import LedgerMetrics
from rerankd.telemetry.logs import log_event, log_refusal
from rerankd.telemetry.record import RequestRecord

_ANSWERED: Final = 200
_RETRY_S: Final = 5.0
_KEEP_US: Final = 3_600_000_000  # longer than any request takes


class AccountStore:
    """The store of one server."""

    def __init__(self, settings: StoreSettings, database: Database, ledger: Ledger) -> None:
        self.settings = settings
        self.database = database
        self.ledger = ledger
        self.shared = SharedCounts(database, ledger.journal.run) if settings.shared else None
        budgets = Budgets(keep_us=_KEEP_US)
        if self.shared is not None:
            budgets = SharedBudgets(self.shared, keep_us=_KEEP_US)
        self.books = Books(budgets, currency=settings.currency)
        self.watch = Watch(database, poll_s=settings.poll_s)
        self.metrics = LedgerMetrics(ledger.facts, lambda: self.watch.failures)
        self.money = Money(database, ledger.journal, self.books)
        self.written: Sequence[tuple[str, Price]] = ()  # prices of the settings, and where
        self._takes = True  # whether the last row could be kept

    def start(self) -> None:
        """Bring what earlier servers left into the database, then count what is spent.

        Raises:
            StartError: the database is away, or has other prices than the settings.
        """
        try:
            have_others = check_others(
                self.database, self.ledger.journal.run, shared=self.settings.shared
            )
        except StoreAway as error:
            raise StartError(f"{self.database.shown} cannot be used now: {error}") from None
        self.ledger.start()
        try:
            # Others must know a price before anybody is charged by it.
            self.money.prices.adopt(self.written, lead_us=LEAD_US if have_others else 0)
            self.money.load()
            self.watch.readers.append(self.money.read)
        except StoreAway as error:
            raise StartError(
                f"[store] url: prices and budgets cannot be read from {self.database.shown} now: "
                f"{error}"
            ) from None

    def adopt(self, written: Sequence[tuple[str, Price]]) -> None:
        """Write prices of new settings into the history; in force when all servers know them.

        Raises:
            StartError: they would change it, or the database is away.
        """
        try:
            self.money.prices.adopt(written, lead_us=LEAD_US)
        except StoreAway as error:
            raise StartError(f"{self.database.shown} cannot be used now: {error}") from None
        self.written = written

    async def record(
        self, record: RequestRecord, key: Key, at_us: int, account: Account | None
    ) -> None:
        """Keep what became of a request, before its answer is sent; its account is closed.

        Args:
            record: of the request, its status included.
            key: that it came with.
            at_us: when that was found good, microseconds since 1970.
            account: what it holds; None = it did not come so far.

        Raises:
            Overloaded: it could not be kept, and is not to be answered then.
        """
        if account is not None and record.status != _ANSWERED:
            account.give_back()
        try:
            line = self.ledger.append(row_of(record, key, at_us, account))
            if account is not None:  # at once: it is charged, also when nobody waits for the disk
                account.spend(line)
            await self.ledger.synced()
        except JournalFull as full:
            self._say(full)
            if account is not None:
                account.give_back()
            if self.settings.when_full == "refuse":
                self.metrics.refused()
                raise Overloaded(
                    "The usage ledger cannot take this request now.", retry_after_s=_RETRY_S
                ) from full
            self.metrics.lost()
        else:
            self._say(None)

    def follow_keys(self, use: Callable[[Sequence[Key]], None]) -> None:
        """Take over all keys now, and from `start` of the watch on those that change.

        Args:
            use: takes over one key by each of its digests; then runs on the event loop.

        Raises:
            StartError: the database is away.
        """
        self.watch.readers.append(KeyFeed(KeyRepo(self.database), use).read)
        try:
            for apply in self.watch.read():
                apply()
        except StoreAway as error:
            raise StartError(f"[store] url: the keys cannot be read: {error}.") from None

    def follow(self, deliver: Callable[[Callable[[], None]], object]) -> None:
        """Go on in the background; `deliver` hands over to the event loop.

        Raises:
            StartError: the database is away.
        """
        if self.shared is not None:
            try:
                self.shared.start(deliver)
            except StoreAway as error:
                raise StartError(f"{self.database.shown} cannot be used now: {error}") from None
        self.watch.start(deliver)

    def close(self) -> None:
        """Bring the last rows into the database."""
        if self.shared is not None:
            self.shared.close()
        self.watch.close()
        self.ledger.close()
        self.database.close()

    def _say(self, full: JournalFull | None) -> None:
        """Log when the ledger stops to take rows, and when it takes them again; not each row."""
        if self._takes == (full is None):
            return
        self._takes = full is None
        if full is not None:
            log_refusal("the ledger takes no rows", str(full), when_full=self.settings.when_full)
        else:
            log_event("the ledger takes rows again")


def open_store(settings: StoreSettings) -> AccountStore:
    """Open the store that the settings name, with all tables.

    Raises:
        StartError: it cannot be used as asked.
    """
    if settings.url is None:
        raise LookupError("[store] url")
    database = open_database(settings.url)
    folder = journal_folder(settings.journal, database)
    try:
        migrate(database)
        claim(folder, database)
    except StoreAway as error:
        raise StartError(f"[store] url: {database.shown} cannot be used now: {error}") from None
    ledger = Ledger(
        database,
        folder,
        limit_bytes=settings.journal_bytes,
        durability=settings.durability,
        retain_days=settings.retain_days,
    )
    return AccountStore(settings, database, ledger)


def journal_folder(written: str | None, database: Database) -> Path:
    """Where the journal is; written: in the settings. Raises StartError: nobody said."""
    if written is not None:
        return Path(written).absolute()
    if database.file is None:
        raise StartError(
            "[store] journal: with PostgreSQL, name a folder on a local disk of this machine that "
            "outlives the process, such as /var/lib/rerankd/journal."
        )
    return database.file.with_name(f"{database.file.name}.journal")


def row_of(record: RequestRecord, key: Key, at_us: int, account: Account | None = None) -> UsageRow:
    """A request as the ledger keeps it; see `AccountStore.record`."""
    cost, route, is_answered = record.cost, record.route, record.status == _ANSWERED
    entry = Entry() if account is None else account.entry()
    return UsageRow(
        request_id=record.request_id,
        at_us=at_us,
        done_us=time.time_ns() // 1000,
        status=record.status,
        key_id=key.id,
        key_name=key.name,
        team_id=key.team_id,
        team=key.team.name if key.team is not None else "",
        dialect=record.dialect,
        path=_kept(record.path),
        model_asked=_kept(record.asked),
        model_answered=route.model if route is not None else record.model,
        stood_in=int(record.stood_in),
        route=route.route if route is not None else "",
        upstream=route.upstream if route is not None else "",
        space=route.space if route is not None else "",
        degraded=route.degraded if route is not None else "",
        attempts=len(entry.attempts),
        error=record.error,
        documents=cost.documents,
        pairs=cost.pairs,
        input_tokens=entry.input_tokens if is_answered else cost.input_tokens,
        cached_tokens=cost.cached_tokens,
        image_tokens=entry.image_tokens if is_answered else cost.image_tokens,
        searches=entry.searches,
        tokens_from=entry.tokens_from,
        price_id=entry.price_id,
        charge_nano=entry.charge_nano,
        cost_id=entry.cost_id,
        cost_nano=entry.cost_nano,
        maybe_billed_nano=entry.maybe_billed_nano,
        body_bytes=record.body_bytes,
        prepare_us=_us(cost.prepare_s),
        queue_us=_us(cost.queue_s),
        engine_us=_us(cost.engine_s),
        upstream_us=_us(cost.upstream_s),
        total_us=_us(record.total_s),
        client_net=record.client,
        tries=tuple(map(_try, entry.attempts)),
        held=() if account is None else account.held_parts(),
    )


def _try(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        target=attempt.target,
        upstream=attempt.upstream,
        status=attempt.status,
        error="" if attempt.outcome == "ok" else attempt.outcome,
        took_us=attempt.took_us,
        tokens=attempt.tokens,
        input_tokens=attempt.input_tokens,
        searches=attempt.searches,
        cost_id=None if attempt.cost is None else attempt.cost.id,
        cost_nano=attempt.cost_nano,
        maybe_billed_nano=attempt.maybe_billed_nano,
    )


def _kept(text: str) -> str:
    """What a caller wrote, as every database takes it."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
