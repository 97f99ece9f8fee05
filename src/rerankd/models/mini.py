"""`rerankd-mini`: what ships in builtin/mini, checked and put together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from safetensors import SafetensorError
from tokenizers import Tokenizer

from rerankd.core.errors import StartError
from rerankd.core.options import VECTOR_CACHE_BYTES
from rerankd.engines.encoder import EncoderConfig, Int8Rows, tensor_shapes
from rerankd.engines.late_interaction import LateInteractionEngine
from rerankd.engines.token_vectors import TokenVectors, Window
from rerankd.models.base import ModelCard
from rerankd.models.cause import unreadable
from rerankd.models.families import LATE_INTERACTION
from rerankd.models.late_interaction import LateInteractionModel
from rerankd.models.mixture import ForeignShare, Mixture
from rerankd.models.shipped import SHIPPED
from rerankd.models.text_encoder import TextEncoder

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
TOKENIZER: Final = "tokenizer.json"
PROJECTION: Final = "projection.weight"
PIECE_IDF: Final = "pieces.idf"
PIECE_KINDS: Final = "pieces.kinds"
SCALE: Final = ".scale"  # NAME int8 (N, h) and NAME.scale float32 (N,)

ENCODER, GATE = "minilm", "foreign_share"  # of the names of features

TEXT_SHARE: Final = 8  # word pieces and terms of as many documents take an eighth or less

CARD: Final = ModelCard(
    name="rerankd-mini",
    family=LATE_INTERACTION,
    window_tokens=None,
    score=(
        "Probability that the passage was written for the query rather than one of its closest "
        "or a random other passage, half and half, judged by shared words and by the meaning of "
        "English text."
    ),
    named_by_catalog=True,
    revision="1",
)

Size = Annotated[int, Meta(ge=1)]


class Sizes(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The encoder's sizes; names as in transformers' config.json."""

    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size
    layer_norm_eps: Annotated[float, Meta(gt=0)]


class HeadFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """models.mixture.Mixture, gated by the query's foreign share."""

    knots: Annotated[list[float], Meta(min_length=1)]
    weights: list[list[float]]
    bias: list[float]


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """config.json: everything that is not a tensor or the tokenizer."""

    encoder: Sizes
    token_dimensions: Size
    window_pieces: Size
    head: HeadFields
    sha256: dict[str, str]  # of the other files


def load_mini(
    folder: Path | None = None, *, cache_bytes: int = VECTOR_CACHE_BYTES
) -> LateInteractionModel:
    """Load the model that ships inside, or one built by training/build_mini.py.

    Args:
        folder: config.json, model.safetensors, tokenizer.json; None = those of the package.
        cache_bytes: what document vectors may take; word pieces take a TEXT_SHARE-th more. With 0
            nothing is remembered, queries neither.

    Raises:
        StartError: a file is missing or damaged.
    """
    if folder is not None:
        return _load(folder, cache_bytes)
    with SHIPPED["rerankd-mini"].files() as shipped:
        return _load(shipped, cache_bytes)


def _load(folder: Path, cache_bytes: int) -> LateInteractionModel:
    from rerankd.engines.openvino.token_encoder import TokenEncoder  # here: 0.4 s to import

    config = read_config(folder)
    sizes = encoder_sizes(config.encoder)
    tensors = _Tensors(folder, config, sizes)
    tokenizer = _tokenizer(folder, sizes)
    window = Window(
        pieces=config.window_pieces,
        before=(_special(tokenizer, "[CLS]", folder),),
        after=(_special(tokenizer, "[SEP]", folder),),
    )
    if window.tokens > sizes.max_length:
        raise _damaged(folder / CONFIG, "the window is over the encoder's positions")
    vectors = TokenVectors(
        TokenEncoder(sizes, tensors),
        query_window=window,
        document_window=window,
        idf=tensors.plain(PIECE_IDF, np.float32),
        cache_bytes=cache_bytes,
    )
    engine = LateInteractionEngine({ENCODER: vectors}, given=(GATE,))
    foreign = ForeignShare(tensors.plain(PIECE_KINDS, np.uint8))
    return LateInteractionModel(
        CARD,
        engine,
        [TextEncoder(tokenizer)],
        _mixture(config.head, foreign, len(engine.layout) - 1, folder),
        window_pieces=window.pieces,
        cache_bytes=cache_bytes // TEXT_SHARE,
    )


def read_config(folder: Path) -> Config:
    """config.json, after the files that it names were found to be whole.

    Raises:
        StartError: one is missing or damaged.
    """
    try:
        config = msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config)
        for name in (WEIGHTS, TOKENIZER):
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != config.sha256.get(name):
                raise _damaged(folder / name, "its SHA-256 is not the one in config.json")
    except OSError as error:
        raise _unread(folder, error) from error
    except msgspec.MsgspecError as error:
        raise _damaged(folder / CONFIG, str(error)) from error
    return config


def encoder_sizes(sizes: Sizes) -> EncoderConfig:
    """As the graph builder wants them."""
    return EncoderConfig(
        architecture="bert",
        hidden=sizes.hidden_size,
        layers=sizes.num_hidden_layers,
        heads=sizes.num_attention_heads,
        intermediate=sizes.intermediate_size,
        vocab=sizes.vocab_size,
        positions=sizes.max_position_embeddings,
        token_types=sizes.type_vocab_size,
        layer_norm_eps=sizes.layer_norm_eps,
        labels=0,
        pad_id=0,
    )


# The library's own types are partly unknown.
_load_file = cast(
    "Callable[[Path], dict[str, npt.NDArray[np.generic]]]",
    import_module("safetensors.numpy").load_file,
)


class _Tensors:
    """model.safetensors: matrices as int8 rows, vectors float32; an `engines` Weights."""

    def __init__(self, folder: Path, config: Config, sizes: EncoderConfig) -> None:
        self._file = folder / WEIGHTS
        wanted = tensor_shapes(sizes)
        wanted[PROJECTION] = (config.token_dimensions, sizes.hidden)
        wanted[PIECE_IDF] = wanted[PIECE_KINDS] = (sizes.vocab,)
        self._held: dict[str, npt.NDArray[np.generic]] = {}
        try:
            self._held.update(_load_file(self._file))
        except OSError as error:
            raise _unread(self._file, error) from error
        except SafetensorError as error:
            raise _damaged(self._file, str(error)) from error
        for name, shape in wanted.items():
            if name not in self._held or self._held[name].shape != shape:
                raise _damaged(self._file, f"{name} is missing or not of shape {list(shape)}")

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor of the graph."""
        if self._held[name].dtype == np.int8:
            return Int8Rows(self.plain(name, np.int8), self.plain(name + SCALE, np.float32))
        return self.plain(name, np.float32)

    def plain(self, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """One tensor as it is stored; it is forgotten here, so that the graph owns it."""
        found = self._held.pop(name, None)
        if found is None or found.dtype != dtype:
            raise _damaged(self._file, f"{name} is missing or not {np.dtype(dtype).name}")
        return found


def _mixture(fields: HeadFields, foreign: ForeignShare, features: int, folder: Path) -> Mixture:
    knots = np.array(fields.knots)
    try:
        weights, bias = np.array(fields.weights, np.float64), np.array(fields.bias)
    except ValueError as error:
        raise _damaged(folder / CONFIG, f"head: {error}") from error
    fits = weights.shape == (knots.size, features) and bias.shape == knots.shape
    if not fits or (np.diff(knots) <= 0).any() or (weights < 0).any():
        raise _damaged(folder / CONFIG, "head: knots, weights and bias do not fit")
    return Mixture(foreign, knots, weights, bias)


def _tokenizer(folder: Path, sizes: EncoderConfig) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # the library raises plain Exception
        raise _damaged(folder / TOKENIZER, str(error)) from error
    if tokenizer.get_vocab_size() != sizes.vocab:
        raise _damaged(folder / TOKENIZER, "its vocabulary is not the encoder's")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _special(tokenizer: Tokenizer, token: str, folder: Path) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise _damaged(folder / TOKENIZER, f"it has no {token}")
    return found


def _unread(path: Path, error: OSError) -> StartError:
    """A file that is gone needs another installation, one that is there does not."""
    if isinstance(error, FileNotFoundError):
        return _damaged(path, str(error))
    return unreadable(Path(error.filename or path), error)


def _damaged(path: Path, why: str) -> StartError:
    return StartError(f"{path} cannot be used ({why}): install rerankd again.")
