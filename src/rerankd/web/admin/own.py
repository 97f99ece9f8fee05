"""What a caller may read of its own key: usage, and balances as clients of gateways ask for them.

Of money the deciding budget is shown, the one with least left: of the key, its team or everybody,
prepaid balances among them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from rerankd.access.keys import Key
from rerankd.core.money import NANO, shown
from rerankd.dialects.registry import Registry
from rerankd.dialects.wire import JSON
from rerankd.web.admin.answers import AdminAnswer
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.own_usage import OwnUsage
from rerankd.web.admin.usage_forms import (
    OwnRecordList,
    OwnSumsPage,
)
from rerankd.web.caller import caller_of
from rerankd.web.paths import Get
from rerankd.web.reports import UserData, UserInfo
from rerankd.web.state import State

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Exact, without a float in between.
_Number = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "number"})]
_UNLIMITED: Final = 100_000_000  # as gateways say it
_QUOTA_NANO: Final = NANO // 500_000  # new-api's unit of quota


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's old page of what may be spent. Amounts are in the server's currency."""

    object: str = "billing_subscription"
    has_payment_method: bool = True
    soft_limit_usd: _Number
    hard_limit_usd: _Number
    system_hard_limit_usd: _Number
    access_until: int  # seconds since 1970; 0 = for ever


class BillingUsage(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's old page of what was spent, in hundredths of the currency."""

    object: str = "list"
    total_usage: _Number


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What new-api says of a key; 500,000 of its quota are one of the currency."""

    object: str = "token_usage"
    name: str
    total_granted: int
    total_used: int
    total_available: int
    unlimited_quota: bool
    model_limits: dict[str, bool]
    model_limits_enabled: bool
    expires_at: int  # seconds since 1970; 0 = never


class TokenUsageBody(msgspec.Struct, frozen=True, kw_only=True):
    """new-api's answer about a key."""

    code: bool = True
    message: str = "ok"
    data: TokenUsage


class OwnPages:
    """The pages of one server."""

    def __init__(self, desk: Desk, registry: Registry) -> None:
        self._desk = desk
        self._usage = OwnUsage(desk)
        self._state: State = desk.state
        self._registry = registry

    def all(self) -> list[tuple[Get, Handler]]:
        """Each with what the document says of it."""
        root = self._registry.root
        found: list[tuple[Get, Handler]] = []

        def add(paths: tuple[str, ...], summary: str, answer: Any, handler: Handler) -> None:
            for path in paths:
                get = Get(
                    path=path,
                    what="own",
                    summary=summary,
                    answer=answer,
                    speaker=root,
                    slash=True,
                )
                found.append((get, handler))

        add(("/v1/usage",), "Requests of this key, newest first.", OwnRecordList, self.rows)
        add(("/v1/usage/summary",), "Sums of this key by time.", OwnSumsPage, self.sums)
        add(("/v1/usage/export",), "All requests of this key as a file.", None, self.export)
        for end, answer, handler, summary in (
            ("subscription", Subscription, self.subscription, "What this key may spend."),
            ("usage", BillingUsage, self.spent, "What this key has spent."),
        ):
            paths = (f"/v1/dashboard/billing/{end}", f"/dashboard/billing/{end}")
            add(paths, summary, answer, handler)
        summary = "What this key has spent and may spend, as new-api says it."
        add(("/api/usage/token",), summary, TokenUsageBody, self.token)
        return found

    async def rows(self, request: Request) -> Response:
        """A page of requests."""
        key = self._caller(request)
        return _json(await self._usage.rows(key, request.query_params.multi_items()))

    async def sums(self, request: Request) -> Response:
        """A page of buckets."""
        key = self._caller(request)
        return _json(await self._usage.sums(key, request.query_params.multi_items()))

    async def export(self, request: Request) -> Response:
        """A file."""
        key = self._caller(request)
        return self._desk.sent(self._usage.export(key, request.query_params.multi_items()))

    async def user(self, request: Request) -> Response:
        """SiliconFlow's "user info", with what is left where something limits it."""
        key = self._caller(request)
        balance: str | UnsetType = UNSET
        charged: str | UnsetType = UNSET
        total: str | UnsetType = UNSET
        decides = self._usage.deciding(key)
        if decides is not None:
            total = shown(decides[1].left)
            balance, charged = ("0", total) if decides[0].is_prepaid else (total, "0")
        data = UserData(id=key.name, balance=balance, chargeBalance=charged, totalBalance=total)
        return Response(msgspec.json.encode(UserInfo(data)), media_type=JSON)

    async def subscription(self, request: Request) -> Response:
        """Limit - usage is what is left."""
        key = self._caller(request)
        decides = self._usage.deciding(key)
        limit = str(_UNLIMITED) if decides is None else shown(decides[1].amount)
        raw = msgspec.Raw(limit.encode())
        return _encoded(
            Subscription(
                soft_limit_usd=raw,
                hard_limit_usd=raw,
                system_hard_limit_usd=raw,
                access_until=_seconds(key),
            )
        )

    async def spent(self, request: Request) -> Response:
        """In the deciding budget's window, requests in progress included; without one, ever."""
        key = self._caller(request)
        decides = self._usage.deciding(key)
        used = (
            await self._usage.ever(key) if decides is None else decides[1].amount - decides[1].left
        )
        return _encoded(BillingUsage(total_usage=msgspec.Raw(shown(used * 100).encode())))

    async def token(self, request: Request) -> Response:
        """new-api's page."""
        key = self._caller(request)
        decides = self._usage.deciding(key)
        if decides is None:
            used, available = await self._usage.ever(key) // _QUOTA_NANO, 0
        else:
            left = decides[1].left // _QUOTA_NANO
            used, available = decides[1].amount // _QUOTA_NANO - left, left
        allowed = [owner.models for owner in key.owners if owner.models is not None]
        models = {} if not allowed else dict.fromkeys(sorted(allowed[0]), True)
        usage = TokenUsage(
            name=key.name,
            total_granted=used + available,
            total_used=used,
            total_available=available,
            unlimited_quota=decides is None,
            model_limits=models,
            model_limits_enabled=bool(allowed),
            expires_at=_seconds(key),
        )
        return _encoded(TokenUsageBody(data=usage))

    def _caller(self, request: Request) -> Key:
        return caller_of(request, self._state, self._registry)


def _seconds(key: Key) -> int:
    return 0 if key.expires is None else int(key.expires)


def _json(answer: AdminAnswer) -> Response:
    return _encoded(answer.content)


def _encoded(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type=JSON)
