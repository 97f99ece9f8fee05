"""Events for the operator, POSTed to a URL of his and signed in the form of Standard Webhooks.

    webhook-signature: v1,base64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY"))

The address is checked when it is connected to, as an upstream's. What cannot be delivered is tried
again some times, then logged; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from rerankd.core.errors import StartError
from rerankd.gateway.address import Guard, Origin, origin_of
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.transport import Kept, Sent, Transport
from rerankd.media.gate import SystemResolver
from rerankd.settings.schema_accounts import AlertSettings
from rerankd.telemetry.logs import log_failed_task, log_refusal

_WAITING: Final = 100  # events; more are dropped
_WAITS_S: Final = (1.0, 5.0, 25.0)  # before it is tried again
_ANSWER_S: Final = 10.0
_CONNECT_S: Final = 3.0
_ANSWER_BYTES: Final = 65_536
_KEY_BYTES: Final = 24  # of a secret, at least, as the form has it
_PREFIX: Final = "whsec_"


class WebhookEvent(msgspec.Struct, frozen=True):
    """What happened; the id is the same whenever it is sent again."""

    id: str
    type: str
    timestamp: str  # ISO 8601
    data: Mapping[str, object]


class Webhook:
    """Sends events to one URL, one after the other, in the background."""

    def __init__(
        self,
        transport: Transport,
        path: str,
        secret: bytes,
        *,
        resolver: SystemResolver | None = None,
        waits_s: tuple[float, ...] = _WAITS_S,
    ) -> None:
        """Nothing is sent before `start`; transport and resolver are closed with it."""
        self._transport = transport
        self._path = path
        self._secret = secret
        self._waits_s = waits_s
        self._waiting: asyncio.Queue[WebhookEvent] = asyncio.Queue(_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._resolver = resolver

    def start(self) -> None:
        """Send what comes, from here on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="webhook")

    def send(self, event: WebhookEvent) -> None:
        """Send it soon; returns at once."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            log_refusal("event dropped", "The webhook is too slow.", id=event.id, type=event.type)

    async def close(self) -> None:
        """End; what waits is logged."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        while not self._waiting.empty():
            event = self._waiting.get_nowait()
            log_refusal("event dropped", "The server ends.", id=event.id, type=event.type)
        await self._transport.close()
        if self._resolver is not None:
            self._resolver.close()

    async def _run(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._deliver(event)
            except Exception as error:  # noqa: BLE001 - the next event has its own chance
                log_failed_task("webhook", error)

    async def _deliver(self, event: WebhookEvent) -> None:
        said = ""
        for wait_s in (0.0, *self._waits_s):
            await asyncio.sleep(wait_s)
            try:
                sent = signed(event, self._path, self._secret, int(time.time()))
                answer = await self._transport.send(sent, timeout_s=_ANSWER_S)
            except AttemptFailed as failed:
                said = failed.outcome
                continue
            if 200 <= answer.status < 300:
                return
            said = f"status {answer.status}"
        log_refusal("event not delivered", said, id=event.id, type=event.type)


def signed(event: WebhookEvent, path: str, secret: bytes, now_s: int) -> Sent:
    """The request for an event."""
    body = msgspec.json.encode(
        {"type": event.type, "timestamp": event.timestamp, "data": event.data}
    )
    mac = hmac.new(secret, f"{event.id}.{now_s}.".encode() + body, hashlib.sha256)
    return Sent(
        target=path,
        headers={
            "content-type": "application/json",
            "user-agent": "rerankd",
            "webhook-id": event.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": f"v1,{base64.b64encode(mac.digest()).decode()}",
        },
        body=body,
    )


def webhook_of(settings: AlertSettings, env: Mapping[str, str]) -> Webhook | None:
    """The webhook that the settings name; None = they name none.

    Raises:
        StartError: it cannot be used as asked; names the setting.
    """
    if settings.url is None:
        return None
    try:
        origin = origin_of(settings.url)
        guard = Guard(origin, settings.allow)
    except StartError as error:
        raise StartError(f"alerts.url: {error}") from None
    if origin.scheme == "http" and not origin.is_loopback:
        raise StartError("alerts.url: http:// to another machine can be read on the way.")
    resolver = SystemResolver()
    kept = Kept(origin, guard, resolver, connect_s=_CONNECT_S, answer_bytes=_ANSWER_BYTES)
    secret = secret_of(settings.secret_env, env)
    return Webhook(kept, _path(origin), secret, resolver=resolver)


def secret_of(name: str | None, env: Mapping[str, str]) -> bytes:
    """The key of the signature: `whsec_` and base64. Raises StartError."""
    written = env.get(name or "", "").removeprefix(_PREFIX)
    try:
        found = base64.b64decode(written, validate=True)
    except binascii.Error:
        found = b""
    if len(found) < _KEY_BYTES:
        raise StartError(
            f"alerts.secret_env: the variable {name or '(unset)'} must hold whsec_ and "
            f"{_KEY_BYTES} random bytes or more in base64: echo whsec_$(openssl rand -base64 32)"
        )
    return found


def _path(origin: Origin) -> str:
    return quote(origin.base, safe="/%") or "/"
