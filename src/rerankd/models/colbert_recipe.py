"""From a ColBERT folder's words to token ids: how a text becomes the row that the encoder reads."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.rows import TokenIds
from rerankd.engines.multi_vector import TokenText
from rerankd.models.body import EncoderBody
from rerankd.models.colbert_folder import SENTENCE, ColbertWord, ExpansionFields, SideWord
from rerankd.models.folder_file import read_json, shown
from rerankd.models.single_template import SingleTemplate, single_template
from rerankd.models.tokenizer_config import NAME
from rerankd.models.unigram_tokenizer import UnigramTokenizer
from rerankd.models.unsupported import refuse_unsupported

if TYPE_CHECKING:
    pass

MIN_ROOM: Final = 4  # tokens of a text that a row must have room for
# Of classes that need not say it. Source: transformers 5.24.
_MASKS: Final = {"bert": "[MASK]", "xlm-roberta": "<mask>", "modernbert": "[MASK]", "gte": "<mask>"}


class _Token(msgspec.Struct):
    """A special token as tokenizer_config.json may write it."""

    content: str


class _SpecialTokens(msgspec.Struct):
    mask_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    padding_side: str = "right"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Side:
    """How queries, or documents, become rows."""

    head: TokenIds  # what a row starts with: [CLS], the marker
    tail: TokenIds  # what it ends with: [SEP]
    prompt: str  # text that is tokenised with each text, before it
    length: int  # of a row at most
    skipped: TokenIds  # ids without a vector

    @property
    def room(self) -> int:
        """Tokens that prompt and text may have."""
        return self.length - self.head.size - self.tail.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What a query is filled up with."""

    length: int  # of its row, at least
    token: int
    is_attended: bool  # others look at these tokens


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ColbertRecipe:
    """How a pair's texts become rows."""

    query: Side
    document: Side
    expansion: Expansion | None

    def query_row(self, ids: TokenIds, scope: bytes, *, prompt: int) -> TokenText:
        """A query's row; ids with its prompt of so many, at most query.room of them."""
        side = self.query
        row = np.concatenate([side.head, ids, side.tail])
        attended, grown = row.size, self.expansion
        if grown is not None and row.size < grown.length:
            fill = np.full(grown.length - row.size, grown.token, np.int32)
            row = np.concatenate([row, fill])
            attended = row.size if grown.is_attended else attended
        own = side.head.size + prompt, side.head.size + ids.size
        return TokenText(row, attended, _key(row, scope, attended), side.skipped, own)

    def document_row(
        self, ids: TokenIds, scope: bytes, *, prompt: int, begins: int = 0
    ) -> TokenText:
        """The row of a document, or of a chunk that begins with its token of that index.

        The ids with a prompt of so many, at most document.room.
        """
        side = self.document
        row = np.concatenate([side.head, ids, side.tail])
        own = side.head.size + prompt, side.head.size + ids.size
        return TokenText(row, row.size, _key(row, scope, 0), side.skipped, own, begins)


def colbert_recipe(
    said: ColbertWord, body: EncoderBody, *, window_tokens: int | None = None
) -> ColbertRecipe:
    """Look up what the folder says in its tokenizer.

    Args:
        said: by the folder.
        body: its encoder; its tokenizer becomes lower case if the folder says so.
        window_tokens: longest row of a document; None = the folder's.

    Raises:
        StartError: a marker is no token, or a length leaves no room for a text.
    """
    if said.is_lower_case:
        _lower(body)
    template = single_template(body.tokenizer)
    own = min(
        limit
        for limit in (body.config.max_length, body.model_max_length, said.max_seq_length)
        if limit is not None
    )
    if window_tokens is not None and window_tokens > body.config.max_length:
        raise StartError(
            f"{body.folder}: a window of {window_tokens} tokens is not possible; the model reads "
            f"{body.config.max_length}."
        )
    expansion = _expansion(said.expansion, body)
    length = said.query.length or own
    if said.expansion is not None:
        floor = said.expansion.length
        length = floor if said.expansion.strategy == "fixed" else max(length, floor)
    if expansion is not None and expansion.length > body.config.max_length:
        raise StartError(
            f"{said.path}: queries are filled up to {expansion.length} tokens, but the model "
            f"reads {body.config.max_length}."
        )
    window = window_tokens or said.document.length or own
    recipe = ColbertRecipe(
        query=_side(said, said.query, body, template, length),
        document=_side(said, said.document, body, template, window),
        expansion=expansion,
    )
    _refuse_blind(recipe, body, said)
    return recipe


def _side(
    all_said: ColbertWord,
    said: SideWord,
    body: EncoderBody,
    template: SingleTemplate,
    length: int,
) -> Side:
    tokenizer, head = body.tokenizer, template.prefix
    role = "query" if said is all_said.query else "document"
    if said.marker is not None:
        marker = tokenizer.token_to_id(said.marker)
        if marker is None or not head.size:
            raise StartError(
                f"{all_said.path}: the {role} marker {shown(said.marker)} is no token of "
                "tokenizer.json, or there is no token that it could stand behind; the model "
                "would read texts without it. Use the tokenizer files of the model's publisher."
            )
        head = np.insert(head, 1, np.int32(marker))
    ids = [tokenizer.token_to_id(word) for word in said.skiplist]
    side = Side(
        head=head,
        tail=template.suffix,
        prompt=said.prompt,
        length=min(length, body.config.max_length),
        skipped=np.array(sorted({id_ for id_ in ids if id_ is not None}), np.int32),
    )
    prompted = len(tokenizer.encode(said.prompt, add_special_tokens=False).ids)
    if side.room - prompted < MIN_ROOM:
        raise StartError(
            f"{all_said.path}: a {role} of at most {side.length} tokens leaves no room for a text "
            f"({side.head.size + side.tail.size + prompted} stand around it)."
        )
    return side


def _expansion(said: ExpansionFields | None, body: EncoderBody) -> Expansion | None:
    if said is None:
        return None
    path = body.folder / NAME
    tokens = read_json(path, _SpecialTokens) if path.exists() else _SpecialTokens()
    side = tokens.padding_side
    refuse_unsupported(
        path, {f"padding_side {shown(side)}, where queries are filled up": side != "right"}
    )
    mask = _word(tokens.mask_token) or _MASKS[body.config.architecture]
    wanted = [said.token] if said.token is not None else [mask, _word(tokens.eos_token)]
    found = (body.tokenizer.token_to_id(word) for word in wanted if word is not None)
    token = next((id_ for id_ in found if id_ is not None), None)
    if token is None:
        raise StartError(
            f"{path}: queries are filled up with {shown(wanted[0])}, which is no token of "
            "tokenizer.json. Use the tokenizer files of the model's publisher."
        )
    return Expansion(length=said.length, token=token, is_attended=said.attend)


def _word(token: str | _Token | None) -> str | None:
    return token.content if isinstance(token, _Token) else token


def _refuse_blind(recipe: ColbertRecipe, body: EncoderBody, said: ColbertWord) -> None:
    """Refuse queries of which a token may see nothing at all: libraries differ in what it is then.

    Raises:
        StartError: local attention reaches less far than an unattended expansion goes.
    """
    grown, config = recipe.expansion, body.config
    if grown is None or grown.is_attended or config.architecture != "modernbert":
        return
    shortest = recipe.query.head.size + recipe.query.tail.size
    if not all(config.is_global) and grown.length - shortest > config.reach:
        raise StartError(
            f"{said.path}: queries are filled up to {grown.length} tokens that none looks at, "
            f"and local_attention (config.json) sees {config.reach} to each side; the last of "
            "them would see nothing."
        )


def _lower(body: EncoderBody) -> None:
    """do_lower_case of sentence_bert_config.json: before whatever the tokenizer does itself."""
    tokenizer = body.tokenizer
    if isinstance(tokenizer, UnigramTokenizer):
        raise StartError(
            f"{body.folder / SENTENCE}: do_lower_case is not supported for this tokenizer."
        )
    from tokenizers.normalizers import Lowercase, Sequence

    own = tokenizer.normalizer
    tokenizer.normalizer = Sequence([Lowercase(), *([own] if own is not None else [])])


def _key(row: TokenIds, scope: bytes, attended: int) -> bytes:
    """Equal for equal rows of one scope only: 128 bits of BLAKE2b."""
    salt = attended.to_bytes(8, "little")
    return blake2b(row.tobytes(), digest_size=16, salt=salt, person=scope).digest()
