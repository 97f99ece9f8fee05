"""A wrong base URL: the body stays a 404, a header and the log say what may have been meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from rerankd.core.errors import StartError
from rerankd.web.client import network_of, networks
from tests.kit.support import body, running


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/v1/v1/rerank", "/v1/rerank"),
        ("/v1/rerank/rerank", "/v1/rerank"),
        ("/rerank/rerank", "/rerank"),
        ("/v2/v2/rerank", "/v2/rerank"),
        ("/v1/rerank/v1/ranking", "/v1/ranking"),
        ("/api/v1/rerank", "/v1/rerank"),
        ("/cohere/v1/v2/rerank", "/cohere/v2/rerank"),
        ("/v1", "/v1/rerank"),
        ("/", "/rerank"),
        ("/v1/completions", None),
        ("/nothing/at/all", None),
        ("/v1/" * 40 + "rerank", None),
    ],
)
async def test_the_path_that_was_meant(path: str, right: str | None) -> None:
    async with running() as (client, _):
        answer = await client.post(path, json=body())
        metrics = (await client.get("/metrics")).text
    assert answer.status_code in (404, 405)
    assert answer.headers.get("x-rerankd-hint") == (f"POST {right}" if right else None)
    if answer.status_code == 404 and not path.startswith("/cohere"):
        assert answer.text == "404 page not found"
    assert f'rerankd_unrouted_total{{status="{answer.status_code}"}} 1.0' in metrics


async def test_a_wrong_method_is_logged_with_the_right_one() -> None:
    with structlog.testing.capture_logs() as logged:
        async with running() as (client, _):
            answer = await client.get("/v1/rerank", headers={"user-agent": "curl/8"})
    assert answer.headers["x-rerankd-hint"] == "POST /v1/rerank"
    (event,) = [each for each in logged if each["event"] == "not served"]
    assert (event["status"], event["method"], event["path"]) == (405, "GET", "/v1/rerank")
    assert (event["hint"], event["agent"]) == ("/v1/rerank", "curl/8")


async def test_the_log_says_path_names_network_and_client_but_no_text_and_no_key() -> None:
    keys = {"keys": [{"name": "team", "key": "sk-secret-of-the-team"}]}
    with structlog.testing.capture_logs() as logged:
        async with running(keys, aliases={"asked": "fake-model"}) as (client, _):
            await client.post(
                "/v1/rerank",
                json=body("the query text", ["the document text"], model="asked"),
                headers={"authorization": "Bearer sk-secret-of-the-team", "user-agent": "a" * 999},
            )
    (event,) = [each for each in logged if each["event"] == "rerank"]
    assert (event["path"], event["asked"], event["model"]) == ("/v1/rerank", "asked", "fake-model")
    assert (event["client"], event["key"], event["status"]) == ("127.0.0.0/24", "team", 200)
    assert event["agent"] == "a" * 200
    assert "text" not in str(event)
    assert "sk-secret" not in str(event)


def scope(client: str | None, *forwarded: str) -> dict[str, Any]:
    return {
        "type": "http",
        "client": (client, 1) if client else None,
        "headers": [(b"x-forwarded-for", each.encode()) for each in forwarded],
    }


@pytest.mark.parametrize(
    ("client", "forwarded", "trusted", "network"),
    [
        ("203.0.113.9", [], [], "203.0.113.0/24"),
        ("2001:db8:1:2::9", [], [], "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", [], [], "203.0.113.0/24"),
        (None, [], [], ""),
        ("10.0.0.1", ["198.51.100.7"], [], "10.0.0.0/24"),
        ("10.0.0.1", ["198.51.100.7"], ["10.0.0.0/8"], "198.51.100.0/24"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.7"], ["10.0.0.0/8"], "198.51.100.0/24"),
        ("10.0.0.1", ["198.51.100.7", "10.0.0.2"], ["10.0.0.0/8"], "198.51.100.0/24"),
        ("10.0.0.1", ["unknown"], ["10.0.0.0/8"], "10.0.0.0/24"),
        ("203.0.113.9", ["198.51.100.7"], ["10.0.0.0/8"], "203.0.113.0/24"),
    ],
)
def test_only_trusted_proxies_are_believed(
    client: str | None, forwarded: Sequence[str], trusted: Sequence[str], network: str
) -> None:
    assert network_of(scope(client, *forwarded), networks(trusted)) == network


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(StartError, match=r"server\.trusted_proxies: 'proxy' is not an address"):
        networks(["proxy"])


async def test_a_403_and_a_429_say_why_and_what_is_final_says_so() -> None:
    keys = {
        "keys": [
            {"name": "one", "key": "sk-one", "models": ["other"]},
            {"name": "rpm", "key": "sk-rpm", "rpm": 1},
            {"name": "tpm", "key": "sk-tpm", "tpm": 1},
        ],
        "limits": {"body_bytes": 100},
    }

    async with running(keys) as (client, state):
        state.rates._clock = lambda: 0.0  # pyright: ignore[reportPrivateUsage]

        async def ask(key: str, *documents: str) -> Any:
            headers = {"authorization": f"Bearer {key}"}
            return await client.post("/v1/rerank", json=body("q", documents), headers=headers)

        assert (await ask("sk-one", "a")).headers["x-rerankd-reason"] == "model_not_allowed"
        for key, reason in (("sk-rpm", "rpm"), ("sk-tpm", "tpm")):
            await ask(key, "a")
            refused = await ask(key, "a")
            assert (refused.status_code, refused.headers["x-rerankd-reason"]) == (429, reason)
            assert "x-should-retry" not in refused.headers
        large = await ask("sk-one", "a" * 200)
        assert (large.status_code, large.headers["x-should-retry"]) == (413, "false")


async def test_browsers_may_read_our_headers_and_ask_from_public_pages() -> None:
    origin = {"origin": "https://app.example"}
    async with running({"server": {"cors_origins": ["https://app.example"]}}) as (client, _):
        answer = await client.post("/v1/rerank", json=body(), headers=origin)
        preflight = await client.options(
            "/v1/rerank",
            headers={
                **origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization, content-type",
                "access-control-request-private-network": "true",
            },
        )
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed >= {
        "x-request-id",
        "x-siliconcloud-trace-id",
        "retry-after",
        "x-should-retry",
        "x-rerankd-hint",
        "x-rerankd-reason",
        "x-rerankd-warnings",
        "x-rerankd-route",
        "x-rerankd-space",
    }
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-private-network"] == "true"
