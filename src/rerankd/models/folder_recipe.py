"""What a folder says about scoring outside of config.json: followed, or refused by file and key.

sentence-transformers keeps a model's modules, prompts and activation in files of its own. A folder
whose scores would be other ones without them is never served as if they were not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import read_json, shown

MODULES: Final = "modules.json"
SETTINGS: Final = "config_sentence_transformers.json"
CONFIG: Final = "config.json"
_TRANSFORMER: Final = "Transformer"
_SIGMOID: Final = "torch.nn.modules.activation.Sigmoid"
_SOFTMAX: Final = "torch.nn.modules.activation.Softmax"
_IDENTITY: Final = "torch.nn.modules.linear.Identity"
_ALTERNATIVES: Final = "Use a reranker (`rerankd models` lists some)."


class _Module(msgspec.Struct):
    """One entry of modules.json, in the order in which they run."""

    type: str  # a dotted class path, which is compared and never imported
    path: str = ""

    @property
    def kind(self) -> str:
        """The class's own name: paths differ between versions."""
        return self.type.rpartition(".")[2]


class _Settings(msgspec.Struct):
    """config_sentence_transformers.json, as far as it changes scores."""

    model_type: str | None = None
    prompts: dict[str, str | None] | None = None
    default_prompt_name: str | None = None
    activation_fn: str | None = None
    query_prefix: str | None = None  # of a ColBERT model
    document_prefix: str | None = None


class _Saved(msgspec.Struct):
    activation_fn: str | None = None


class _Config(msgspec.Struct):
    """What config.json may say about it."""

    model_type: str | None = None
    architectures: list[str] | None = None
    id2label: dict[str, object] | None = None
    num_labels: int | None = None
    sentence_transformers: _Saved | None = None
    sbert_ce_default_activation_function: str | None = None


def check_recipe(folder: Path) -> tuple[str, ...]:
    """Refuse a folder that is scored in another way than config.json alone says.

    Returns:
        What the operator should know, mostly nothing.

    Raises:
        StartError: it is; the message names file and key, and what the folder is.
    """
    path = folder / MODULES
    modules = tuple(read_json(path, list[_Module])) if path.exists() else ()
    path = folder / SETTINGS
    settings = read_json(path, _Settings) if path.exists() else _Settings()
    path = folder / CONFIG
    config = read_json(path, _Config) if path.exists() else _Config()
    _refuse_other_models(folder, modules, settings, config)
    _refuse_prompts(folder / SETTINGS, settings)
    return _activation(folder, settings, config)


def _refuse_other_models(
    folder: Path, modules: Sequence[_Module], settings: _Settings, config: _Config
) -> None:
    """Models that are no cross-encoder, and cross-encoders of modules that are not served."""
    kinds = [module.kind for module in modules]
    names = shown(", ".join(kinds))[1:-1]
    architectures = config.architectures or []
    if config.model_type == "model2vec" or "StaticModel" in architectures[:1]:
        raise StartError(
            f"{folder / CONFIG}: model_type {shown(config.model_type)} is a model2vec folder, a "
            f"table of word vectors: an embedding model, which scores no pairs. {_ALTERNATIVES}"
        )
    if "StaticEmbedding" in kinds:
        raise StartError(
            f"{folder / MODULES}: StaticEmbedding is a table of word vectors: an embedding model, "
            f"which scores no pairs. {_ALTERNATIVES}"
        )
    colbert = [f"{SETTINGS}: model_type {shown(settings.model_type)}"]
    colbert = colbert if settings.model_type in ("ColBERT", "MultiVectorEncoder") else []
    colbert += [f"{SETTINGS}: query_prefix"] if settings.query_prefix is not None else []
    colbert += [f"{MODULES}: {m.type}" for m in modules if m.type.startswith("pylate.")][:1]
    colbert += [f"{CONFIG}: {a}" for a in architectures[:1] if "colbert" in a.lower()]
    if colbert:
        raise StartError(
            f"{folder}/{colbert[0]} is a ColBERT model (late interaction), as PyLate writes it; "
            f"rerankd does not serve that form yet. {_ALTERNATIVES}"
        )
    head = next((m for m in modules if m.kind in ("LogitScore", "CausalScoreHead")), None)
    if head is not None:
        raise StartError(
            f"{folder / MODULES}: {shown(head.path)[1:-1]} ({head.kind}) says which tokens' logits "
            "are the score, and chat_template.jinja the prompt; rerankd does not read these yet "
            "and would use another prompt. A model of the catalog is served under its published "
            "name (--model OWNER/NAME), with the recipe of its card."
        )
    if kinds and kinds != [_TRANSFORMER]:
        if settings.model_type == "CrossEncoder":
            raise StartError(
                f"{folder / MODULES}: a cross-encoder of the modules {names}; rerankd serves those "
                f"whose head is in config.json's model ({_TRANSFORMER} alone). {_ALTERNATIVES}"
            )
        raise StartError(
            f"{folder / MODULES}: the modules {names} are an embedding model, not a reranker: it "
            f"makes vectors of single texts and scores no pairs. {_ALTERNATIVES}"
        )
    if settings.model_type not in (None, "CrossEncoder"):
        raise StartError(
            f"{folder / SETTINGS}: model_type {shown(settings.model_type)} is no reranker (that "
            f"would be CrossEncoder). {_ALTERNATIVES}"
        )


def _refuse_prompts(path: Path, settings: _Settings) -> None:
    """A default prompt stands before every query; others are only used by those who ask."""
    name = settings.default_prompt_name
    if name is None:
        return
    prompt = (settings.prompts or {}).get(name, "(missing)")
    if prompt:
        raise StartError(
            f"{path}: default_prompt_name {shown(name)} puts the prompt {shown(prompt)} before "
            "every query, which rerankd does not do yet; its scores would be other ones. Set "
            "default_prompt_name to null if the model is to be served without."
        )


def _activation(folder: Path, settings: _Settings, config: _Config) -> tuple[str, ...]:
    """What makes a score of a logit: ours is the sigmoid, of two labels the softmax."""
    saved = config.sentence_transformers
    places = (
        (SETTINGS, "activation_fn", settings.activation_fn),
        (CONFIG, "sentence_transformers.activation_fn", saved.activation_fn if saved else None),
        (
            CONFIG,
            "sbert_ce_default_activation_function",
            config.sbert_ce_default_activation_function,
        ),
    )
    found = next(((file, key, name) for file, key, name in places if name is not None), None)
    if found is None:
        return ()
    file, key, name = found
    labels = len(config.id2label) if config.id2label is not None else config.num_labels or 2
    if name == _SIGMOID or (labels == 2 and name in (_SOFTMAX, _IDENTITY)):
        return ()
    if name == _IDENTITY:
        warning = (
            f"{folder / file}: {key} is Identity: the folder's own scores are the logits, which "
            "raw_scores gives; relevance_score is their sigmoid, in the same order."
        )
        return (warning,)
    raise StartError(
        f"{folder / file}: {key} is {shown(name)}; rerankd computes Sigmoid (or Identity, as "
        "raw_scores) and would answer with other scores. Remove the key to be served with Sigmoid."
    )
