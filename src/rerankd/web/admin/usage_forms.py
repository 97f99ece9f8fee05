"""The forms of usage: what is asked, and what one request and a sum look like, whoever asks."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.store.prices import PriceRow
from rerankd.store.usage import By, UsageQuery, Width
from rerankd.web.admin.asked import MOST_ID, PAGE, PageSize

GroupBy = Literal["api_key_id", "team_id", "model", "route", "upstream", "dialect", "status"]
OwnGroupBy = Literal["model", "dialect", "status"]
Second = Annotated[int, Meta(ge=0, le=253_402_300_799)]  # since 1970, to the year 9999
_Id = Annotated[int, Meta(ge=0, le=MOST_ID)]
_MOST: Final = Meta(max_length=20)

GROUPS: Final[dict[GroupBy, By]] = {
    "api_key_id": "key",
    "team_id": "team",
    "model": "model",
    "route": "route",
    "upstream": "upstream",
    "dialect": "dialect",
    "status": "status",
}


class UsageFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests."""

    end_time: Second | None = None  # seconds since 1970, the first that does not count
    model: str | None = None  # that answered
    dialect: str | None = None

    def asked(self) -> UsageQuery:
        """As the store takes it."""
        end_s = self.end_time
        names = ("team_id", "model", "route", "upstream", "dialect", "request_id")
        return UsageQuery(
            since_us=getattr(self, "start_time", 0) * 1_000_000,
            until_us=None if end_s is None else end_s * 1_000_000,
            key_id=getattr(self, "api_key_id", None),
            **{name: getattr(self, name, None) for name in names},
        )


class OwnRowsQuery(UsageFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of single requests."""

    start_time: Second = 0
    limit: PageSize = PAGE
    cursor: str | None = None  # `next_cursor` of the page before
    order: Literal["desc", "asc"] = "desc"  # by time
    request_id: str | None = None


class RowsQuery(OwnRowsQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of single requests, of which keys."""

    api_key_id: _Id | None = None  # 0: of the settings' file, or none
    team_id: _Id | None = None
    route: str | None = None
    upstream: str | None = None


class OwnExportQuery(UsageFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests, and in which format."""

    start_time: Second = 0
    format: Literal["csv", "jsonl"] = "csv"


class ExportQuery(OwnExportQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests of which keys, and in which format."""

    api_key_id: _Id | None = None  # 0: of the settings' file, or none
    team_id: _Id | None = None
    route: str | None = None
    upstream: str | None = None


class BucketQuery(UsageFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which buckets. The first is that of start_time, the last that of the second before end_time.

    Buckets are whole minutes, hours or days of UTC.
    """

    start_time: Second
    bucket_width: Width = "1d"
    limit: Annotated[int, Meta(ge=1, le=1_440)] | None = None  # buckets of a page
    page: str | None = None  # `next_page` of the one before


class OwnSumsQuery(BucketQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which buckets, and what is summed apart in each."""

    group_by: Annotated[list[OwnGroupBy], _MOST] = []


class SumsQuery(BucketQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which buckets of which keys, and what is summed apart in each."""

    group_by: Annotated[list[GroupBy], _MOST] = []
    api_key_id: _Id | None = None  # 0: of the settings' file, or none
    team_id: _Id | None = None
    route: str | None = None
    upstream: str | None = None


class OwnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as its caller sees it. Times are ISO 8601 in UTC, money decimal texts."""

    request_id: str
    at: str
    done: str
    status: int
    error: str
    key_name: str
    dialect: str
    path: str
    model_asked: str
    model_answered: str
    stood_in: int
    route: str
    space: str
    degraded: str
    documents: int
    pairs: int
    input_tokens: int | None
    cached_tokens: int
    image_tokens: int
    searches: int
    tokens_from: str
    price_id: int | None
    charge: str
    currency: str
    body_bytes: int
    total_us: int


class Record(OwnRecord, frozen=True, kw_only=True):
    """One request, as administrators see it."""

    key_id: int | None
    team_id: int | None
    team: str
    end_user: str
    upstream: str
    attempts: int
    cost_id: int | None
    cost: str
    maybe_billed: str
    prepare_us: int
    queue_us: int
    engine_us: int
    upstream_us: int
    client_net: str


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """One target that was asked for a request."""

    n: int
    upstream: str
    status: int
    error: str
    took_us: int
    tokens: int | None
    cost: str


class RecordDetail(Record, frozen=True, kw_only=True):
    """One request, every target that was asked for it, and the price that it was charged by."""

    tries: list[Attempted]
    price: PriceRow | None


class RecordList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requests."""

    object: Literal["list"]
    data: list[Record]
    has_more: bool
    next_cursor: str | None


class OwnRecordList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requests."""

    object: Literal["list"]
    data: list[OwnRecord]
    has_more: bool
    next_cursor: str | None


class OwnSums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of one group; a field that is not grouped by is null."""

    object: Literal["usage.result"] = "usage.result"
    num_model_requests: int
    documents: int
    pairs: int
    input_tokens: int
    input_cached_tokens: int
    image_tokens: int
    searches: int
    charge: str
    currency: str
    model: str | None = None
    dialect: str | None = None
    status: int | None = None  # class: 2, 4, 5


class Sums(OwnSums, frozen=True, kw_only=True):
    """Sums of one group, as administrators see it."""

    unknown_tokens: int  # requests whose tokens nobody told
    cost: str
    maybe_billed: str
    engine_us: int
    upstream_us: int
    total_us: int
    api_key_id: int | None = None  # 0: of the settings' file, or none
    api_key_name: str | None = None
    team_id: int | None = None  # 0: none
    route: str | None = None
    upstream: str | None = None


class UsageBucket(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time; one without a request has no results."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[Sums]


class OwnUsageBucket(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time; one without a request has no results."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[OwnSums]


class SumsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets, oldest first."""

    object: Literal["page"] = "page"
    data: list[UsageBucket]
    has_more: bool
    next_page: str | None


class OwnSumsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets, oldest first."""

    object: Literal["page"] = "page"
    data: list[OwnUsageBucket]
    has_more: bool
    next_page: str | None
