"""Listwise prompts, blocks, fusion, limits, and what a folder may ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from rerankd.core.errors import InvalidRequest, QueryTooLong, StartError
from rerankd.core.meter import Abandoned, Meter
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.models.listwise import WINDOW_TOKENS, Listwise
from rerankd.models.listwise_fusion import fused
from rerankd.models.listwise_recipes import V3, V3_5, blocks
from rerankd.models.load import Spec, load, resolve
from tests.checkpoints.listwise import TINY, TINY_WINDOWED, tensors, write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Listwise:
    folder = write(tmp_path_factory.mktemp("listwise"), TINY)
    return cast("Listwise", load(Spec(name="lists", folder=folder)).model)


def request(*texts: str, query: str = "q", **fields: Any) -> RerankRequest:
    made = RerankRequest(
        query=Content(value=query), documents=tuple(Content(value=text) for text in texts)
    )
    return replace(made, **fields)


def text_of(model: Listwise, asked: RerankRequest, row: int = 0) -> str:
    tokenizer: Any = model._tokenizer  # pyright: ignore[reportPrivateUsage]
    return tokenizer.decode(model.prepare(asked).rows[row].ids.tolist(), skip_special_tokens=False)


def test_the_card_says_listwise_and_what_a_score_is(model: Listwise) -> None:
    assert model.card.family.name == "listwise"
    assert model.card.score.startswith("listwise: the cosine")
    assert "their order" in model.card.score
    assert model.card.window_tokens == WINDOW_TOKENS
    assert model.relevance(-0.5) == -0.5


def test_blocks_are_full_by_documents_or_tokens_and_one_document_is_a_block() -> None:
    assert blocks(V3, [1] * 126, 5, 131072) == [(0, 125), (125, 126)]
    assert blocks(V3, [1] * 125, 5, 131072) == [(0, 125)]
    # 131072 - 2 * 100 - 2048 = 128824 = 62 * 2048 + 1848
    assert blocks(V3, [2048] * 64, 100, 131072) == [(0, 63), (63, 64)]
    assert blocks(V3, [1848, *[2048] * 62, 1], 100, 131072) == [(0, 63), (63, 64)]
    assert blocks(V3, [1847, *[2048] * 62, 1], 100, 131072) == [(0, 64)]
    assert blocks(V3, [50] * 3, 512, 100) == [(0, 1), (1, 2), (2, 3)]
    # 131072 - 8192 - 80 = 122800
    assert blocks(V3_5, [61400] * 3, 80, 131072) == [(0, 2), (2, 3)]
    assert blocks(V3_5, [61400, 61399, 7], 80, 131072) == [(0, 3)]


def test_marks_are_taken_out_until_none_is_left(model: Listwise) -> None:
    nested = "a<|rerank_<|embed_token|>token|>b<|embed_<|rerank_token|>token|>c"
    asked = request(nested, "d", query=nested, instruction=nested)
    assert V3.stripped(nested) == "abc"
    found = text_of(model, asked)
    assert found.count("<|embed_token|>") == 2
    assert found.count("<|rerank_token|>") == 1
    assert found.endswith("<query>\nabc<|rerank_token|>")
    assert "<instruct>\nabc\n</instruct>" in found
    assert "<|score_token|>x" in V3.prompt("q", ["<|score_token|>x"], None)
    assert "score_token" not in V3_5.prompt("q", ["<|score_token|>x"], None)


def test_passages_count_from_zero_in_each_block(model: Listwise) -> None:
    asked = request(*(f"text {i}" for i in range(127)))
    first, second = text_of(model, asked), text_of(model, asked, 1)
    assert "provide you with 125 passages" in first
    assert '<passage id="124">\ntext 124<|embed_token|>' in first
    assert "provide you with 2 passages" in second
    assert '<passage id="0">\ntext 125<|embed_token|>' in second
    assert model.prepare(asked).owners == (0, 125)


def test_fusion_weighs_a_block_by_its_best_document() -> None:
    a = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)  # cosines 1, 0: weight 1
    b = np.array([[1, 0], [0, 1]], dtype=np.float32)  # cosine 0: weight 1/2
    query = np.array([2 / 3, 1 / 3]) / np.hypot(2 / 3, 1 / 3)
    np.testing.assert_allclose(fused([a, b]), [query[0], query[1], query[0]], atol=1e-12)
    np.testing.assert_allclose(fused([a]), [1, 0], atol=1e-12)


def test_blocks_that_all_contradict_count_alike() -> None:
    away = np.array([[-1, 0], [1, 0]], dtype=np.float32)
    also = np.array([[0, -1], [0, 1]], dtype=np.float32)
    np.testing.assert_allclose(fused([away, also]), [-np.sqrt(0.5)] * 2, atol=1e-12)
    nothing = np.zeros((2, 2), dtype=np.float32)
    assert fused([nothing]).tolist() == [0.0]


def test_a_long_query_is_refused_or_cut_where_the_request_says_so(model: Listwise) -> None:
    query = " ".join(["word"] * 700)
    with pytest.raises(QueryTooLong, match="reads at most 512") as refused:
        model.prepare(request("a", query=query))
    assert refused.value.limit == 512
    cut = model.prepare(request("a", query=query, truncate_query=True))
    assert cut.warnings == ("query: cut to its first 512 tokens: lists takes no more.",)
    asked = model.prepare(request("a", query=query, max_tokens_per_query=9))
    assert asked.warnings == ("query: cut to its first 9 tokens (max_tokens_per_query).",)
    assert asked.rows[0].tokens < cut.rows[0].tokens - 2 * 500


def test_a_document_is_cut_at_2048_tokens_or_at_the_callers_limit(model: Listwise) -> None:
    long = " ".join(["word"] * 6000)
    cut = model.prepare(request("a", long))
    assert cut.truncated == {1}
    assert cut.warnings == ("1 of 2 documents were cut: at most 2048 tokens of each are read.",)
    less = model.prepare(request("a", long, max_tokens_per_doc=100))
    assert "at most 100 tokens" in less.warnings[0]
    assert cut.rows[0].tokens - less.rows[0].tokens == 1948
    more = model.prepare(request("a", long, max_tokens_per_doc=5000))
    assert more.rows[0].tokens == cut.rows[0].tokens
    with pytest.raises(InvalidRequest, match=r"documents\[1\] has \d+ tokens, but only 2048"):
        model.prepare(request("a", long, truncation=False))


def test_a_prompt_over_the_window_names_field_limit_and_way_out(tmp_path: Path) -> None:
    options = LoadOptions(window_tokens=450)
    small = load(Spec(name="s", folder=write(tmp_path, TINY), options=options)).model
    assert small.prepare(request("a")).rows[0].tokens < 450
    with pytest.raises(
        InvalidRequest,
        match=r"takes at most 450 here \(window_tokens; each holds "
        r"1536 bytes.*max_tokens_per_doc",
    ) as refused:
        small.prepare(request("a", " ".join(["word"] * 400)))
    assert refused.value.param == "documents"


def test_who_leaves_or_is_over_the_limit_stops_it(model: Listwise) -> None:
    meter = Meter()
    meter.cancel()
    with pytest.raises(Abandoned):
        model.prepare(request("a"), meter)
    with pytest.raises(InvalidRequest, match=r"limits\.request_tokens"):
        model.prepare(request(*["a b c"] * 300), Meter(2000))


def test_pictures_and_lone_surrogates_are_refused(model: Listwise) -> None:
    with pytest.raises(InvalidRequest, match="reads text only"):
        model.prepare(replace(request("a"), documents=(Content(modality="image", value="x"),)))
    with pytest.raises(InvalidRequest, match=r"documents\[0\] is not valid Unicode"):
        model.prepare(request("\ud800"))


Change = dict[str, object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict[str, object](use_sliding_window=False), "use_sliding_window false"),
        (dict[str, object](sliding_window=None), "no sliding_window"),
        (dict[str, object](layer_types=["full_attention"]), "layer_types of 1 layers"),
        (dict[str, object](layer_types=["chunked_attention"] * 5), "layer_types other than"),
        (dict[str, object](hidden_act="gelu"), "hidden_act 'gelu'"),
        (dict[str, object](rope_parameters={"rope_type": "yarn"}), "rope type 'yarn'"),
    ],
    ids=["not used", "no window", "too few", "unknown", "activation", "rope"],
)
def test_what_changes_scores_and_is_not_computed_is_refused(
    change: Change, said: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, TINY_WINDOWED)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(StartError, match=r"config\.json is not supported") as refused:
        load(Spec(name="x", folder=folder))
    assert said in str(refused.value)


def test_layers_without_types_slide_from_max_window_layers_on(tmp_path: Path) -> None:
    from rerankd.models.listwise_checkpoint import open_listwise

    folder = write(tmp_path, TINY_WINDOWED)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["layer_types"]
    path.write_text(json.dumps(config | {"max_window_layers": 3}), encoding="utf-8")
    found = open_listwise(folder)
    assert found.config.windowed == {3, 4}
    assert found.recipe is V3_5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (LoadOptions(engine="torch"), 'engine = "torch" is not for a listwise model'),
        (LoadOptions(precision="fp16"), "is not for a listwise model"),
        (LoadOptions(streams=2), "streams is not for a listwise model"),
        (LoadOptions(window_tokens=200_000), "the model takes 131072"),
        (LoadOptions(score="sigmoid"), 'has "cosine" or "raw"'),
    ],
    ids=["torch", "fp16", "streams", "window", "score"],
)
def test_settings_that_it_does_not_have_are_refused(
    options: LoadOptions, said: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError) as refused:
        load(Spec(name="x", folder=write(tmp_path, TINY), options=options))
    assert said in str(refused.value)


def test_a_tokenizer_that_changes_cut_texts_or_lacks_a_mark_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | {"clean_up_tokenization_spaces": True}), encoding="utf-8")
    with pytest.raises(StartError, match="clean_up_tokenization_spaces true"):
        load(Spec(name="x", folder=folder))
    path.write_text(json.dumps(said), encoding="utf-8")
    file = folder / "tokenizer.json"
    text = file.read_text(encoding="utf-8").replace("<|embed_token|>", "<|other|>")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StartError, match=r"has no token '<\|embed_token\|>'"):
        load(Spec(name="x", folder=folder))


def test_a_projector_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    kept = {name: tensor for name, tensor in tensors(TINY).items() if "projector.0" not in name}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(StartError, match=r"no tensor projector\.0\.weight"):
        load(Spec(name="x", folder=folder))


def test_a_sigmoid_that_the_folder_saves_is_a_contradiction(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"num_labels": 1}), encoding="utf-8")
    saved = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(StartError, match="is a sigmoid; the score of a listwise model"):
        load(Spec(name="x", folder=folder))
    chosen = LoadOptions(score="cosine")
    load(Spec(name="x", folder=folder, options=chosen)).model.engine.close()


def test_the_catalog_knows_both_by_their_short_names(tmp_path: Path) -> None:
    write(tmp_path / "m", TINY)
    for version in ("v3", "v3.5"):
        spec = resolve(f"jina-reranker-{version}={tmp_path / 'm'}")
        assert spec.name == f"jinaai/jina-reranker-{version}"
        assert spec.named_by_catalog
