"""Cross-encoders whose head is modules of their own (ettin-reranker): Pooling, Dense, LayerNorm.

The form in which sentence-transformers keeps a CrossEncoder since 5.4: an encoder without a head in
the root of the folder, and what follows it in folders beside, in the order of modules.json. A pair
is cut into rows and scored as that of any cross-encoder.
Source: sentence-transformers 6.2, cross_encoder/model.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rerankd.core.errors import StartError
from rerankd.engines.build import module_head_engine
from rerankd.engines.dense import BehindLayer, PoolingMode
from rerankd.models.base import ModelCard
from rerankd.models.body import open_body
from rerankd.models.checkpoint import token_types_of
from rerankd.models.cross_encoder import LOGIT, CrossEncoder, window_of
from rerankd.models.dense_module import SCORES, VECTOR, read_dense, read_layer_norm
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.folder_file import shown
from rerankd.models.folder_word import MODULES, TRANSFORMER, Module
from rerankd.models.loaders import Opening
from rerankd.models.pair_template import derive_template
from rerankd.models.pooling_module import read_pooling
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.tokenizer_config import read_tokenizer_config
from rerankd.models.transformer_module import read_states_module

POOLING: Final = "Pooling"
_DENSE, _NORM, _DROPOUT = "Dense", "LayerNorm", "Dropout"  # the last changes nothing here
_KNOWN: Final = (_DENSE, _NORM, _DROPOUT)


def load_module_head(opening: Opening) -> CrossEncoder:
    """Load a folder; models.selfcheck is the caller's next step.

    Raises:
        StartError: the folder cannot be served; the message says what to do.
    """
    folder, word = opening.folder, opening.word
    behind = _behind(folder / MODULES, word.modules)
    longest = read_states_module(folder)
    body = open_body(folder)
    pooling, layers = _head(folder, behind, body.config.hidden)
    window = window_of(body, opening.options.window_tokens, longest)
    types = token_types_of(
        body.tokenizer,
        body.config.token_types,
        read_tokenizer_config(folder),
        word.config.model_type or "",
        folder,
    )
    encoder = TextEncoder(body.tokenizer)
    card = ModelCard(
        name=opening.name,
        family=CROSS_ENCODER,
        window_tokens=window,
        score=opening.activation.of(LOGIT),
        activation=opening.activation,
        query_prompt=opening.query_prompt,
        named_by_catalog=opening.named_by_catalog,
        notes=(*body.notes, *encoder.notes),
    )
    engine = module_head_engine(
        body.config, body.weights, opening.options, pooling=pooling, layers=layers
    )
    template = derive_template(body.tokenizer, token_types=types)
    return CrossEncoder(card, engine, encoder, template, opening.chunk_rule)


def _behind(path: Path, modules: Sequence[Module]) -> Sequence[Module]:
    """What follows the encoder: Pooling, then others, checked by name and place.

    Raises:
        StartError: there is a module that is not known, or in another order.
    """
    kinds = [module.kind for module in modules]
    unknown = [m for m in modules[2:] if m.kind not in _KNOWN]
    if unknown:
        raise StartError(
            f"{path}: {shown(unknown[0].path)[1:-1]} is a module {shown(unknown[0].kind)}, which "
            f"rerankd does not compute; it knows {', '.join(_KNOWN)} behind {POOLING}."
        )
    if kinds[:2] != [TRANSFORMER, POOLING] or modules[0].path or kinds[-1] != _DENSE:
        raise StartError(
            f"{path}: the modules {shown(', '.join(kinds))[1:-1]}; a cross-encoder has "
            f"{TRANSFORMER} in the root of the folder, {POOLING} behind it, and {_DENSE} at the "
            "end."
        )
    return modules[1:]


def _head(
    folder: Path, behind: Sequence[Module], hidden: int
) -> tuple[tuple[PoolingMode, ...], list[BehindLayer]]:
    """Pooling and the layers behind it.

    Raises:
        StartError: a module's files are missing or damaged, or do not fit the one before.
    """
    pooling = read_pooling(inside(folder, behind[0]), hidden)
    width, layers = hidden * len(pooling), list[BehindLayer]()
    for module in behind[1:]:
        if module.kind == _DROPOUT:
            continue
        place = inside(folder, module)
        writes = SCORES if module is behind[-1] else VECTOR
        layers.append(
            read_layer_norm(place, width)
            if module.kind == _NORM
            else read_dense(place, width, reads=VECTOR, writes=writes)
        )
        width = layers[-1].outputs
    if width not in (1, 2):
        raise StartError(
            f"{inside(folder, behind[-1]) / 'config.json'}: out_features {width} (only 1, or 2 = "
            "irrelevant and relevant)."
        )
    return pooling, layers


def inside(folder: Path, module: Module) -> Path:
    """The module's folder.

    Raises:
        StartError: it would lie elsewhere.
    """
    parts = Path(module.path).parts
    if not parts or ".." in parts or Path(module.path).is_absolute() or "\\" in module.path:
        raise StartError(
            f"{folder / MODULES}: the path {shown(module.path)} of {shown(module.kind)} is no "
            "folder inside."
        )
    return folder / module.path
