"""The admin API as an ASGI app: gate, operation, answer; every change is logged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rerankd.access.keys import Address, Key
from rerankd.core.errors import (
    BodyTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RerankError,
    UnknownPath,
)
from rerankd.store.database import StoreAway
from rerankd.store.errors import Conflict, NotFound
from rerankd.store.idempotency import NamedCall, OtherCall
from rerankd.telemetry.logs import log_event, log_failure
from rerankd.web.admin.answers import (
    AdminAnswer,
    AdminRefusal,
    Stream,
    problem_of,
    response_of,
)
from rerankd.web.admin.asked import body_of, query_of
from rerankd.web.admin.desk import Desk
from rerankd.web.admin.gate import AdminGate
from rerankd.web.admin.operation import Call, Operation
from rerankd.web.below import pattern_of
from rerankd.web.body import ClientGone, check_headers, read_body
from rerankd.web.client import address_of, network_around

PREFIX: Final = "/admin/v1"
BODY_BYTES: Final = 1_048_576  # of a call; limits.body_bytes where that is less
_IDEM: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(slots=True, kw_only=True)
class _Told:
    """What the log says of a call that changes something."""

    path: str
    request_id: str
    address: Address | None
    by: str = ""
    subject: str | None = None  # of whom an issuer signed in: names are not unique there
    operation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerCall:
    """A call of a page of this server: from a key that is signed in, as its form was filled."""

    key: Key
    method: str
    path: str  # below /admin/v1
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""  # JSON


class AdminApp:
    """Answers what is below /admin/v1, in one form whatever becomes of it."""

    def __init__(self, desk: Desk, gate: AdminGate, operations: Sequence[Operation]) -> None:
        self.desk = desk
        self._state = desk.state
        self._gate = gate
        self._paths: list[tuple[re.Pattern[str], dict[str, Operation]]] = []
        found: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            found.setdefault(operation.path, {})[operation.method] = operation
        for path, methods in sorted(found.items(), key=lambda each: "{" in each[0]):
            self._paths.append((pattern_of(path), methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        request, told = Request(scope, receive), self._told(scope, scope["path"])
        try:
            with self._state.drain:
                try:
                    made = await self._answer(request, told)
                except ClientGone:
                    return
                except Exception as error:  # noqa: BLE001 - the last line before the caller
                    response = self._failed(told, error)
                else:
                    response = self._shown(told, made)
                await response(scope, receive, send)  # a stream that fails ends its connection
        except Overloaded as error:  # the drain's refusal
            await problem_of(error, told.request_id)(scope, receive, send)

    async def ask(self, scope: Scope, asked: InnerCall) -> AdminAnswer | Stream:
        """What a call answers, carried out and logged as one that came over HTTP.

        Args:
            scope: of the page's request, whose Host and Origin were checked.
            asked: the call.

        Raises:
            Exception: whatever the call is refused with; see problem_of().
        """
        told = self._told(scope, PREFIX + asked.path)
        try:
            operation, ids = self._found(asked.method, told.path)
            _allow(asked.key, operation, told)
            call = self._call(operation, told, asked.key, ids, asked.query, asked.body)
            made = await self._carry_out(operation, call, None)
        except Exception as error:
            self._failed(told, error)
            raise
        if isinstance(made, AdminAnswer):
            self._log(told, made.status, made.content)
        return made

    def _told(self, scope: Scope, path: str) -> _Told:
        return _Told(
            path=path,
            request_id=scope["state"]["request_id"],
            address=address_of(scope, self._state.trusted),
        )

    def _shown(self, told: _Told, made: AdminAnswer | Stream) -> Response:
        if isinstance(made, Stream):
            return self.desk.sent(made)
        response = response_of(made)
        self._log(told, response.status_code, made.content)
        return response

    def _failed(self, told: _Told, error: Exception) -> Response:
        if isinstance(error, OtherCall):
            error = AdminRefusal(
                422,
                "idempotency_key_reused",
                f"Idempotency-Key {str(error)!r} was another call within the last day: take a new "
                "one for each call.",
                param="Idempotency-Key",
            )
        known = (RerankError, AdminRefusal, NotFound, Conflict, StoreAway)
        if not isinstance(error, known):
            log_failure(told.request_id, error)
        response = problem_of(error, told.request_id)
        self._log(told, response.status_code, None)
        return response

    async def _answer(self, request: Request, told: _Told) -> AdminAnswer | Stream:
        self._gate.check(request.scope)
        key = self._gate.admit(request)
        operation, ids = self._found(request.method, told.path)
        _allow(key, operation, told)
        raw = await self._body(request)
        query = request.query_params.multi_items()
        call = self._call(operation, told, key, ids, query, raw)
        return await self._carry_out(operation, call, _named(request, key, raw))

    def _call(
        self,
        operation: Operation,
        told: _Told,
        key: Key,
        ids: tuple[str, ...],
        query: Sequence[tuple[str, str]],
        raw: bytes,
    ) -> Call:
        return Call(
            by=key,
            address=told.address,
            ids=ids,
            query=query_of(query, operation.query),
            body=body_of(raw, operation.body),
        )

    async def _carry_out(
        self, operation: Operation, call: Call, asked: NamedCall | None
    ) -> AdminAnswer | Stream:
        """`asked`: the call as its idempotency key names it."""
        if operation.stream is not None:
            return operation.stream(self.desk, call)
        if operation.run_here is not None:
            return await operation.run_here(self.desk, call)
        work = operation.run
        if work is None:
            raise LookupError(operation.name)
        if operation.changes_store:
            made = await self.desk.run(
                self.desk.change, asked, call.by, lambda: work(self.desk, call)
            )
        else:
            made = await self.desk.run(work, self.desk, call)
        return made if operation.finish is None else operation.finish(self.desk, made)

    def _found(self, method: str, path: str) -> tuple[Operation, tuple[str, ...]]:
        """Raises UnknownPath, MethodNotAllowed."""
        path = path.removeprefix(PREFIX).rstrip("/")
        for pattern, methods in self._paths:
            if (match := pattern.fullmatch(path)) is None:
                continue
            if (operation := methods.get(method)) is None:
                allow = ", ".join(methods)
                raise MethodNotAllowed(
                    f"{method} is not possible at {PREFIX}{path}; use {allow}.", allow=allow
                )
            return operation, match.groups()
        raise UnknownPath(f"There is nothing at {PREFIX}{path[:200]}; see docs/admin.md.")

    async def _body(self, request: Request) -> bytes:
        """The whole body. Raises BodyTooLarge, BodyTimeout, InvalidRequest, Overloaded."""
        limits = self._state.limits
        limit = min(BODY_BYTES, limits.body_bytes)
        try:
            check_headers(request.headers, limit_bytes=limit)
            raw = await read_body(
                request.receive,
                request.headers,
                limit_bytes=limit,
                limit_s=limits.body_s,
                inflight=self._state.inflight,
            )
        except BodyTooLarge:
            raise BodyTooLarge(f"The body is over {limit} bytes.") from None
        self._state.inflight.give_back(len(raw))
        return raw

    def _log(self, told: _Told, status: int, content: object) -> None:
        """Who changed what, or was refused; never what a body held."""
        if not told.operation:
            return
        found = cast("dict[str, object]", content) if isinstance(content, dict) else {}
        log_event(
            "admin",
            operation=told.operation,
            path=told.path[:200],
            key=told.by,
            status=status,
            id=found.get("id"),
            name=found.get("name"),
            request_id=told.request_id,
            client=network_around(told.address),
            **({} if told.subject is None else {"subject": told.subject}),
        )


def _allow(key: Key, operation: Operation, told: _Told) -> None:
    """Raises Forbidden: the key's role is not enough."""
    if operation.method != "GET":
        told.by, told.operation = key.name, operation.name
        told.subject = key.subject or None
    key.check_role(operation.role)


def _named(request: Request, key: Key, raw: bytes) -> NamedCall | None:
    """The call as its idempotency key names it; None = it has none. Raises InvalidRequest."""
    idem = request.headers.get("idempotency-key")
    if idem is None or key.id is None:
        return None
    if not _IDEM.fullmatch(idem):
        raise InvalidRequest(
            "Idempotency-Key: is 1 to 255 visible ASCII characters, such as a UUID.",
            param="Idempotency-Key",
        )
    where = f"{request.method} {request.scope['path']}?{request.url.query}"
    return NamedCall(key.id, idem, where, hashlib.sha256(raw).digest())
