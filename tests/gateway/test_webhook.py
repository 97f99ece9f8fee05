"""Events reach the operator's URL signed, in order, again when they must; and nobody waits."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from rerankd.core.errors import StartError
from rerankd.gateway.transport import Sent
from rerankd.gateway.webhook import Webhook, WebhookEvent, secret_of, signed, webhook_of
from rerankd.settings.schema_accounts import AlertSettings
from tests.kit.gateway import Told, answer

SECRET = bytes(range(32))
ENV = {"SECRET": f"whsec_{base64.b64encode(SECRET).decode()}"}


def event(number: int = 1) -> WebhookEvent:
    return WebhookEvent(f"msg_{number}", "budget.spent", "2026-12-01T00:00:00Z", {"percent": 80})


def checked(sent: Sent) -> Any:
    """The body, if the signature is right."""
    headers = sent.headers
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sent.body
    mac = base64.b64encode(hmac.new(SECRET, said, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    return json.loads(sent.body)


def test_the_signature_is_that_of_the_specification() -> None:
    # the example of github.com/standard-webhooks: secret, id, timestamp and signature
    secret = secret_of("S", {"S": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    body = b'{"test": 2432232314}'
    said = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body
    mac = base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode()
    assert mac == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert checked(signed(event(), "/x", SECRET, 5))["data"] == {"percent": 80}


async def told(transport: Told, *events: WebhookEvent) -> list[dict[str, Any]]:
    """Send events; the log."""
    webhook = Webhook(transport, "/hook", SECRET, waits_s=(0.0, 0.0))
    with capture_logs() as logs:
        webhook.start()
        for each in events:
            webhook.send(each)
        for _ in range(2000):
            await asyncio.sleep(0)
        await webhook.close()
    assert transport.is_closed
    return [dict(log) for log in logs]


async def test_events_are_sent_in_order_until_they_are_taken() -> None:
    transport = Told("unreachable", answer(503, {}), answer(204, {}))
    assert await told(transport, event(1), event(2)) == []
    assert [sent.headers["webhook-id"] for sent in transport.sent] == ["msg_1"] * 3 + ["msg_2"]
    assert {sent.target for sent in transport.sent} == {"/hook"}
    for sent in transport.sent:
        checked(sent)


async def test_one_that_nobody_takes_is_logged_and_the_next_has_its_chance() -> None:
    transport = Told(*[answer(500, {})] * 3, answer(200, {}))
    (log,) = await told(transport, event(1), event(2))
    assert (log["id"], log["type"]) == ("msg_1", "budget.spent")
    assert len(transport.sent) == 4


async def test_too_many_events_are_dropped_not_kept() -> None:
    logs = await told(Told(3600.0), *(event(n) for n in range(150)))
    assert len([log for log in logs if log["id"] in {f"msg_{n}" for n in range(150)}]) >= 149


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "ftp://x"}, r"alerts\.url: is no http"),
        ({"url": "http://example.org/x"}, r"alerts\.url: http:// to another machine"),
        ({"url": "https://a:b@x"}, r"alerts\.url: has a user"),
        ({"url": "https://x", "allow": ["("]}, r"alerts\.url: '\('"),
        ({"url": "https://x", "secret_env": None}, r"alerts\.secret_env: .*\(unset\)"),
        ({"url": "https://x", "secret_env": "SHORT"}, r"alerts\.secret_env: the variable SHORT"),
        ({"url": "https://x", "secret_env": "BAD"}, r"alerts\.secret_env"),
    ],
)
def test_what_cannot_be_used_names_the_setting(values: dict[str, Any], said: str) -> None:
    env = ENV | {"SHORT": "whsec_" + base64.b64encode(b"x" * 23).decode(), "BAD": "whsec_%%"}
    with pytest.raises(StartError, match=said):
        webhook_of(msgspec.convert({"secret_env": "SECRET"} | values, AlertSettings), env)


def test_without_a_url_there_is_none() -> None:
    assert webhook_of(AlertSettings(), {}) is None
