"""A pair is read as transformers reads it, by tokenizer.json and tokenizer_config.json.

Expected ids: tests/reference/golden-tokenizers.json, from transformers 4.57.6 and 5.23.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.load import Spec, load
from rerankd.models.pair_template import derive_template, token_ids
from tests.checkpoints import bert
from tests.reference.make_tokenizer_goldens import CASES, DOCUMENT, GOLDEN, QUERY

GOLDENS: dict[str, dict[str, dict[str, list[int]]]] = json.loads(GOLDEN.read_text("utf-8"))
FOUR, FIVE = GOLDENS["4.57.6"], GOLDENS["5.23.0"]

# Where the two versions differ in ids: ours follow tokenizer.json, as 4.57 does (docs/parity.md).
AS_FOUR = {
    "NFKC before BERT's",
    "RoBERTa in lower case",
    "XLM-R, XLMRobertaTokenizer",
    "DeBERTa, DebertaV2Tokenizer",
}


def read(folder: Path) -> tuple[list[int], list[int]]:
    """Our row of the pair: ids and token types."""
    checkpoint = open_checkpoint(folder)
    tokenizer = checkpoint.tokenizer
    template = derive_template(tokenizer, token_types=checkpoint.token_types)
    query, document = (
        token_ids(tokenizer.encode(text, add_special_tokens=False)) for text in (QUERY, DOCUMENT)
    )
    row = template.row(*template.head(query), document)
    return row.ids.tolist(), (np.arange(row.ids.size) >= row.second).astype(int).tolist()


def types(name: str, golden: dict[str, dict[str, list[int]]]) -> list[int]:
    """What the model adds to each token: 0 where it is told nothing, or knows but one type."""
    zeros = [0] * len(golden[name]["ids"])
    return golden[name].get("types", zeros) if CASES[name].family == "bert" else zeros


def disagree(name: str) -> bool:
    """Whether the versions read the pair differently, as far as the model sees it."""
    if name not in FOUR:
        return False
    return FOUR[name]["ids"] != FIVE[name]["ids"] or types(name, FOUR) != types(name, FIVE)


@pytest.mark.parametrize("name", [name for name in CASES if not disagree(name)])
def test_a_pair_is_read_as_both_versions_read_it(name: str, tmp_path: Path) -> None:
    assert read(CASES[name].write(tmp_path)) == (FIVE[name]["ids"], types(name, FIVE))


@pytest.mark.parametrize("name", sorted(AS_FOUR))
def test_tokenizer_json_counts_where_version_5_leaves_parts_of_it_out(
    name: str, tmp_path: Path
) -> None:
    assert disagree(name)
    assert read(CASES[name].write(tmp_path)) == (FOUR[name]["ids"], types(name, FOUR))


@pytest.mark.parametrize("name", sorted(set(filter(disagree, CASES)) - AS_FOUR))
def test_a_folder_that_the_versions_read_differently_is_refused(name: str, tmp_path: Path) -> None:
    key = "model_input_names" if name.startswith("types") else "add_prefix_space"
    with pytest.raises(StartError, match=rf"tokenizer_config\.json: .*{key}.*transformers 4"):
        read(CASES[name].write(tmp_path))


def test_every_kind_of_case_is_there() -> None:
    assert sum(map(disagree, CASES)) == len(AS_FOUR) + 4
    assert {name for name in CASES if name not in FOUR} == {
        f"types {said}, TokenizersBackend" for said in ("unsaid", "with", "without")
    }


def test_a_folder_without_the_file_is_read_as_its_family_is(tmp_path: Path) -> None:
    made = CASES["lower None over False, None"].write(tmp_path)
    (made / "tokenizer_config.json").unlink()
    assert read(made)[0] == FIVE["lower None over True, BertTokenizer"]["ids"]


def test_a_class_that_is_not_known_must_say_what_it_passes(tmp_path: Path) -> None:
    made = bert.write(tmp_path, bert.TINY_BERT)
    path = made / "tokenizer_config.json"
    fields = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "OtherTokenizer"}
    path.write_text(json.dumps(fields), encoding="utf-8")
    open_checkpoint(made)
    del fields["model_input_names"]
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(StartError, match=r"OtherTokenizer.*model_input_names"):
        open_checkpoint(made)


@pytest.mark.parametrize("passed", [True, False])
def test_the_served_model_is_told_the_types_only_if_the_folder_passes_them(
    *, passed: bool, tmp_path: Path
) -> None:
    made = CASES[f"types {'with' if passed else 'without'}, BertTokenizer"].write(tmp_path)
    model: Any = load(Spec(name="mine", folder=made)).model
    try:
        from rerankd.core.request import Content, RerankRequest

        request = RerankRequest(query=Content(value=QUERY), documents=(Content(value=DOCUMENT),))
        row = model.prepare(request).rows[0]
        assert row.ids.tolist() == FIVE["types with, BertTokenizer"]["ids"]
        assert (row.second < row.ids.size) == passed
    finally:
        model.engine.close()
