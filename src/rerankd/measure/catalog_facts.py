"""What is known of the catalog's models beside how to run them: size, licence, languages, quality.

Sources, read 2026-11-28: the publishers' model cards and config.json files on the Hugging Face hub;
MTEB-en: nDCG@10 over the retrieval tasks of MTEB(eng, v2), 100 candidates of embeddinggemma-300m,
huggingface.co/blog/ettin-reranker; MTEB-R, MMTEB-R: Qwen3-Reranker's card, 100 candidates of
Qwen3-Embedding-0.6B; JQaRA: nDCG@10, second hand from the cards of ruri-v3 and japanese-reranker;
DL19: nDCG@10 of TREC Deep Learning 2019, the cards of ms-marco-MiniLM; BEIR: the models' own cards;
BEIR-17: those of jina-reranker-v1, over 17 sets;
NanoBEIR: sentence-transformers' page on multi-vector models; BEIR-jina: the card
of jina-reranker-v3.5, by its own protocol; own: the mean of docs/quality.md.
Only figures with one label compare.
Not seen: the config.json of Contextual's models, whose sizes are estimated from their names, and
what licence R3 and zerank-1-small have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rerankd.measure.flops import LayerCost, ModelSizes, cost_of

_PROCESS: Final = 0.15e9  # bytes of a process with the engine and no weights
_PACKED: Final = 1.2  # private bytes for each byte of the matrices in fp32: decision 10, measured
APACHE, MIT = "Apache-2.0", "MIT"
_NC, _NC_SA, _UNKNOWN = "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One model."""

    licence: str
    languages: str
    quality: tuple[tuple[str, float], ...] = ()  # benchmark, percent
    parameters: int = 0  # 0 = it is no network
    stored_bytes: int = 4  # of a weight in the published files
    sizes: ModelSizes | None = None  # None = what ships inside, which is measured instead
    private_bytes: int = 0  # of a process that has ranked with it; what ships inside only

    @property
    def download_bytes(self) -> int:
        """About what `rerankd pull` gets: the weights; tokenizers are small beside them."""
        return self.parameters * self.stored_bytes

    @property
    def cost(self) -> LayerCost | None:
        """What a row costs; None = what ships inside."""
        return cost_of(self.sizes) if self.sizes else None

    @property
    def memory_bytes(self) -> int:
        """About what it takes in fp32 on a CPU, without the pages of the file, which can go."""
        cost = self.cost
        if cost is None:
            return self.private_bytes
        return int(_PROCESS + _PACKED * 4 * cost.layers * cost.token)


def _bert(hidden: int, layers: int, heads: int = 12, kind: str = "bert") -> ModelSizes:
    return ModelSizes(kind, hidden, layers, heads, 4 * hidden)


def _small(layers: int, parameters: int, dl19: float, *more: tuple[str, float]) -> Facts:
    return Facts(
        licence=APACHE,
        languages="en",
        quality=(("DL19", dl19), *more),
        parameters=parameters,
        sizes=_bert(384, layers),
    )


def _ettin(parameters: int, mteb: float, *sizes: int) -> Facts:
    """Sizes: width, layers, heads, width of the feed-forward block."""
    return Facts(
        licence=APACHE,
        languages="en",
        quality=(("MTEB-en", mteb),),
        parameters=parameters,
        sizes=ModelSizes("modernbert", *sizes),
    )


def _jina_v1(layers: int, parameters: int, beir: float) -> Facts:
    return Facts(
        licence=APACHE,
        languages="en",
        quality=(("BEIR-17", beir),),
        parameters=parameters,
        stored_bytes=2,
        sizes=_bert(384, layers, kind="jina-bert"),
    )


def _deberta(hidden: int, layers: int, parameters: int, beir: float) -> Facts:
    return Facts(
        licence=APACHE,
        languages="en",
        quality=(("BEIR", beir),),
        parameters=parameters,
        stored_bytes=2,
        sizes=_bert(hidden, layers, hidden // 64, "deberta-v2"),
    )


def _decoder(
    parameters: int,
    sizes: ModelSizes,
    *quality: tuple[str, float],
    licence: str = APACHE,
    languages: str = "100+",
) -> Facts:
    return Facts(
        licence=licence,
        languages=languages,
        quality=quality,
        parameters=parameters,
        stored_bytes=2,
        sizes=sizes,
    )


def _colbert(
    parameters: int, sizes: ModelSizes, nano_beir: float = 0.0, *, licence: str = APACHE
) -> Facts:
    return Facts(
        licence=licence,
        languages="en",
        quality=(("NanoBEIR", nano_beir),) if nano_beir else (),
        parameters=parameters,
        sizes=sizes,
    )


_MODERNBERT_BASE = ModelSizes("modernbert", 768, 22, 12, 1152)
_XLMR_BASE, _XLMR_LARGE = _bert(768, 12), _bert(1024, 24, 16)
_QWEN3_4B = ModelSizes("qwen3", 2560, 36, 32, 9728, 8, 128)
_QWEN3_SMALL = ModelSizes("qwen3", 1024, 28, 16, 3072, 8, 128)
_QWEN3_2B = ModelSizes("qwen3", 2048, 28, 16, 6144, 8, 128)
_QWEN3_8B = ModelSizes("qwen3", 4096, 36, 32, 12288, 8, 128)

FACTS: Final[dict[str, Facts]] = {
    "rerankd-multi": Facts(
        licence=f"{APACHE}, {MIT}",
        languages="100+",
        quality=(("own", 85.9),),
        parameters=140_400_000,
        private_bytes=290_000_000,
    ),
    "rerankd-mini": Facts(
        licence=APACHE,
        languages="en by meaning, any by words",
        quality=(("own", 85.1),),
        parameters=22_700_000,
        private_bytes=120_000_000,
    ),
    "rerankd-lexical": Facts(
        licence=APACHE, languages="any", quality=(("own", 81.9),), private_bytes=35_000_000
    ),
    "BAAI/bge-reranker-v2-m3": Facts(
        licence=APACHE,
        languages="100+",
        quality=(("MTEB-en", 55.3), ("MTEB-R", 57.0), ("MMTEB-R", 58.4)),
        parameters=567_755_777,
        sizes=_XLMR_LARGE,
    ),
    "BAAI/bge-reranker-base": Facts(
        licence=MIT, languages="zh, en", parameters=278_044_417, sizes=_XLMR_BASE
    ),
    "BAAI/bge-reranker-large": Facts(
        licence=MIT, languages="zh, en", parameters=559_891_457, sizes=_XLMR_LARGE
    ),
    "netease-youdao/bce-reranker-base_v1": Facts(
        licence=APACHE, languages="zh, en, ja, ko", parameters=278_044_417, sizes=_XLMR_BASE
    ),
    "cross-encoder/ms-marco-MiniLM-L2-v2": _small(2, 15_600_000, 71.0),
    "cross-encoder/ms-marco-MiniLM-L4-v2": _small(4, 19_200_000, 73.0),
    "cross-encoder/ms-marco-MiniLM-L6-v2": _small(6, 22_700_000, 74.3, ("MTEB-en", 50.8)),
    "cross-encoder/ms-marco-MiniLM-L12-v2": _small(12, 33_400_000, 74.3),
    "cross-encoder/ms-marco-TinyBERT-L2-v2": Facts(
        licence=APACHE,
        languages="en",
        quality=(("DL19", 69.8),),
        parameters=4_390_000,
        sizes=_bert(128, 2, 2),
    ),
    "cross-encoder/ms-marco-electra-base": Facts(
        licence=APACHE, languages="en", parameters=109_500_000, sizes=_bert(768, 12)
    ),
    "jinaai/jina-reranker-v2-base-multilingual": Facts(
        licence="CC-BY-NC-4.0",
        languages="100+",
        quality=(("MTEB-R", 58.2), ("MMTEB-R", 63.7)),
        parameters=278_000_000,
        stored_bytes=2,
        sizes=_XLMR_BASE,
    ),
    "jinaai/jina-reranker-v1-tiny-en": _jina_v1(4, 33_046_273, 48.5),
    "jinaai/jina-reranker-v1-turbo-en": _jina_v1(6, 37_771_777, 49.6),
    "Alibaba-NLP/gte-reranker-modernbert-base": Facts(
        licence=APACHE,
        languages="en",
        quality=(("MTEB-en", 58.4), ("BEIR", 56.2)),
        parameters=149_600_000,
        stored_bytes=2,
        sizes=_MODERNBERT_BASE,
    ),
    "Alibaba-NLP/gte-multilingual-reranker-base": Facts(
        licence=APACHE,
        languages="70+",
        parameters=306_000_000,
        stored_bytes=2,
        sizes=ModelSizes("gte", 768, 12, 12, 3072),
    ),
    "cross-encoder/ettin-reranker-17m-v1": _ettin(16_900_000, 55.8, 256, 7, 4, 384),
    "cross-encoder/ettin-reranker-32m-v1": _ettin(32_000_000, 57.8, 384, 10, 6, 576),
    "cross-encoder/ettin-reranker-68m-v1": _ettin(68_400_000, 59.2, 512, 19, 8, 768),
    "cross-encoder/ettin-reranker-150m-v1": _ettin(149_600_000, 59.9, 768, 22, 12, 1152),
    "cross-encoder/ettin-reranker-400m-v1": _ettin(395_800_000, 60.9, 1024, 28, 16, 2624),
    "cross-encoder/ettin-reranker-1b-v1": _ettin(1_028_050_688, 61.1, 1792, 28, 28, 3840),
    "ibm-granite/granite-embedding-reranker-english-r2": Facts(
        licence=APACHE,
        languages="en",
        quality=(("MTEB-en", 56.6),),
        parameters=149_000_000,
        sizes=_MODERNBERT_BASE,
    ),
    "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1": Facts(
        licence=APACHE, languages="15", parameters=117_600_000, sizes=_bert(384, 12)
    ),
    "cl-nagoya/ruri-v3-reranker-310m": Facts(
        licence=APACHE,
        languages="ja",
        quality=(("JQaRA", 86.9),),
        parameters=315_000_000,
        sizes=ModelSizes("modernbert", 768, 25, 12, 3072),
    ),
    "hotchpotch/japanese-reranker-xsmall-v2": Facts(
        licence=MIT,
        languages="ja",
        quality=(("JQaRA", 74.0),),
        parameters=36_800_000,
        sizes=ModelSizes("modernbert", 256, 10, 4, 1024),
    ),
    "nlpai-lab/KURE-Reranker-nano": Facts(
        licence="not seen", languages="ko", parameters=149_323_009, sizes=_MODERNBERT_BASE
    ),
    "sshalimov04/ru-reranker-edge-150m": Facts(
        licence=APACHE, languages="ru", parameters=149_000_000, sizes=_MODERNBERT_BASE
    ),
    "mixedbread-ai/mxbai-rerank-xsmall-v1": _deberta(384, 12, 70_800_000, 43.9),
    "mixedbread-ai/mxbai-rerank-base-v1": _deberta(768, 12, 184_400_000, 46.9),
    "mixedbread-ai/mxbai-rerank-large-v1": _deberta(1024, 24, 435_000_000, 48.8),
    "lightonai/LateOn": _colbert(149_000_000, _MODERNBERT_BASE, 68.7),
    "lightonai/mLateOn": replace(_colbert(307_000_000, _MODERNBERT_BASE, 68.5), languages="many"),
    "lightonai/LateOn-Code": replace(_colbert(149_000_000, _MODERNBERT_BASE), languages="en, code"),
    "lightonai/LateOn-Code-edge": replace(
        _colbert(17_000_000, ModelSizes("modernbert", 256, 7, 4, 384)), languages="en, code"
    ),
    "lightonai/GTE-ModernColBERT-v1": _colbert(149_000_000, _MODERNBERT_BASE, 67.2),
    "lightonai/Reason-ModernColBERT": _colbert(149_000_000, _MODERNBERT_BASE, licence="not seen"),
    "mixedbread-ai/mxbai-edge-colbert-v0-17m": _colbert(
        17_000_000, ModelSizes("modernbert", 256, 7, 4, 384), 64.1
    ),
    "mixedbread-ai/mxbai-edge-colbert-v0-32m": _colbert(
        32_000_000, ModelSizes("modernbert", 384, 10, 6, 576), 65.2
    ),
    "answerdotai/answerai-colbert-small-v1": _colbert(33_000_000, _bert(384, 12), 65.5),
    "colbert-ir/colbertv2.0": _colbert(110_000_000, _bert(768, 12), 60.5, licence=MIT),
    "Qwen/Qwen3-Reranker-0.6B": _decoder(
        595_776_512,
        _QWEN3_SMALL,
        ("MTEB-en", 59.4),
        ("MTEB-R", 65.8),
        ("MMTEB-R", 66.4),
    ),
    "Qwen/Qwen3-Reranker-4B": _decoder(
        4_021_774_336, _QWEN3_4B, ("MTEB-en", 63.7), ("MTEB-R", 69.8), ("MMTEB-R", 72.7)
    ),
    "Qwen/Qwen3-Reranker-8B": _decoder(
        8_188_515_328, _QWEN3_8B, ("MTEB-R", 69.0), ("MMTEB-R", 72.9)
    ),
    "mixedbread-ai/mxbai-rerank-base-v2": _decoder(
        494_000_000,
        ModelSizes("qwen2", 896, 24, 14, 4864, 2, 64),
        ("MTEB-en", 59.2),
        ("BEIR", 55.6),
    ),
    "mixedbread-ai/mxbai-rerank-large-v2": _decoder(
        1_543_700_000,
        ModelSizes("qwen2", 1536, 28, 12, 8960, 2, 128),
        ("MTEB-en", 61.2),
        ("BEIR", 57.5),
    ),
    "zeroentropy/zerank-2": _decoder(4_022_468_096, _QWEN3_4B, ("MTEB-en", 53.0)),
    "zeroentropy/zerank-1": _decoder(4_022_468_096, _QWEN3_4B, licence=_NC, languages="en"),
    "zeroentropy/zerank-1-small": _decoder(
        1_720_574_976, _QWEN3_2B, licence=_UNKNOWN, languages="en"
    ),
    "ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b": _decoder(
        1_000_000_000, _QWEN3_SMALL, licence=_NC_SA
    ),
    "ContextualAI/ctxl-rerank-v2-instruct-multilingual-2b": _decoder(
        2_000_000_000, _QWEN3_2B, licence=_NC_SA
    ),
    "ContextualAI/ctxl-rerank-v2-instruct-multilingual-6b": _decoder(
        6_000_000_000, ModelSizes("mistral", 4096, 28, 32, 12288, 8, 128), licence=_NC_SA
    ),
    "tencent/R3-rerank-0.6b": _decoder(595_776_512, _QWEN3_SMALL, licence=_UNKNOWN),
    "BAAI/bge-reranker-v2-gemma": _decoder(
        2_506_172_416,
        ModelSizes("gemma", 2048, 18, 8, 16384, 1, 256),
        licence=f"{APACHE}, Gemma",
    ),
    "nvidia/llama-nemotron-rerank-1b-v2": _decoder(
        1_235_816_448,
        ModelSizes("llama", 2048, 16, 32, 8192, 8, 64),
        licence="NVIDIA Open Model, Llama 3.2",
        languages="26",
    ),
    "tomaarsen/Qwen3-Reranker-0.6B-seq-cls": _decoder(595_777_536, _QWEN3_SMALL),
    "tomaarsen/Qwen3-Reranker-4B-seq-cls": _decoder(4_021_776_896, _QWEN3_4B),
    "tomaarsen/Qwen3-Reranker-8B-seq-cls": _decoder(7_567_300_000, _QWEN3_8B),
    "jinaai/jina-reranker-v3": _decoder(
        596_562_944, _QWEN3_SMALL, ("BEIR-jina", 62.1), licence=_NC
    ),
    "jinaai/jina-reranker-v3.5": _decoder(
        596_562_944, _QWEN3_SMALL, ("BEIR-jina", 63.2), licence=_NC
    ),
    "Qwen/Qwen3-VL-Reranker-2B": _decoder(
        2_127_000_000, ModelSizes("qwen3_vl_text", 2048, 28, 16, 6144, 8, 128)
    ),
    "Qwen/Qwen3-VL-Reranker-8B": _decoder(
        8_767_000_000, ModelSizes("qwen3_vl_text", 4096, 36, 32, 12288, 8, 128)
    ),
}

# Which one, by what is wanted: the first that fits.
RECOMMENDED: Final = (
    ("no download, any language by its meaning", "rerankd-multi"),
    ("no download, any language by its words, little memory", "rerankd-mini"),
    ("English on a CPU", "cross-encoder/ms-marco-MiniLM-L6-v2"),
    ("English, better and slower, long documents", "Alibaba-NLP/gte-reranker-modernbert-base"),
    ("many languages", "BAAI/bge-reranker-v2-m3"),
    ("the best scores, with a GPU", "Qwen/Qwen3-Reranker-4B"),
    ("images and video, with a GPU", "Qwen/Qwen3-VL-Reranker-2B"),
)
