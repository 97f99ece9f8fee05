"""What a folder's files say of how it is scored, read once: its own word.

sentence-transformers keeps a model's modules, prompts and activation in files of its own, beside
config.json. Class paths in them are compared by their last part and never imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import read_json, shown

MODULES: Final = "modules.json"
SETTINGS: Final = "config_sentence_transformers.json"
CONFIG: Final = "config.json"
TRANSFORMER: Final = "Transformer"
MAX_MODULES: Final = 32  # published models have seven at most
MAX_PATH_CHARACTERS: Final = 255
MAX_PROMPT_CHARACTERS: Final = 16_384
MISSING: Final = "(missing)"  # a prompt that is named and not there

Kind = Literal[
    "classifier",  # a head for labels in config.json's model
    "modules",  # a cross-encoder whose head is in modules of its own
    "logit-score",  # a decoder; modules.json says which tokens' logits are the score
    "causal",  # a decoder, and nothing else said
    "listwise",  # all documents in one prompt
    "late-interaction",  # a vector per token
    "bi-encoder",  # a vector per text
    "vision",  # reads images
    "static",  # a table of word vectors
]

_STATIC: Final = ("model2vec", "StaticModel", "StaticEmbedding")
_VISION: Final = ("qwen3_vl", "Qwen3VLForConditionalGeneration")
_LISTWISE: Final = ("JinaForRanking",)
_LATE: Final = ("ColBERT", "MultiVectorEncoder")
DECODER_CLASSIFIERS: Final = (
    "Qwen3ForSequenceClassification",
    "Qwen2ForSequenceClassification",
    "LlamaBidirectionalForSequenceClassification",
)
_TOKEN_HEADS: Final = ("LogitScore", "CausalScoreHead")


class Module(msgspec.Struct):
    """One entry of modules.json, in the order in which they run."""

    type: str  # a dotted class path
    path: str = ""  # of its folder; "" = the root
    name: str | None = None  # what sentence-transformers keeps it under

    @property
    def kind(self) -> str:
        """The class's own name: paths differ between versions."""
        return self.type.rpartition(".")[2]


class SavedSettings(msgspec.Struct):
    """config_sentence_transformers.json, as far as it changes scores; defaults are "not said"."""

    model_type: str | None = None
    prompts: dict[str, str | None] | None = None
    default_prompt_name: str | None = None
    activation_fn: str | None = None
    similarity_fn_name: str | None = None
    # of a ColBERT model
    query_prefix: str | None = None
    document_prefix: str | None = None
    query_length: int | None = None
    document_length: int | None = None
    do_query_expansion: bool | None = None
    attend_to_expansion_tokens: bool | None = None
    skiplist_words: list[str] | None = None

    @property
    def default_prompt(self) -> str | None:
        """What stands before every text that nobody names a prompt for; None = nothing.

        A name without a prompt is said as "(missing)", which nobody may use.
        """
        if self.default_prompt_name is None:
            return None
        return (self.prompts or {}).get(self.default_prompt_name, MISSING) or None


class SavedActivation(msgspec.Struct):
    """config.json's `sentence_transformers`, before 5.4."""

    activation_fn: str | msgspec.UnsetType | None = msgspec.UNSET  # null = none, nor an older one


class ConfigWord(msgspec.Struct):
    """What config.json says beside its sizes."""

    model_type: str | None = None
    architectures: list[str] | None = None
    id2label: dict[str, object] | None = None
    num_labels: int | None = None
    sentence_transformers: SavedActivation | None = None
    sbert_ce_default_activation_function: str | None = None

    @property
    def architecture(self) -> str:
        """The first one, or nothing."""
        return (self.architectures or [""])[0]

    @property
    def labels(self) -> int:
        """As transformers counts them, and JinaBERT's card where nothing is said."""
        unsaid = 1 if self.architecture == "JinaBertForSequenceClassification" else 2
        return len(self.id2label) if self.id2label is not None else self.num_labels or unsaid


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWord:
    """All of it."""

    folder: Path
    modules: tuple[Module, ...] = ()
    settings: SavedSettings
    config: ConfigWord
    kind: Kind
    labels: int  # logits of a pair

    @property
    def reads_prompt(self) -> bool:
        """Whether its pairs stand in a prompt: its default one is followed, not put before."""
        return (
            self.kind in ("causal", "logit-score")
            or self.config.architecture in DECODER_CLASSIFIERS
        )

    @property
    def has_saved_settings(self) -> bool:
        """Whether sentence-transformers follows its own files, for a cross-encoder: saved by it."""
        return bool(self.modules) and self.settings.model_type == "CrossEncoder"

    @property
    def activation_fn(self) -> tuple[str, str, str] | None:
        """File, key and dotted path of the activation that is saved, the newest place first."""
        said, saved = self.config, self.config.sentence_transformers
        newer = saved.activation_fn if saved else msgspec.UNSET
        oldest = said.sbert_ce_default_activation_function if newer is msgspec.UNSET else None
        places = (
            (SETTINGS, "activation_fn", self.settings.activation_fn),
            (CONFIG, "sentence_transformers.activation_fn", newer),
            (CONFIG, "sbert_ce_default_activation_function", oldest),
        )
        return next(
            ((file, key, name) for file, key, name in places if isinstance(name, str)), None
        )


def read_word(folder: Path) -> FolderWord:
    """Read the files that say how a folder is scored; those that are missing say nothing.

    Raises:
        StartError: one is there and cannot be used.
    """
    path = folder / MODULES
    modules = _modules(path) if path.exists() else ()
    path = folder / SETTINGS
    settings = read_json(path, SavedSettings) if path.exists() else SavedSettings()
    for name, prompt in (settings.prompts or {}).items():
        if len(prompt or "") > MAX_PROMPT_CHARACTERS:
            raise StartError(
                f"{path}: prompts.{shown(name)[1:-1]} has {len(prompt or '')} characters; at most "
                f"{MAX_PROMPT_CHARACTERS} are read. Shorten or remove it."
            )
    path = folder / CONFIG
    config = read_json(path, ConfigWord) if path.exists() else ConfigWord()
    kind = _kind(modules, settings, config)
    return FolderWord(
        folder=folder,
        modules=modules,
        settings=settings,
        config=config,
        kind=kind,
        labels=_labels(folder, modules, config, kind),
    )


def _modules(path: Path) -> tuple[Module, ...]:
    """The modules, few and told apart, each with a path that a message can show.

    Raises:
        StartError: modules.json is damaged, or they are not.
    """
    modules = tuple(read_json(path, list[Module]))
    if len(modules) > MAX_MODULES:
        raise StartError(f"{path} has {len(modules)} modules; at most {MAX_MODULES} are run.")
    for module in modules:
        if len(module.path) > MAX_PATH_CHARACTERS or not module.path.isprintable():
            raise StartError(
                f"{path}: the path {shown(module.path)} of {shown(module.kind)} is no folder's "
                f"name: printable, of at most {MAX_PATH_CHARACTERS} characters."
            )
    names = [module.name for module in modules if module.name is not None]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise StartError(
            f"{path}: two modules have the name {shown(twice)}; sentence-transformers would run "
            "the later one in the place of both. Give each its own."
        )
    return modules


class _Outputs(msgspec.Struct):
    out_features: int | None = None


def _labels(folder: Path, modules: Sequence[Module], config: ConfigWord, kind: Kind) -> int:
    """What the last module of a cross-encoder gives; 1 where its loader will say what is wrong."""
    if kind in ("logit-score", "causal", "listwise", "vision"):  # whose config.json has none
        return 1
    if kind != "modules":
        return config.labels
    path = folder / modules[-1].path / CONFIG
    is_inside = (
        ".." not in Path(modules[-1].path).parts and not Path(modules[-1].path).is_absolute()
    )
    return (read_json(path, _Outputs).out_features if is_inside and path.exists() else None) or 1


def colbert_signs(
    modules: Sequence[Module], settings: SavedSettings, config: ConfigWord
) -> tuple[str, ...]:
    """What says that a folder is a ColBERT model, by file; () = nothing does."""
    signs = [f"{SETTINGS}: model_type {settings.model_type!r}"]
    signs = signs if settings.model_type in _LATE else []
    signs += [f"{SETTINGS}: query_prefix"] if settings.query_prefix is not None else []
    signs += [f"{MODULES}: {m.type}" for m in modules if m.type.startswith("pylate.")][:1]
    is_named = "colbert" in config.architecture.lower()
    return (*signs, *([f"{CONFIG}: {config.architecture}"] if is_named else []))


def _kind(modules: Sequence[Module], settings: SavedSettings, config: ConfigWord) -> Kind:
    """By the first sign that is there."""
    kinds = [module.kind for module in modules]
    is_more = bool(kinds) and kinds != [TRANSFORMER]
    is_cross_encoder = settings.model_type in (None, "CrossEncoder")
    names = (config.model_type, config.architecture)
    signs: tuple[tuple[bool, Kind], ...] = (
        (any(name in _STATIC for name in (*names, *kinds)), "static"),
        (any(name in _VISION for name in names), "vision"),
        (config.architecture in _LISTWISE, "listwise"),
        (bool(colbert_signs(modules, settings, config)), "late-interaction"),
        (any(kind in _TOKEN_HEADS for kind in kinds), "logit-score"),
        (is_more and settings.model_type == "CrossEncoder", "modules"),
        (is_more or not is_cross_encoder, "bi-encoder"),
        (config.architecture.endswith("ForCausalLM"), "causal"),
    )
    for is_there, kind in signs:
        if is_there:
            return kind
    return "classifier"
