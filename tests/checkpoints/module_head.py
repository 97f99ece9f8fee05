"""Cross-encoders of modules, as sentence-transformers saves them, with made-up weights."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from tests.checkpoints import body, modernbert
from tests.checkpoints.made import Tensors, uniform

_ACTIVATIONS = {
    "identity": "torch.nn.modules.linear.Identity",
    "gelu": "torch.nn.modules.activation.GELU",
    "tanh": "torch.nn.modules.activation.Tanh",
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
}


_PLACES = {  # of the classes in sentence-transformers 6
    "Transformer": "sentence_transformers.base.modules.transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling",
    "LayerNorm": "sentence_transformers.sentence_transformer.modules.layer_norm",
    "Dense": "sentence_transformers.base.modules.dense",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One module behind the pooling."""

    kind: str  # "Dense" or "LayerNorm"
    inputs: int
    outputs: int
    activation: str = "identity"
    bias: bool = True
    residual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A body, how it is pooled, and what is behind."""

    body: body.Shape
    pooling: tuple[str, ...]
    layers: tuple[Layer, ...]  # the last is the scores'
    activation: str | None = "identity"  # None: not saved
    is_old: bool = False  # names and fields as before 5.4
    longest: int | None = None  # sentence_bert_config.json's max_seq_length


def ettin_head(hidden: int) -> tuple[Layer, ...]:
    """Dense with GELU, LayerNorm, Dense: the head of ettin-reranker."""
    return (
        Layer(kind="Dense", inputs=hidden, outputs=hidden, activation="gelu", bias=False),
        Layer(kind="LayerNorm", inputs=hidden, outputs=hidden),
        Layer(kind="Dense", inputs=hidden, outputs=1),
    )


LONG = 7999  # ettin-reranker's longest row
TINY = Shape(
    body=dataclasses.replace(modernbert.TINY, positions=LONG),
    pooling=("cls",),
    layers=ettin_head(32),
)
TINY_LOCAL = Shape(  # its last layer is local
    body=dataclasses.replace(modernbert.TINY, positions=LONG, is_global=(True, False)),
    pooling=("cls",),
    layers=ettin_head(32),
    activation=None,
)
TINY_OLD = Shape(  # BERT, two poolings and two labels, in the older form of the files
    body=body.TINY_BERT,
    pooling=("mean", "max"),
    layers=(
        Layer(kind="Dense", inputs=64, outputs=64, activation="tanh", residual=True),
        Layer(kind="Dense", inputs=64, outputs=2),
    ),
    is_old=True,
    longest=512,
)
GOLDEN_SHAPES = {"tiny-ettin": TINY, "tiny-ettin-local": TINY_LOCAL, "tiny-modules-bert": TINY_OLD}
ETTIN_32M_BODY = modernbert.Shape(
    hidden=384,
    heads=6,
    intermediate=576,
    positions=LONG,
    is_global=tuple(i % 3 == 0 for i in range(10)),
    local_attention=128,
    pooling="mean",
)
ETTIN_32M = Shape(body=ETTIN_32M_BODY, pooling=("cls",), layers=ettin_head(384))  # but its words


def _write_json(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def _pooling(shape: Shape) -> dict[str, object]:
    hidden = shape.body.hidden
    if not shape.is_old:
        said = shape.pooling[0] if len(shape.pooling) == 1 else list(shape.pooling)
        return {"embedding_dimension": hidden, "pooling_mode": said, "include_prompt": True}
    names = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens"}
    chosen = {f"pooling_mode_{name}": mode in shape.pooling for mode, name in names.items()}
    return {"word_embedding_dimension": hidden, **chosen}


def _layer(layer: Layer, folder: Path, *, is_last: bool) -> None:
    made = Tensors()
    name = folder.name
    if layer.kind == "LayerNorm":
        made["norm.weight"] = 1.0 + uniform(f"{name}.weight", (layer.outputs,), 0.2)
        made["norm.bias"] = uniform(f"{name}.bias", (layer.outputs,), 0.1)
        _write_json(folder / "config.json", {"dimension": layer.outputs})
    else:
        gain = (4.0 if is_last else 1.0) / math.sqrt(layer.inputs)
        made["linear.weight"] = uniform(name, (layer.outputs, layer.inputs), gain)
        if layer.bias:
            made["linear.bias"] = uniform(f"{name}.bias", (layer.outputs,), 0.1)
        said: dict[str, object] = {
            "in_features": layer.inputs,
            "out_features": layer.outputs,
            "bias": layer.bias,
            "activation_function": _ACTIVATIONS[layer.activation],
            "module_input_name": "sentence_embedding",
            "module_output_name": "scores" if is_last else "sentence_embedding",
        }
        if layer.residual:
            said["use_residual"] = True
        _write_json(folder / "config.json", said)
    save_file(made, folder / "model.safetensors", metadata={"format": "pt"})


def write(
    folder: Path,
    shape: Shape,
    *,
    settings: Mapping[str, object] | None = None,
    **change: object,
) -> Path:
    """Write the files of a folder.

    Args:
        folder: where.
        shape: sizes.
        settings: replaces fields of config_sentence_transformers.json.
        change: replaces fields of config.json.
    """
    body.write(folder, shape.body, is_prefixed=False, **change)
    old = "sentence_transformers.models"
    kinds = ["Transformer", "Pooling", *(layer.kind for layer in shape.layers)]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"{old}.{kind}" if shape.is_old else f"{_PLACES[kind]}.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    _write_json(folder / "modules.json", modules)
    _write_json(folder / "1_Pooling" / "config.json", _pooling(shape))
    for i, layer in enumerate(shape.layers, 2):
        place = folder / f"{i}_{layer.kind}"
        place.mkdir(exist_ok=True)
        _layer(layer, place, is_last=layer is shape.layers[-1])
    saved = {} if shape.activation is None else {"activation_fn": _ACTIVATIONS[shape.activation]}
    said: dict[str, object] = {
        "model_type": "CrossEncoder",
        "prompts": {},
        "default_prompt_name": None,
        **saved,
    }
    _write_json(folder / "config_sentence_transformers.json", said | dict(settings or {}))
    sentence: dict[str, object] = (
        {"max_seq_length": shape.longest, "do_lower_case": False}
        if shape.is_old
        else {
            "transformer_task": "feature-extraction",
            "modality_config": {
                "text": {"method": "forward", "method_output_name": "last_hidden_state"}
            },
            "module_output_name": "token_embeddings",
        }
    )
    _write_json(folder / "sentence_bert_config.json", sentence)
    return folder
