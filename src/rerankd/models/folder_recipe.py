"""What a folder says about scoring outside of config.json: followed, or refused by file and key.

A folder whose scores would be other ones without these files is never served as if they were not
there.
"""

from __future__ import annotations

from typing import Final

from rerankd.core.errors import StartError
from rerankd.core.options import Score
from rerankd.models.activation import RAW, SIGMOID, Activation
from rerankd.models.folder_file import shown
from rerankd.models.folder_word import (
    CONFIG,
    MODULES,
    SETTINGS,
    FolderWord,
    Kind,
)

_SIGMOID: Final = (
    "torch.nn.modules.activation.Sigmoid",
    "torch.nn.Sigmoid",
)
_SOFTMAX: Final = ("torch.nn.modules.activation.Softmax", "torch.nn.Softmax")
_IDENTITY: Final = ("torch.nn.modules.linear.Identity", "torch.nn.Identity")
_ALTERNATIVES: Final = "Use a reranker (`rerankd models` lists some)."
# What the operator may choose, by kind; of all others sigmoid and raw.
_CHOICES: Final[dict[Kind, tuple[Score, ...]]] = {
    "late-interaction": ("raw", "mean"),
    "bi-encoder": ("cosine",),
    "listwise": ("cosine", "raw"),
}
_OF_PAIRS: Final[tuple[Kind, ...]] = ("classifier", "modules")  # whose prompts are followed
_UNSAVED: Final = (
    "sentence-transformers follows it only beside modules.json, and if model_type is CrossEncoder. "
    "Put the whole folder here as it was saved; if it is whole, take the key out."
)
_USUAL: Final[tuple[Score, ...]] = ("sigmoid", "raw")


def refuse_other_models(word: FolderWord) -> None:
    """A kind that nothing here loads: tables of word vectors, which score no pairs.

    Raises:
        StartError: always; it names file and key, and what the folder is.
    """
    if any(module.kind == "StaticEmbedding" for module in word.modules):
        raise StartError(
            f"{word.folder / MODULES}: StaticEmbedding is a table of word vectors: an embedding "
            f"model, which scores no pairs. {_ALTERNATIVES}"
        )
    raise StartError(
        f"{word.folder / CONFIG}: model_type {shown(word.config.model_type)} is a model2vec "
        f"folder, a table of word vectors: an embedding model, which scores no pairs. "
        f"{_ALTERNATIVES}"
    )


def query_prompt(word: FolderWord) -> str:
    """What stands before every query; other prompts are only used by those who ask for them.

    A decoder's template has a place for it: the default instruction.

    Raises:
        StartError: there is one, and it is not clear that it is meant, or where.
    """
    settings = word.settings
    if settings.default_prompt is None:
        return ""
    name = f"{word.folder / SETTINGS}: default_prompt_name {shown(settings.default_prompt_name)}"
    if settings.default_prompt_name not in (settings.prompts or {}):
        raise StartError(f"{name} has no prompt in prompts (missing). Set it to null, or add it.")
    if word.reads_prompt:
        return ""
    if word.kind not in _OF_PAIRS:
        raise StartError(
            f"{name} puts the prompt {shown(settings.default_prompt)} before every query, which "
            "rerankd does not do yet; its scores would be other ones. Set default_prompt_name to "
            "null if the model is to be served without."
        )
    if not word.has_saved_settings:
        raise StartError(f"{name} and its prompt {shown(settings.default_prompt)}: {_UNSAVED}")
    return settings.default_prompt


def folder_activation(word: FolderWord) -> Activation:
    """What the folder makes a score of a logit with.

    sentence-transformers 6: of what is saved, the newest place; where nothing is, one label has
    the sigmoid. Of two labels the logit is the difference, whose sigmoid is their softmax.

    Raises:
        StartError: it is none that is known.
    """
    found = word.activation_fn
    if found is None:
        return SIGMOID
    file, key, name = found
    labels = word.labels
    if labels == 2 and name in (*_SOFTMAX, *_IDENTITY):
        return SIGMOID
    if labels != 2 and name in _SIGMOID:
        return SIGMOID
    if labels != 2 and name in _IDENTITY:
        if file == SETTINGS and word.kind == "classifier" and not word.has_saved_settings:
            raise StartError(f"{word.folder / file}: {key} {shown(name)}: {_UNSAVED}")
        return RAW
    each = ", of each of two labels by itself" if labels == 2 and name in _SIGMOID else ""
    raise StartError(
        f"{word.folder / file}: {key} is {shown(name)}{each}; rerankd computes Sigmoid or Identity "
        "of one label and the softmax of two, and would answer with other scores. Choose one in "
        '[model."NAME"]: score = "sigmoid" or "raw".'
    )


def chosen_activation(score: Score | None, kind: Kind, own: Activation, name: str) -> Activation:
    """The operator's choice, or the model's own.

    Args:
        score: the setting; None = not set.
        kind: of the folder.
        own: by the folder or the catalog.
        name: of the model, for the message.

    Raises:
        StartError: such a model has no such score.
    """
    allowed = _CHOICES.get(kind, _USUAL)
    if score is None:
        return own
    if score not in allowed:
        words = " or ".join(f'"{each}"' for each in allowed)
        raise StartError(
            f'[model."{name}"] score = "{score}": a model of this kind ({kind}) has {words}.'
        )
    return SIGMOID if score == "sigmoid" else RAW
