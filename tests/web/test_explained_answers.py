"""POST /v1/rerank/explain: a rerank to the last bit, and how each score came about."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from rerankd.dialects.base import Dialect
from rerankd.dialects.explain import NOT_HERE, UNSCORED
from rerankd.gateway import transport
from rerankd.models.lexical import LexicalModel
from rerankd.models.load import Loaded, Spec
from rerankd.store.rows import UsageRow
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state, plan_of
from tests.checkpoints import bert, bi_encoder, colbert, decoder, listwise
from tests.kit.providers import CALLABLE, ROWS, Connections, Fake, Row
from tests.kit.providers import KEY as PROVIDER_KEY
from tests.kit.support import BytesModel, body, running, settings
from tests.web.test_ledger import GOOD, journalled, stored

PATH = "/v1/rerank/explain"
QUERY = "rivers and bridges"
LONG: str = " ".join(
    f"Sentence {i} tells of rivers, señor, and of bridges \U0001f600." for i in range(60)
)
TEXTS: list[str] = [
    "Rivers flow under bridges.",
    LONG,
    "  \n",
    "東京タワー",
    "Rivers flow under bridges.",
    "",
]
ADDED = {"logit", "chunks", "cut_at", "parts", "matches"}
PARTIAL = {
    "rerankd-lexical": "bm25",
    "rerankd-mini": "minilm.maxsim",
    "colbert": "maxsim",
}
CHUNKED = {"bert", "xlmr", "decoder", "colbert", "e5"}  # whose windows LONG does not fit


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": bert.write(root / "bert", bert.TINY_BERT),
        "xlmr": bert.write(root / "xlmr", bert.TINY_XLMR),
        "decoder": decoder.write(root / "decoder", decoder.TINY_QWEN3),
        "colbert": colbert.write(root / "colbert", colbert.PYLATE),
        "e5": bi_encoder.write(root / "e5", bi_encoder.E5),
        "lists": listwise.write(root / "lists", listwise.TINY),
    }


@pytest.fixture
async def client(folders: dict[str, Path]) -> AsyncGenerator[httpx2.AsyncClient]:
    """Of every kind of model."""
    models = ["rerankd-lexical", "rerankd-mini", *(str(folder) for folder in folders.values())]
    options = {"e5": {"score": "cosine"}, "decoder": {"window_tokens": 300}}
    made = settings(models=models, model=options)
    state = make_state(made)
    app: Any = create_app(state, plan_of(made))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as found,
    ):
        await state.backend.load()
        yield found


async def both(client: httpx2.AsyncClient, sent: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answers of rerank and of explain, when both remember the same."""
    await client.post("/v1/rerank", json=sent)
    plain = await client.post("/v1/rerank", json=sent)
    told = await client.post(PATH, json=sent)
    assert (plain.status_code, told.status_code) == (200, 200), told.text
    return plain.json(), told.json()


def same(plain: dict[str, Any], told: dict[str, Any], documents: list[str]) -> None:
    """Whether it is the same answer, with places that lie in the documents."""
    for name in ("object", "model", "usage", "meta"):
        assert told[name] == plain[name]
    bare = [{k: v for k, v in each.items() if k not in ADDED} for each in told["results"]]
    assert bare == plain["results"]
    for each in told["results"]:
        assert each.keys() >= ADDED
        text: str = documents[int(each["index"])]
        (won,) = [chunk for chunk in each["chunks"] if chunk["won"]]
        assert won["logit"] == max(chunk["logit"] for chunk in each["chunks"])
        spans = [(chunk["start"], chunk["end"]) for chunk in each["chunks"]]
        assert spans == sorted(spans)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert not text[: spans[0][0]].strip()
        assert each["cut_at"] is not None or not text[spans[-1][1] :].strip()
        assert len(each["matches"]) <= 50
        for match in each["matches"]:
            for (start, end), whole in ((match["query"], QUERY), (match["document"], text)):
                assert 0 <= start < end <= len(whole)


async def test_every_kind_of_model_is_explained_with_the_scores_of_a_rerank(
    client: httpx2.AsyncClient, folders: dict[str, Path]
) -> None:
    for model in ("rerankd-lexical", "rerankd-mini", *folders):
        plain, told = await both(client, body(QUERY, TEXTS, model=model))
        same(plain, told, TEXTS)
        assert told["warnings"] == plain["meta"].get("warnings", [])
        assert set(told["timings"]) == {
            *("media_ms", "prepare_ms", "queue_ms", "engine_ms", "total_ms")
        }
        by_index = {each["index"]: each for each in told["results"]}
        assert all(each["logit"] == _won(each)["logit"] for each in told["results"])
        assert (len(by_index[1]["chunks"]) > 1) == (model in CHUNKED), model
        assert set(by_index[0]["parts"]) >= {PARTIAL[model]} if model in PARTIAL else True
        kinds = {match["kind"] for match in by_index[0]["matches"]}
        assert kinds <= {"word", "meaning"}
        assert ("word" in kinds) == model.startswith("rerankd-")
        if model != "lists":  # where equal texts have different scores
            first, second = by_index[0], by_index[4]
            assert {**first, "index": 4} == second
        tokens = [c["tokens"] for each in told["results"] for c in each["chunks"]]
        assert (set(tokens) == {None}) == (model == "lists")
        if model != "lists":
            assert sum(tokens) == told["usage"]["total_tokens"]


async def test_a_cut_document_says_where_and_options_count_as_in_a_rerank(
    client: httpx2.AsyncClient, folders: dict[str, Path]
) -> None:
    options = {"max_tokens_per_doc": 20, "top_n": 2, "raw_scores": True, "return_documents": False}
    for model in ("rerankd-lexical", "rerankd-mini", *folders):
        plain, told = await both(client, body(QUERY, [LONG, "Rivers"], model=model, **options))
        same(plain, told, [LONG, "Rivers"])
        (long,) = [each for each in told["results"] if each["index"] == 0]
        assert long["truncated"] is True
        if model != "lists":
            assert 0 < long["cut_at"] < 200, model
            assert long["cut_at"] == max(chunk["end"] for chunk in long["chunks"])
        assert "document" not in long


def _won(result: dict[str, Any]) -> dict[str, Any]:
    return next(chunk for chunk in result["chunks"] if chunk["won"])


async def test_fifty_one_documents_are_refused_by_name_before_any_work() -> None:
    async with running() as (client, _):
        answer = await client.post(PATH, json=body("q", ["a"] * 51))
        assert (await client.post(PATH, json=body("q", ["a"] * 50))).status_code == 200
        wrong = await client.post(PATH, json={"query": "q"})
        missing = await client.post(PATH, json=body(model="no-such-model"))
    assert answer.status_code == 400
    error = answer.json()
    assert error["message"].startswith("documents: 51 were sent; 50 can be explained at once.")
    assert error["error"]["param"] == "documents"
    assert wrong.json().keys() == missing.json().keys() == error.keys()  # the superset's form
    assert missing.json()["code"] == 20012


async def test_it_is_charged_and_kept_as_a_rerank(store_url: str, tmp_path: Path) -> None:
    values = stored(store_url, tmp_path)
    price = {"model": "fake-model", "per_1m_input_tokens": "0.01"}
    async with running(values | {"price": [price]}) as (client, state):
        for path in ("/v1/rerank", PATH):
            answer = await client.post(path, json=body("q", ["a", "bbb"]), headers=GOOD)
            assert answer.status_code == 200, answer.text
        plain, told = [msgspec.structs.asdict(row) for row in journalled(state)]
    assert (plain["dialect"], told["dialect"]) == ("superset", "explain")
    assert (plain["path"], told["path"]) == ("/v1/rerank", PATH)
    own = {"entry", "request_id", "at_us", "done_us", "dialect", "path"}
    timed = {name for name in UsageRow.__struct_fields__ if name.endswith("_us")}
    kept = plain.keys() - own - timed
    assert {"charge_nano", "input_tokens", "documents", "searches", "status"} <= kept
    assert {name: plain[name] for name in kept} == {name: told[name] for name in kept}
    assert told["charge_nano"] == 80


async def test_it_counts_in_the_limits_of_a_key() -> None:
    key = {"name": "k", "key": "a-key-of-the-tests", "rpm": 1}
    async with running({"keys": [key]}) as (client, _):
        assert (await client.post(PATH, json=body())).status_code == 401
        assert (await client.post(PATH, json=body(), headers=GOOD)).status_code == 200
        for path in (PATH, "/v1/rerank"):
            assert (await client.post(path, json=body(), headers=GOOD)).status_code == 429


async def test_with_stages_each_document_is_explained_by_who_scored_it(tmp_path: Path) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    made = settings(
        models=[str(folder)],
        aliases={"fast": "big"},
        model={"fast": {"stages": ["rerankd-lexical:2", "big"]}},
    )

    def load(spec: Spec) -> Loaded:
        model = LexicalModel() if spec.name == "rerankd-lexical" else BytesModel(spec.name)
        return Loaded(model=model, warnings=())

    state = make_state(made, load=load)
    app: Any = create_app(state, plan_of(made))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    texts = ["a red apple", "no match", "an apple", "nothing"]
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await state.backend.load()
        plain, told = await both(client, body("apple", texts, model="fast"))
    assert told["results"] != plain["results"]
    bare = [{k: v for k, v in each.items() if k not in ADDED} for each in told["results"]]
    assert bare == plain["results"]
    assert told["usage"] == plain["usage"]
    best, rest = told["results"][:2], told["results"][2:]
    assert [each["parts"] for each in best] == [{}, {}]
    assert all(each["stage"] == "rerankd-lexical" and each["parts"] for each in rest)
    assert all(_won(each)["end"] == len(texts[int(each["index"])]) for each in told["results"])


def dialect_of(name: str) -> Dialect:
    return next(each for each in CALLABLE if each.name == name)


def failing(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


async def test_a_routed_name_is_explained_when_it_is_answered_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there, dead = Fake(dialect_of("jina")), Fake(dialect_of("jina"), failing("connection refused"))
    monkeypatch.setattr(transport, "dial", Connections({20_000: there, 20_001: dead}).dial)
    monkeypatch.setenv("UPSTREAM_KEY", PROVIDER_KEY)
    upstream = {"dialect": "jina", "key_env": "UPSTREAM_KEY"}
    values = {
        "upstream": {
            "acme": {**upstream, "url": "http://127.0.0.1:20000"},
            "dead": {**upstream, "url": "http://127.0.0.1:20001"},
        },
        "route": {
            "here": {"to": [{"model": "fake-model"}]},
            "there": {"to": [{"upstream": "acme", "name": "theirs"}]},
            "nobody": {"to": [{"upstream": "dead", "name": "x"}], "when_all_fail": "input-order"},
        },
    }
    async with running(values) as (client, _):
        here, away, nobody = [
            (await client.post(PATH, json=body(QUERY, ["a", "bb"], model=name))).json()
            for name in ("here", "there", "nobody")
        ]
        plain = (
            await client.post("/v1/rerank", json=body(QUERY, ["a", "bb"], model="there"))
        ).json()
    for told, said in ((away, NOT_HERE), (nobody, UNSCORED)):
        assert told["warnings"][-1] == said
        assert all(
            (each["chunks"], each["parts"], each["matches"]) == ([], {}, [])
            for each in told["results"]
        )
    bare = [{k: v for k, v in each.items() if k not in ADDED} for each in away["results"]]
    assert (bare, away["meta"], away["usage"]) == (plain["results"], plain["meta"], plain["usage"])
    assert here["meta"]["route"]["route"] == "here"
    assert [len(each["chunks"]) for each in here["results"]] == [1, 1]
    assert here["warnings"] == []
