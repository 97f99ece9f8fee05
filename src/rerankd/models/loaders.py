"""Which code opens which kind of folder: one loader for each kind that is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rerankd.core.chunk import ChunkRule
from rerankd.core.options import BY_THE_CARD, VECTOR_CACHE_BYTES, LoadOptions, PromptName
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.base import AnyModel
from rerankd.models.folder_word import DECODER_CLASSIFIERS, FolderWord, Kind
from rerankd.models.transformer_module import (
    AS_THE_TOKENIZER,
    read_pair_module,
    refuse_template,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A folder that is to be opened, and all that was decided about it before."""

    folder: Path
    word: FolderWord  # what its files say
    name: str  # what it is served under
    options: LoadOptions = BY_THE_CARD
    activation: Activation = SIGMOID  # the operator's, the catalog's or the folder's
    query_prompt: str = ""  # stands before every query, of a classifier
    chunk_rule: ChunkRule = "bce"
    recipe: PromptName | None = None  # the catalog's or the operator's prompt of a decoder
    named_by_catalog: bool = False  # its card's recipe counts, not the folder's
    vector_cache_bytes: int = VECTOR_CACHE_BYTES  # of a model that remembers documents


Loader = Callable[[Opening], AnyModel]


def _classifier(opening: Opening) -> AnyModel:
    if opening.word.config.architecture in DECODER_CLASSIFIERS:
        return _causal(opening)
    from rerankd.models.cross_encoder import PairReading, load_cross_encoder  # here: 0.4 s

    module = AS_THE_TOKENIZER
    if not opening.named_by_catalog:
        module = read_pair_module(opening.word)
        if not module.is_text:
            refuse_template(opening.folder)
    return load_cross_encoder(
        opening.folder,
        name=opening.name,
        options=opening.options,
        chunk_rule=opening.chunk_rule,
        named_by_catalog=opening.named_by_catalog,
        said=PairReading(opening.activation, opening.query_prompt, module),
    )


def _modules(opening: Opening) -> AnyModel:
    from rerankd.models.module_head import load_module_head

    return load_module_head(opening)


def _causal(opening: Opening) -> AnyModel:
    from rerankd.models.causal_yes_no import load_causal_yes_no
    from rerankd.models.decoder_prompt import prompt_word

    return load_causal_yes_no(
        opening.folder,
        name=opening.name,
        options=opening.options,
        named_by_catalog=opening.named_by_catalog,
        activation=opening.activation,
        said=prompt_word(opening.word, opening.recipe, follows_folder=not opening.named_by_catalog),
    )


def _colbert(opening: Opening) -> AnyModel:
    from rerankd.models.colbert import load_colbert

    return load_colbert(opening)


def _bi_encoder(opening: Opening) -> AnyModel:
    from rerankd.models.bi_encoder import load_bi_encoder

    return load_bi_encoder(opening)


def _vision(opening: Opening) -> AnyModel:
    from rerankd.models.vision_yes_no import load_vision_yes_no

    return load_vision_yes_no(
        opening.folder,
        name=opening.name,
        options=opening.options,
        named_by_catalog=opening.named_by_catalog,
        activation=opening.activation,
    )


def _listwise(opening: Opening) -> AnyModel:
    from rerankd.models.listwise import load_listwise

    return load_listwise(opening)


LOADERS: Final[dict[Kind, Loader]] = {
    "classifier": _classifier,
    "modules": _modules,
    "causal": _causal,
    "listwise": _listwise,
    "logit-score": _causal,
    "vision": _vision,
    "late-interaction": _colbert,
    "bi-encoder": _bi_encoder,
}
READ_PROMPTS_THEMSELVES: Final[tuple[Kind, ...]] = ("late-interaction", "bi-encoder")
