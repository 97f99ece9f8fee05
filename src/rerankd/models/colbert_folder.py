"""What a ColBERT folder says of how texts are read: PyLate's form, Stanford's, and ST's own.

PyLate keeps it in config_sentence_transformers.json, Stanford in artifact.metadata, and
sentence-transformers 6 in its modules' own files. Where PyLate and sentence-transformers disagree
about prompts the folder is refused. Else words of the skiplist that are no token, and Stanford's
mask_punctuation, are read as the latter does; lengths that are not said are PyLate's.
Sources: PyLate 1.6, models/colbert.py; sentence-transformers 6.2, multi_vector_encoder/model.py,
modules/multi_vector_mask.py and base/modules/transformer.py.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.body import STANFORD
from rerankd.models.folder_file import read_json, shown
from rerankd.models.folder_word import MODULES, SETTINGS, TRANSFORMER, FolderWord, Module
from rerankd.models.sizes import Size
from rerankd.models.transformer_module import read_states_module
from rerankd.models.unsupported import refuse_unsupported

SENTENCE: Final = "sentence_bert_config.json"
METADATA: Final = "artifact.metadata"
_QUERY_LENGTH: Final = 32
_DOCUMENT_LENGTH: Final = 180
_PUNCTUATION: Final = tuple(string.punctuation)
_TOKENS: Final = "token_embeddings"
_BOTH: Final = ("query", "document")


class ExpansionFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`query_expansion`: a query is filled up with tokens that have vectors too."""

    strategy: Literal["fixed", "min"]  # "fixed": and cut to the same length
    length: Size
    attend: bool = False  # whether other tokens look at them
    token: str | None = None  # None = the mask token, else the end of the text


class _Sentence(msgspec.Struct):
    """sentence_bert_config.json, as far as it is followed here."""

    max_seq_length: Size | None = None
    do_lower_case: bool = False
    query_length: Size | None = None
    document_length: Size | None = None
    query_expansion: ExpansionFields | None = None


class _Metadata(msgspec.Struct):
    """artifact.metadata."""

    query_token_id: str | None = None
    doc_token_id: str | None = None
    query_maxlen: Size | None = None
    doc_maxlen: Size | None = None
    mask_punctuation: bool = True
    attend_to_mask_tokens: bool | None = None
    similarity: str = "cosine"
    interaction: str = "colbert"


class _Mask(msgspec.Struct):
    """config.json of MultiVectorMask."""

    skiplist_words: list[str] | None = None
    skiplist_tasks: list[str] | str | None = None
    keep_only_token_ids: list[int] | None = None


class _Normalize(msgspec.Struct):
    """config.json of Normalize."""

    module_input_name: str = "sentence_embedding"
    module_output_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWord:
    """How queries, or documents, are read."""

    marker: str | None = None  # one token, put in behind the first; None = none
    prompt: str = ""  # text before each text
    length: int | None = None  # of a row, special tokens included; None = the model's own
    skiplist: tuple[str, ...] = ()  # tokens without a vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ColbertWord:
    """What the folder says; tokens are still words."""

    path: Path  # of the file that says most of it
    query: SideWord
    document: SideWord
    expansion: ExpansionFields | None
    is_normalised: bool = True  # vectors
    is_mean: bool = False  # MaxSim divided by the number of the query's vectors
    is_lower_case: bool = False
    max_seq_length: int | None = None
    dense: tuple[Path, ...] = ()  # folders of the layers behind the body, in order
    has_own_linear: bool = False  # one of them stands beside the body's tensors


def colbert_word(word: FolderWord) -> ColbertWord:
    """Read the form that the folder has.

    Raises:
        StartError: a file is missing or damaged, or says what is not computed here.
    """
    if not word.modules:
        if word.config.architecture != STANFORD:
            raise StartError(
                f"{word.folder / MODULES} is missing: without it, where the linear layer behind "
                "the encoder lies is not known. Use the folder as its publisher has it."
            )
        return _stanford(word.folder)
    if word.settings.model_type == "MultiVectorEncoder":
        return _multi_vector(word)
    return _pylate(word)


def _stanford(folder: Path) -> ColbertWord:
    path = folder / METADATA
    said = read_json(path, _Metadata) if path.exists() else _Metadata()
    wrong = {
        f"similarity {shown(said.similarity)} (only cosine)": said.similarity != "cosine",
        f"interaction {shown(said.interaction)} (only colbert)": said.interaction != "colbert",
    }
    refuse_unsupported(path, wrong)
    length = said.query_maxlen or _QUERY_LENGTH
    skiplist = _PUNCTUATION if said.mask_punctuation else ()
    return ColbertWord(
        path=path,
        query=SideWord(marker=said.query_token_id or "[unused0]", length=length),
        document=SideWord(
            marker=said.doc_token_id or "[unused1]",
            length=said.doc_maxlen or _DOCUMENT_LENGTH,
            skiplist=skiplist,
        ),
        expansion=ExpansionFields("fixed", length, attend=bool(said.attend_to_mask_tokens)),
        has_own_linear=True,
    )


def _pylate(word: FolderWord) -> ColbertWord:
    said, path = word.settings, word.folder / SETTINGS
    sentence = _sentence(word.folder)
    prefixes = {
        "query": "[Q] " if said.query_prefix is None else said.query_prefix,
        "document": "[D] " if said.document_prefix is None else said.document_prefix,
    }
    prompts = said.prompts or {}
    # PyLate puts none of them in unless it is the default, sentence-transformers those of a role
    disputed = [
        role
        for role, prompt in prompts.items()
        if prompt and not (role in prefixes and prompt == prefixes[role])
    ]
    wrong = {
        f"prompts.{role} (PyLate and sentence-transformers use it differently)": (
            role in prefixes or role == said.default_prompt_name
        )
        for role in disputed
    }
    lengths = {"query_length": said.query_length, "document_length": said.document_length}
    wrong |= {f"{key} {n}": n is not None and n < 1 for key, n in lengths.items()}
    refuse_unsupported(path, wrong)
    length = said.query_length or _QUERY_LENGTH
    words = _PUNCTUATION if said.skiplist_words is None else tuple(said.skiplist_words)
    expansion = None
    if said.do_query_expansion is not False:
        attend = bool(said.attend_to_expansion_tokens)
        expansion = ExpansionFields("fixed", length, attend=attend)
    return ColbertWord(
        path=path,
        query=SideWord(marker=prefixes["query"] or None, length=length),
        document=SideWord(
            marker=prefixes["document"] or None,
            length=said.document_length or _DOCUMENT_LENGTH,
            skiplist=words,
        ),
        expansion=expansion,
        is_mean=said.similarity_fn_name == "meanmaxsim",
        is_lower_case=sentence.do_lower_case,
        dense=_dense_of(word, (TRANSFORMER, "Dense")),
    )


def _multi_vector(word: FolderWord) -> ColbertWord:
    sentence, prompts = _sentence(word.folder), word.settings.prompts or {}
    dense = _dense_of(word, (TRANSFORMER, "Dense", "MultiVectorMask", "Normalize"))
    mask = _module(word, "MultiVectorMask")
    skiplists = dict.fromkeys(_BOTH, ())
    if mask is not None:
        skiplists = _skiplists(word.folder / mask.path / "config.json")
    elif sentence.query_expansion is not None:
        raise StartError(
            f"{word.folder / SENTENCE}: query_expansion without a MultiVectorMask in {MODULES}, "
            "which would give its tokens vectors. Remove one or add the other."
        )
    grown, most = sentence.query_expansion, sentence.query_length
    if grown is not None and most is not None and most < grown.length:
        raise StartError(
            f"{word.folder / SENTENCE}: query_length {most} is smaller than "
            f"query_expansion.length {grown.length}; sentence-transformers loads no such folder."
        )
    normalize = _module(word, "Normalize")
    if normalize is not None:
        path = word.folder / normalize.path / "config.json"
        fields = read_json(path, _Normalize) if path.exists() else _Normalize()
        names = (fields.module_input_name, fields.module_output_name or fields.module_input_name)
        wrong = {f"it normalises {shown(names)} (only {_TOKENS})": names != (_TOKENS, _TOKENS)}
        refuse_unsupported(path, wrong)
    sides = {
        role: SideWord(
            prompt=prompts.get(role) or "",  # a default prompt is not for them
            length=length,
            skiplist=skiplists[role],
        )
        for role, length in zip(
            _BOTH, (sentence.query_length, sentence.document_length), strict=True
        )
    }
    return ColbertWord(
        path=word.folder / SENTENCE,
        query=sides["query"],
        document=sides["document"],
        expansion=sentence.query_expansion,
        is_normalised=normalize is not None,
        is_mean=word.settings.similarity_fn_name == "meanmaxsim",
        is_lower_case=sentence.do_lower_case,
        max_seq_length=sentence.max_seq_length,
        dense=dense,
    )


def _sentence(folder: Path) -> _Sentence:
    read_states_module(folder, has_lengths=True)  # refuses what nobody follows
    path = folder / SENTENCE
    return read_json(path, _Sentence) if path.exists() else _Sentence()


def _dense_of(word: FolderWord, known: Sequence[str]) -> tuple[Path, ...]:
    """The folders of the linear layers, of modules that are all known and in a known order."""
    kinds = [module.kind for module in word.modules]
    unknown = [kind for kind in kinds if kind not in known]
    last = max((i for i, kind in enumerate(kinds) if kind == "Dense"), default=0)
    is_ordered = kinds[0] == TRANSFORMER and TRANSFORMER not in kinds[1:]
    is_ordered &= "Normalize" not in kinds[:last] and word.modules[0].path == ""
    if unknown or not is_ordered:
        what = f"the module {shown(unknown[0])[1:-1]}" if unknown else "this order of modules"
        raise StartError(
            f"{word.folder / MODULES}: {what} is not supported in a ColBERT model "
            f"({shown(', '.join(kinds))[1:-1]}); rerankd reads {', '.join(known)}."
        )
    return tuple(_inside(word, module) for module in word.modules if module.kind == "Dense")


def _inside(word: FolderWord, module: Module) -> Path:
    """A module's folder, which lies in the model's."""
    parts = Path(module.path).parts
    if not parts or Path(module.path).is_absolute() or ".." in parts:
        raise StartError(f"{word.folder / MODULES}: {shown(module.path)} is no folder in it.")
    return word.folder / module.path


def _module(word: FolderWord, kind: str) -> Module | None:
    """The module of a kind, of which there is one or none."""
    found = [module for module in word.modules if module.kind == kind]
    if len(found) > 1:
        raise StartError(f"{word.folder / MODULES}: {kind} is there {len(found)} times.")
    if found:
        _inside(word, found[0])
    return found[0] if found else None


def _skiplists(path: Path) -> dict[str, tuple[str, ...]]:
    """Tokens that have no vector, of queries and of documents."""
    said = read_json(path, _Mask)
    tasks = said.skiplist_tasks if said.skiplist_tasks is not None else ["document"]
    tasks = [tasks] if isinstance(tasks, str) else tasks
    unknown = [task for task in tasks if task not in _BOTH]
    wrong = {
        f"keep_only_token_ids {shown(said.keep_only_token_ids)}, which are of images": bool(
            said.keep_only_token_ids
        ),
        f"skiplist_tasks {shown(unknown)}": bool(unknown),
    }
    refuse_unsupported(path, wrong)
    words = tuple(said.skiplist_words or ())
    return {role: words if role in tasks else () for role in _BOTH}
