"""From a name or a folder to a loaded, checked model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from rerankd.core.chunk import ChunkRule
from rerankd.core.errors import StartError
from rerankd.core.graph_cache import GraphCache
from rerankd.core.options import (
    BY_THE_CARD,
    VECTOR_CACHE_BYTES,
    LoadOptions,
    Precision,
    PromptName,
    asked_precision,
)
from rerankd.core.trial import PrecisionTrial
from rerankd.engines.graph_source import files_of, made_from
from rerankd.models import catalog, hub
from rerankd.models.activation import RAW, SIGMOID, Activation
from rerankd.models.auto_precision import fastest
from rerankd.models.base import AnyModel
from rerankd.models.cause import explained
from rerankd.models.folder_recipe import (
    chosen_activation,
    folder_activation,
    query_prompt,
    refuse_other_models,
)
from rerankd.models.folder_word import FolderWord, read_word
from rerankd.models.foreign import a_file, refuse_foreign
from rerankd.models.loaders import LOADERS, READ_PROMPTS_THEMSELVES, Opening
from rerankd.models.published import Checked, Example, check_examples
from rerankd.models.selfcheck import self_check
from rerankd.models.shipped import open_shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What is to be loaded: resolved from what the operator wrote, nothing opened yet."""

    name: str  # what it is served under
    aliases: tuple[str, ...] = ()  # other published names of the same weights
    folder: Path | None = None  # None = it ships inside
    options: LoadOptions = BY_THE_CARD
    chunk_rule: ChunkRule = "bce"
    named_by_catalog: bool = False
    activation: Activation = SIGMOID  # a catalog model's
    recipe: PromptName | None = None  # likewise, of a decoder
    examples: tuple[Example, ...] = ()  # what its model card prints, for a catalog model
    vector_cache_bytes: int = VECTOR_CACHE_BYTES  # of a model that remembers documents
    graph_cache: GraphCache | None = None  # of compiled graphs; None = none are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that passed its self-check, and what the check wants the operator to know."""

    model: AnyModel
    warnings: tuple[str, ...]
    examples: tuple[Checked, ...] = ()
    trials: tuple[PrecisionTrial, ...] = ()  # of precision = "auto", fp32 first


def resolve(name_or_folder: str, options: LoadOptions = BY_THE_CARD) -> Spec:
    """What a `--model` value means: a catalog name, a folder, or a repository in the hub cache.

    NAME=FOLDER serves a folder under another name; with a catalog name, by that entry's recipe.

    Raises:
        StartError: it is none of these, or its weights are not here or cannot be reached, or it
            ships inside and cannot be run in another way; the message says what to do.
    """
    with explained(f"--model {name_or_folder}"):
        return _resolved(name_or_folder, options)


def _resolved(name_or_folder: str, options: LoadOptions) -> Spec:
    name, equals, written = name_or_folder.partition("=")
    if equals and "," not in name and not Path(name_or_folder).expanduser().is_dir():
        return _named(name, Path(written).expanduser(), options)
    entry = catalog.find(name_or_folder)
    if entry is not None:
        if entry.ships_inside and options != BY_THE_CARD:
            raise StartError(
                f"{entry.name} ships with rerankd and runs in one way only: leave window_tokens, "
                "engine, quantization, device, precision, streams and score unset for it."
            )
        folder = None if entry.ships_inside else hub.cached_folder(entry.name)
        return _of_catalog(entry, folder, options)
    folder = Path(name_or_folder).expanduser()
    if folder.is_file():
        raise a_file(folder)
    if folder.is_dir():
        return Spec(name=folder.resolve().name, folder=folder.resolve(), options=options)
    if hub.looks_like_repository(name_or_folder):
        return Spec(
            name=name_or_folder,
            folder=hub.cached_folder(name_or_folder),
            options=options,
        )
    settings = (
        f' Settings are in [model."{name_or_folder.partition(",")[0]}"] of the configuration file.'
        if "," in name_or_folder
        else ""
    )
    raise StartError(
        f"--model {name_or_folder}: no such folder, and not a name of the catalog. "
        f"`rerankd models` lists the catalog.{settings}"
    )


def _of_catalog(entry: catalog.CatalogEntry, folder: Path | None, options: LoadOptions) -> Spec:
    return Spec(
        name=entry.name,
        aliases=entry.aliases,
        folder=folder,
        options=replace(options, window_tokens=options.window_tokens or entry.window_tokens),
        chunk_rule=entry.chunk_rule,
        named_by_catalog=True,
        activation=entry.activation,
        recipe=entry.recipe,
        examples=entry.examples,
    )


def _named(name: str, folder: Path, options: LoadOptions) -> Spec:
    """NAME=FOLDER."""
    if not name or name != name.strip() or not name.isprintable():
        raise StartError(f"--model {name}={folder}: the name before = must not be empty or blank.")
    if folder.is_file():
        raise a_file(folder)
    if not folder.is_dir():
        raise StartError(f"--model {name}={folder}: no such folder: {folder}.")
    entry = catalog.find(name)
    if entry is None:
        return Spec(name=name, folder=folder.resolve(), options=options)
    if entry.ships_inside:
        raise StartError(f"--model {name}={folder}: {name} ships with rerankd. Use another name.")
    return _of_catalog(entry, folder.resolve(), options)


def load(spec: Spec) -> Loaded:
    """Open, build and check a model. Blocking: seconds for a large checkpoint.

    Raises:
        StartError: the checkpoint is damaged or of an unsupported kind, cannot be read, does not
            fit into memory, or its scores are wrong; whatever a library raised, with its cause.
    """
    with explained(f"Model {spec.name}"):
        if asked_precision(spec.options) != "auto":
            return _load(spec)
        found, trials = fastest(lambda precision: _load_in(precision, spec))
        return dataclasses.replace(found, trials=trials)


def _load_in(precision: Precision, spec: Spec) -> Loaded:
    """Raises StartError."""
    with explained(f"Model {spec.name}"):
        options = replace(spec.options, precision=precision)
        return _load(dataclasses.replace(spec, options=options))


def _load(spec: Spec) -> Loaded:
    word = None
    if spec.folder is not None:
        refuse_foreign(spec.folder)
        word = read_word(spec.folder)
    files = () if spec.folder is None else files_of(spec.folder)
    with made_from(files, spec.graph_cache):
        model = _open(spec, word)
    try:
        warnings = (*_said(spec, word, model), *self_check(model))
        examples = check_examples(model, spec.examples)
    except BaseException:
        model.engine.close()
        raise
    return Loaded(model=model, warnings=warnings, examples=examples)


def _open(spec: Spec, word: FolderWord | None) -> AnyModel:
    if word is None:
        return open_shipped(spec.name, spec.vector_cache_bytes)
    own, prompt = spec.activation, ""
    if not spec.named_by_catalog:
        if word.kind not in LOADERS:
            refuse_other_models(word)
        if word.kind not in READ_PROMPTS_THEMSELVES:
            prompt = query_prompt(word)
        own = folder_activation(word) if spec.options.score is None else own
    activation = chosen_activation(spec.options.score, word.kind, own, spec.name)
    if spec.options.prompt is not None and not word.reads_prompt:
        raise StartError(
            f'[model."{spec.name}"] prompt = "{spec.options.prompt}": a model of this kind '
            f"({word.kind}) reads no prompt; leave it unset."
        )
    opening = Opening(
        folder=word.folder,
        word=word,
        name=spec.name,
        options=spec.options,
        activation=activation,
        query_prompt=prompt,
        chunk_rule=spec.chunk_rule,
        recipe=spec.options.prompt or spec.recipe,
        named_by_catalog=spec.named_by_catalog,
        vector_cache_bytes=spec.vector_cache_bytes,
    )
    # a catalog name on a folder of a kind without a loader: the classifier's says what is wrong
    return LOADERS.get(word.kind, LOADERS["classifier"])(opening)


def _said(spec: Spec, word: FolderWord | None, model: AnyModel) -> tuple[str, ...]:
    """That scores are logits, because the folder says so."""
    found = None if word is None else word.activation_fn
    if word is None or found is None or spec.named_by_catalog or spec.options.score is not None:
        return ()
    if model.card.activation != RAW:
        return ()
    file, key, _ = found
    sentence = (
        f"{word.folder / file}: {key} is Identity, so relevance_score is the logit, as in "
        f'raw_scores; score = "sigmoid" in [model."{spec.name}"] brings it to 0..1, in the same '
        "order."
    )
    return (sentence,)
