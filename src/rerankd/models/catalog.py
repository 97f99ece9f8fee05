"""What rerankd knows by name: the recipe is ours, the weights come with it, from a folder or a hub.

A catalog model whose weights are not there is never answered for; the error says how to get it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rerankd.core.chunk import ChunkRule
from rerankd.core.options import PromptName
from rerankd.core.request import Modality
from rerankd.models.activation import COSINE, MAX_SIM, RAW, SIGMOID, SIGMOID_OF_A_FIFTH, Activation
from rerankd.models.families import (
    CAUSAL_YES_NO,
    COLBERT,
    CROSS_ENCODER,
    LATE_INTERACTION,
    LEXICAL,
    LISTWISE,
    VISION_YES_NO,
    Family,
)
from rerankd.models.published import PUBLISHED, Example
from rerankd.models.shipped import SHIPPED

# What `rerankd serve` answers with.
DEFAULT = "rerankd-multi" if SHIPPED["rerankd-multi"].is_here else "rerankd-mini"

TORCH = "pip install 'rerankd[torch]'"  # what such a model needs


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One model of the catalog."""

    name: str
    family: Family
    # longest row by the model card; None = no limit, or what the folder itself says
    window_tokens: int | None = None
    aliases: tuple[str, ...] = ()  # other published names of the same weights
    chunk_rule: ChunkRule = "bce"  # by the model card; only cross-encoders have another
    activation: Activation = SIGMOID  # of the score that is answered
    recipe: PromptName | None = None  # of a decoder
    encoders: tuple[str, ...] = ()  # of tokens, as a late-interaction model's engine names them

    @property
    def examples(self) -> tuple[Example, ...]:
        """Published scores, checked when it is loaded; often none."""
        return PUBLISHED.get(self.name, ())

    @property
    def needs_torch(self) -> bool:
        """Whether only the torch engine runs it, which is an extra."""
        return self.family.needs_torch

    @property
    def ships_inside(self) -> bool:
        """Whether it comes with a package: nothing to pull."""
        return self.name in SHIPPED

    @property
    def is_here(self) -> bool:
        """Whether it comes with a package that is installed."""
        return self.ships_inside and SHIPPED[self.name].is_here


def _encoder(name: str, window: int, *aliases: str) -> CatalogEntry:
    return CatalogEntry(name=name, family=CROSS_ENCODER, window_tokens=window, aliases=aliases)


def _raw(name: str, window: int) -> CatalogEntry:
    """Its scores are its logits, as its publisher saved it."""
    return CatalogEntry(name=name, family=CROSS_ENCODER, window_tokens=window, activation=RAW)


def _colbert(name: str) -> CatalogEntry:
    return CatalogEntry(name=name, family=COLBERT, activation=MAX_SIM)


def _causal(
    name: str,
    recipe: PromptName,
    *aliases: str,
    window: int = 8192,
    activation: Activation = SIGMOID,
) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        family=CAUSAL_YES_NO,
        window_tokens=window,
        aliases=aliases,
        activation=activation,
        recipe=recipe,
    )


def _zerank(name: str, *aliases: str) -> CatalogEntry:
    return _causal(name, "zerank", *aliases, window=32_768, activation=SIGMOID_OF_A_FIFTH)


def _contextual(size: str) -> CatalogEntry:
    name = f"ContextualAI/ctxl-rerank-v2-instruct-multilingual-{size}"
    return _causal(name, "contextual", window=32_768, activation=RAW)


def _jina_listwise(version: str) -> CatalogEntry:
    return CatalogEntry(
        name=f"jinaai/jina-reranker-{version}",
        family=LISTWISE,
        window_tokens=32_768,  # of a prompt; the card says 131,072, which hold 30 GB
        aliases=(f"jina-reranker-{version}",),
        activation=COSINE,
    )


def _vision(name: str) -> CatalogEntry:
    return CatalogEntry(
        name=name,
        family=VISION_YES_NO,
        window_tokens=10245,  # 10240, and the five that open the answer, which are never cut
    )


ENTRIES: tuple[CatalogEntry, ...] = (
    CatalogEntry(name="rerankd-multi", family=LATE_INTERACTION, encoders=("minilm", "e5")),
    CatalogEntry(name="rerankd-mini", family=LATE_INTERACTION, encoders=("minilm",)),
    CatalogEntry(name="rerankd-lexical", family=LEXICAL),
    _encoder("BAAI/bge-reranker-v2-m3", 1024, "Pro/BAAI/bge-reranker-v2-m3"),
    _encoder("BAAI/bge-reranker-base", 512, "bge-reranker-base"),
    _encoder("BAAI/bge-reranker-large", 512, "bge-reranker-large"),
    _encoder("netease-youdao/bce-reranker-base_v1", 512),
    _encoder("cross-encoder/ms-marco-MiniLM-L2-v2", 512),
    _encoder("cross-encoder/ms-marco-MiniLM-L4-v2", 512),
    _encoder("cross-encoder/ms-marco-MiniLM-L6-v2", 512),
    _encoder("cross-encoder/ms-marco-MiniLM-L12-v2", 512),
    _encoder("cross-encoder/ms-marco-TinyBERT-L2-v2", 512),
    _encoder("cross-encoder/ms-marco-electra-base", 512),
    CatalogEntry(
        name="jinaai/jina-reranker-v2-base-multilingual",
        family=CROSS_ENCODER,
        window_tokens=1024,
        aliases=("jina-reranker-v2-base-multilingual",),
        chunk_rule="jina",
    ),
    _encoder("jinaai/jina-reranker-v1-tiny-en", 8192, "jina-reranker-v1-tiny-en"),
    _encoder("jinaai/jina-reranker-v1-turbo-en", 8192, "jina-reranker-v1-turbo-en"),
    _encoder("Alibaba-NLP/gte-reranker-modernbert-base", 8192),
    _encoder("Alibaba-NLP/gte-multilingual-reranker-base", 8192),
    *(
        _raw(f"cross-encoder/ettin-reranker-{size}-v1", 7999)
        for size in ("17m", "32m", "68m", "150m", "400m", "1b")
    ),
    _encoder("ibm-granite/granite-embedding-reranker-english-r2", 8192),
    _raw("cross-encoder/mmarco-mMiniLMv2-L12-H384-v1", 512),
    _encoder("cl-nagoya/ruri-v3-reranker-310m", 8192),
    _encoder("hotchpotch/japanese-reranker-xsmall-v2", 512),
    _raw("nlpai-lab/KURE-Reranker-nano", 8192),
    _encoder("sshalimov04/ru-reranker-edge-150m", 8192),
    _encoder("mixedbread-ai/mxbai-rerank-xsmall-v1", 512),
    _encoder("mixedbread-ai/mxbai-rerank-base-v1", 512),
    _encoder("mixedbread-ai/mxbai-rerank-large-v1", 512),
    _colbert("lightonai/LateOn"),
    _colbert("lightonai/mLateOn"),
    _colbert("lightonai/LateOn-Code"),
    _colbert("lightonai/LateOn-Code-edge"),
    _colbert("lightonai/GTE-ModernColBERT-v1"),
    _colbert("lightonai/Reason-ModernColBERT"),
    _colbert("mixedbread-ai/mxbai-edge-colbert-v0-17m"),
    _colbert("mixedbread-ai/mxbai-edge-colbert-v0-32m"),
    _colbert("answerdotai/answerai-colbert-small-v1"),
    _colbert("colbert-ir/colbertv2.0"),
    _causal("Qwen/Qwen3-Reranker-0.6B", "qwen3-reranker"),
    _causal("Qwen/Qwen3-Reranker-4B", "qwen3-reranker"),
    _causal("Qwen/Qwen3-Reranker-8B", "qwen3-reranker"),
    _causal("mixedbread-ai/mxbai-rerank-base-v2", "mxbai-v2"),
    _causal("mixedbread-ai/mxbai-rerank-large-v2", "mxbai-v2"),
    _zerank("zeroentropy/zerank-2", "zeroentropy/zerank-2-reranker"),
    _zerank("zeroentropy/zerank-1"),
    _zerank("zeroentropy/zerank-1-small"),
    _contextual("1b"),
    _contextual("2b"),
    _contextual("6b"),
    _causal("tencent/R3-rerank-0.6b", "r3"),
    _causal("BAAI/bge-reranker-v2-gemma", "bge-gemma", window=1024),
    CatalogEntry(
        name="nvidia/llama-nemotron-rerank-1b-v2",
        family=CROSS_ENCODER,
        window_tokens=8192,
        recipe="nemotron",
    ),
    _causal("tomaarsen/Qwen3-Reranker-0.6B-seq-cls", "qwen3-reranker"),
    _causal("tomaarsen/Qwen3-Reranker-4B-seq-cls", "qwen3-reranker"),
    _causal("tomaarsen/Qwen3-Reranker-8B-seq-cls", "qwen3-reranker"),
    _jina_listwise("v3"),
    _jina_listwise("v3.5"),
    _vision("Qwen/Qwen3-VL-Reranker-2B"),
    _vision("Qwen/Qwen3-VL-Reranker-8B"),
)

# Hosted names without published weights: the operator points them at a model of the family.
STAND_INS = {"qwen3-rerank": "Qwen/Qwen3-Reranker-0.6B"}

_BY_NAME = {name: entry for entry in ENTRIES for name in (entry.name, *entry.aliases)}


def find(name: str) -> CatalogEntry | None:
    """The entry of a catalog name or of one of its aliases."""
    return _BY_NAME.get(name)


def readers_of(modality: Modality) -> tuple[str, ...]:
    """The catalog models that read a modality."""
    return tuple(entry.name for entry in ENTRIES if modality in entry.family.modalities)


def how_to_get(name: str) -> str | None:
    """The commands that get and serve a catalog model; None for a name that is not in it."""
    entry = find(STAND_INS.get(name, name))
    if entry is None:
        return None
    if entry.ships_inside:
        get = "" if entry.is_here else f"Get it: `{SHIPPED[entry.name].install}`. "
        return f"{get}Serve it: `rerankd serve --model {entry.name}`."
    alias = f" --alias {name}={entry.name}" if name in STAND_INS else ""
    steps = (
        f"Get it: `rerankd pull {entry.name}`, then serve it: "
        f"`rerankd serve --model {entry.name}{alias}`."
    )
    if entry.needs_torch:
        steps += f" It runs on torch: {TORCH}."
    return steps
