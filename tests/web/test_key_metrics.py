"""Metrics by key: exact for the busiest, one series for the rest."""

from __future__ import annotations

from rerankd.telemetry.key_counts import KEYS_SHOWN, KeyCounts
from tests.kit.support import body, running


def series(counts: KeyCounts) -> dict[str, dict[str, float]]:
    return {
        family.name: {sample.labels["key"]: sample.value for sample in family.samples}
        for family in counts.collect()
    }


def test_the_busiest_have_a_series_each_and_the_others_share_one() -> None:
    counts = KeyCounts()
    for number in range(KEYS_SHOWN + 50):
        for _ in range(number + 1):
            counts.add(f"key-{number}", 10)
    shown = series(counts)["rerankd_key_requests"]
    assert len(shown) == KEYS_SHOWN + 1
    assert shown[f"key-{KEYS_SHOWN + 49}"] == KEYS_SHOWN + 50
    assert "key-49" not in shown
    assert shown["other"] == sum(range(1, 51))
    tokens = series(counts)["rerankd_key_input_tokens"]
    assert tokens["other"] == 10 * sum(range(1, 51))


def test_a_key_of_the_name_other_loses_nothing() -> None:
    counts = KeyCounts()
    for _ in range(1000):
        counts.add("other", 1)
    for number in range(KEYS_SHOWN + 9):
        counts.add(f"key-{number}", 1)
    shown = series(counts)["rerankd_key_requests"]
    assert sum(shown.values()) == 1000 + KEYS_SHOWN + 9
    assert shown["other"] == 1000 + 10


async def test_requests_and_tokens_are_counted_by_the_name_of_the_key_never_by_the_key() -> None:
    keys = {"keys": [{"name": "team", "key": "sk-secret-of-the-team", "rpm": 2}]}
    async with running(keys) as (client, state):
        state.rates._clock = lambda: 0.0  # pyright: ignore[reportPrivateUsage]
        headers = {"authorization": "Bearer sk-secret-of-the-team"}
        for _ in range(3):
            await client.post("/v1/rerank", json=body(), headers=headers)
        await client.post("/v1/rerank", json=body(), headers={"authorization": "Bearer wrong"})
        metrics = (await client.get("/metrics")).text
    assert 'rerankd_key_requests_total{key="team"} 3.0' in metrics
    assert 'rerankd_key_input_tokens_total{key="team"} 14.0' in metrics
    assert "sk-secret" not in metrics
    assert 'rerankd_key_requests_total{key=""}' not in metrics
