"""How each model of the catalog was proven: what stands in for its weights, and who agrees.

The weights of a publisher were never seen here. A proof is of a model's form: a tiny checkpoint of
made-up weights in the published layout, whose scores the published library gives too.
"""

from __future__ import annotations

from typing import Final

import msgspec

from rerankd.measure.catalog_facts import FACTS
from rerankd.models.catalog import CatalogEntry
from rerankd.models.families import COLBERT, CROSS_ENCODER, VISION_YES_NO


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Of one form, by the files of rerankd's repository; "" = there is none."""

    loads: str  # makes a tiny folder of that form, which is loaded in the tests
    golden: str = ""  # recorded scores of the reference
    live: str = ""  # compares with the reference as it is installed
    published: int = 0  # scores that its publisher or its library prints, checked when it is loaded
    real_weights: bool = False  # whether they were seen here


_INSIDE: Final = {
    "rerankd-lexical": "tests/models/test_lexical.py",
    "rerankd-mini": "tests/models/test_mini.py",
    "rerankd-multi": "tests/models/test_multi.py",
}


def _form(checkpoint: str, golden: str, live: str) -> Proof:
    return Proof(
        loads=f"tests/checkpoints/{checkpoint}.py",
        golden=f"tests/reference/golden{golden}.json",
        live=f"tests/reference/live/test_live_{live}.py",
    )


_BY_SIZES: Final = {  # cross-encoders, by their facts' model_type
    "bert": _form("bert", "", "reference"),
    "modernbert": _form("modernbert", "-modernbert", "modernbert"),
    "deberta-v2": _form("deberta", "-deberta", "deberta"),
    "gte": _form("gte", "-gte", "gte"),
    "jina-bert": _form("jina_bert", "-jina-bert", "jina_bert"),
}
_ETTIN: Final = ("17m", "32m", "68m", "150m", "400m", "1b")
_MODULES: Final = _form("module_head", "-module-head", "module_head")
_BY_NAME: Final = {
    "jinaai/jina-reranker-v2-base-multilingual": _form("jina", "", "reference"),
    "cross-encoder/ms-marco-electra-base": _form("bert_kin", "-bert-kin", "bert_kin"),
    **dict.fromkeys(
        (f"cross-encoder/ettin-reranker-{size}-v1" for size in _ETTIN),
        _MODULES,
    ),
}
_DECODER: Final = _form("decoder", "-decoder", "decoder")
_NAMED: Final = _form("logit_score", "-named", "named")
_BY_RECIPE: Final = {
    "qwen3-reranker": _DECODER,
    "mxbai-v2": _DECODER,
    "r3": _form("logit_score", "-logit-score", "logit_score"),
    "zerank": _NAMED,
    "contextual": _NAMED,
    "bge-gemma": _NAMED,
    "nemotron": _form("logit_score", "-nemotron", "nemotron"),
}
_CLASSIFIERS: Final = _form("logit_score", "-logit-score", "logit_score")
_WAYS: Final = {  # of the families whose rows are no pair of a tokenizer
    "lexical": "words",
    "late-interaction": "query and document apart",
    "colbert": "query and document apart",
    "listwise": "all documents in one prompt",
    "vision-yes-no": "qwen3-vl-reranker",
}
_BY_FAMILY: Final = {
    COLBERT.name: _form("colbert", "-colbert", "colbert"),
    VISION_YES_NO.name: _form("vision", "-vision", "vision"),
    "listwise": _form("listwise", "-listwise", "listwise"),
}


def proof_of(entry: CatalogEntry) -> Proof:
    """Of one entry.

    Raises:
        KeyError: nobody has said how its form is proven.
    """
    if entry.ships_inside:
        return Proof(loads=_INSIDE[entry.name], real_weights=True)
    found = _BY_NAME.get(entry.name) or _BY_FAMILY.get(entry.family.name)
    if found is None and entry.name.endswith("-seq-cls"):
        found = _CLASSIFIERS
    if found is None and entry.recipe is not None:
        found = _BY_RECIPE[entry.recipe]
    if found is None and entry.family == CROSS_ENCODER:
        sizes = FACTS[entry.name].sizes
        found = _BY_SIZES[sizes.model_type if sizes else ""]
    if found is None:
        raise KeyError(entry.name)
    return msgspec.structs.replace(found, published=len(entry.examples))


def recipe_of(entry: CatalogEntry) -> str:
    """How a pair becomes a row: a prompt's name, or the family's own way."""
    return entry.recipe or _WAYS.get(entry.family.name, "the tokenizer's pair")
