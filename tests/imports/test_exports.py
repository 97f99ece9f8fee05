"""What new-api and LiteLLM export, and our own form, read as keys."""

from __future__ import annotations

import hashlib
import json

import pytest

from rerankd.access.fields import KeyFields
from rerankd.access.keys import digest
from rerankd.core.errors import StartError
from rerankd.imports import hashes, litellm, new_api
from rerankd.imports.keys import Found
from rerankd.imports.rows import Row, rows

KEY = "aB3" * 16  # 48 characters, as new-api makes them
HASH = hashlib.sha256(b"sk-litellm-1234567890").hexdigest()
# As its table has them (model/token.go), without what means nothing here.
TOKEN: Row = {
    "id": 7,
    "user_id": 3,
    "key": KEY,
    "status": 1,
    "name": "rag",
    "created_time": 1700000000,
    "expired_time": -1,
    "remain_quota": 250000,
    "unlimited_quota": False,
    "model_limits_enabled": True,
    "model_limits": "bge-reranker-v2-m3,jina-reranker-v2",
    "allow_ips": "10.0.0.0/8\n192.0.2.1,",
    "used_quota": 12,
    "group": "vip",
}
# As `GET /key/list?return_full_object=true` answers.
VIRTUAL: Row = {
    "token": HASH,
    "key_name": "sk-...7890",
    "key_alias": "search",
    "spend": 0.25,
    "expires": "2027-01-31T12:00:00Z",
    "models": ["rerank-*"],
    "team_id": "team-1",
    "user_id": "u1",
    "max_parallel_requests": 4,
    "tpm_limit": 1000,
    "rpm_limit": 10,
    "max_budget": 12.5,
    "budget_duration": "30d",
    "metadata": {},
    "blocked": None,
    "aliases": {"a": "b"},
    "permissions": {},
}


def test_a_token_of_new_api() -> None:
    found = new_api.found_in(TOKEN)
    assert found == Found(
        label="rag",
        fields=KeyFields(
            name="rag",
            models=["bge-reranker-v2-m3", "jina-reranker-v2"],
            networks=["10.0.0.0/8", "192.0.2.1"],
            tags=["user:3"],
        ),
        digests=(digest(f"sk-{KEY}"), digest(KEY)),
        budget="0.5 USD/total",
        lost=(
            "group: its group, which chose prices and channels there",
            "used_quota: what it used before",
        ),
    )
    assert KEY not in repr(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": 2}, "is disabled there"),
        ({"status": 4}, "has used up its quota there"),
        ({"key": "aB3a**********B3aB"}, "is masked"),
        ({"key": None}, "no column key"),
        ({"deleted_at": "2026-01-01"}, "is deleted there"),
        ({"model_limits": ""}, "may use no model there"),
    ],
)
def test_a_token_that_is_not_good_there_is_not_taken_over(change: Row, says: str) -> None:
    found = new_api.found_in(TOKEN | change)
    assert found.fields is None
    assert says in found.refused


def test_a_token_without_limits_has_none_here() -> None:
    bare = {
        "key": f"sk-{KEY}",
        "name": "",
        "id": 9,
        "unlimited_quota": 1,
        "expired_time": 1800000000,
    }
    found = new_api.found_in(bare)
    assert found.fields == KeyFields(name="token 9", expires_us=1_800_000_000_000_000)
    assert (found.budget, found.lost) == ("", ())
    assert found.digests == (digest(f"sk-{KEY}"), digest(KEY))


def test_a_key_of_litellm() -> None:
    assert litellm.found_in(VIRTUAL) == Found(
        label="search",
        fields=KeyFields(
            name="search",
            models=["rerank-*"],
            team="team-1",
            rpm=10,
            tpm=1000,
            in_flight=4,
            expires_us=1_801_396_800_000_000,
            tags=["user:u1"],
        ),
        digests=(bytes.fromhex(HASH),),
        budget="12.5 USD/month",
        lost=("aliases: names of models of its own", "budget_duration 30d: a calendar month here"),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": "sk-litellm-1234567890"}, "not 64 hexadecimal digits"),
        ({"blocked": True}, "is blocked there"),
        ({"models": ["no-default-models"]}, "may use no model there"),
        ({"expires": "soon"}, "expires is no time"),
    ],
)
def test_a_key_that_litellm_refuses_is_not_taken_over(change: Row, says: str) -> None:
    found = litellm.found_in(VIRTUAL | change)
    assert found.fields is None
    assert says in found.refused


@pytest.mark.parametrize(
    ("duration", "budget"),
    [
        ("1d", "12.5 USD/day"),
        ("24h", "12.5 USD/day"),
        ("1h", "12.5 USD/hour"),
        ("1mo", "12.5 USD/month"),
        ("7d", ""),
        (None, "12.25 USD/total"),
    ],
)
def test_a_budget_of_litellm(duration: str | None, budget: str) -> None:
    found = litellm.found_in(VIRTUAL | {"budget_duration": duration})
    assert found.budget == budget
    assert any("budget_duration" in lost for lost in found.lost) == (duration == "7d")


def test_a_list_of_hashes_is_enough() -> None:
    [found] = [litellm.found_in(row) for row in rows(json.dumps({"keys": [HASH]}), "x")]
    assert found.fields == KeyFields(name=f"litellm-{HASH[:8]}")


def test_our_own_form_takes_what_a_key_has() -> None:
    lines = ("name,sha256,models,rpm,expires", f"a,{HASH},x y|z,5,2027-01-31T12:00:00Z")
    text = "\n".join((*lines, f"b,{HASH.upper()},,,"))
    first, second = [hashes.found_in(row) for row in rows(text, "x")]
    assert first.fields == KeyFields(
        name="a", models=["x y|z"], rpm=5, expires_us=1_801_396_800_000_000
    )
    assert second.fields == KeyFields(name="b")
    assert second.digests == (bytes.fromhex(HASH),)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"name": "a", "sha256": "x"}, "not 64 hexadecimal digits"),
        ({"name": "a", "sha256": HASH, "rpn": 5}, "rpn: no such column"),
        ({"name": "a", "sha256": HASH, "rpm": "many"}, "rpm is no whole number"),
        ({"name": "a", "sha256": HASH, "expires": "soon"}, "expires is no time"),
    ],
)
def test_a_slip_in_our_own_form_is_refused(row: Row, says: str) -> None:
    assert says in hashes.found_in(row).refused


@pytest.mark.parametrize(
    "text",
    [
        '[{"token": "a"}, {"token": "b"}]',
        '{"token": "a"}\n{"token": "b"}\n',
        '{"keys": [{"token": "a"}, {"token": "b"}], "total_count": 2}',
        '{"success": true, "data": {"page": 1, "items": [{"token": "a"}, {"token": "b"}]}}',
        "\ufefftoken\na\nb\n",
        '["a", "b"]',
    ],
)
def test_rows_come_in_every_form(text: str) -> None:
    assert rows(text, "x") == [{"token": "a"}, {"token": "b"}]


@pytest.mark.parametrize("text", ["", "  ", "{", "[1", "a,b\n1,2,3\n", '{"a": 1}\nx'])
def test_what_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(StartError, match=r"^x "):
        rows(text, "x")


def test_lists_of_a_table_of_postgresql() -> None:
    row = VIRTUAL | {"models": '{a,"b c"}', "blocked": "f", "budget_duration": ""}
    found = litellm.found_in(row)
    assert found.fields is not None
    assert found.fields.models == ["a", "b c"]
