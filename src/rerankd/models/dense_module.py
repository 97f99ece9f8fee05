"""Modules behind the body: `Dense` and `LayerNorm`, each config.json and model.safetensors.

Source: sentence-transformers 6.2, base/modules/dense.py and sentence_transformer/modules/
layer_norm.py; PyLate 1.6, models/Dense.py. The class path of the activation is compared and never
imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.dense import Dense, DenseActivation, DenseNorm
from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Size
from rerankd.models.unsupported import refuse_unsupported
from rerankd.models.weights import SafetensorsFolder

_ACTIVATIONS: Final[Mapping[str, DenseActivation]] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.activation.SiLU": "silu",
}


VECTOR: Final = "sentence_embedding"  # the feature that is a text's vector
SCORES: Final = "scores"  # a cross-encoder's logits


class DenseFields(msgspec.Struct):
    """config.json of the module."""

    in_features: Size
    out_features: Size
    bias: bool = True
    activation_function: str | None = None
    use_residual: bool = False
    module_input_name: str | None = None
    module_output_name: str | None = None


def read_dense(folder: Path, inputs: int, *, reads: str, writes: str | None = None) -> Dense:
    """One module.

    Args:
        folder: of the module.
        inputs: values of a vector before it.
        reads: the feature that it is to work on, "token_embeddings" for instance; a module that
            names another is refused.
        writes: the feature that it is to make; None = the same.

    Raises:
        StartError: a file is missing or damaged, or says what is not computed here.
    """
    path = folder / "config.json"
    fields = read_json(path, DenseFields)
    if fields.activation_function is None:
        raise StartError(
            f"{path}: activation_function is missing: sentence-transformers would take Tanh and "
            "PyLate none. Write the one that the model was trained with, "
            '"torch.nn.modules.linear.Identity" for none.'
        )
    activation = _ACTIVATIONS.get(fields.activation_function)
    known = ", ".join(name.rpartition(".")[2] for name in _ACTIVATIONS)
    output, wanted = fields.module_output_name or reads, writes or reads
    wrong = {
        f"activation_function {shown(fields.activation_function)} (only {known})": (
            activation is None
        ),
        f"in_features {fields.in_features} behind {inputs} values": fields.in_features != inputs,
        f"module_input_name {shown(fields.module_input_name)} (only {reads})": (
            fields.module_input_name not in (None, reads)
        ),
        f"module_output_name {shown(output)} (only {wanted})": output != wanted,
    }
    refuse_unsupported(path, wrong)
    shape = (fields.out_features, fields.in_features)
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": shape}
    if fields.bias:
        shapes["linear.bias"] = (fields.out_features,)
    is_projected = fields.use_residual and fields.in_features != fields.out_features
    if is_projected:
        shapes["residual.weight"] = shape
    weights = SafetensorsFolder(folder, prefix="")
    weights.require(shapes)
    return Dense(
        weight=weights("linear.weight"),
        bias=weights("linear.bias") if fields.bias else None,
        activation=activation or "identity",
        is_residual=fields.use_residual,
        residual=weights("residual.weight") if is_projected else None,
    )


class _NormFields(msgspec.Struct):
    """config.json of a LayerNorm."""

    dimension: Size


def read_layer_norm(folder: Path, inputs: int) -> DenseNorm:
    """One LayerNorm module, which has a bias always.

    Args:
        folder: of the module.
        inputs: values of a vector before it.

    Raises:
        StartError: a file is missing or damaged, or the sizes differ.
    """
    path = folder / "config.json"
    size = read_json(path, _NormFields).dimension
    refuse_unsupported(path, {f"dimension {size} behind {inputs} values": size != inputs})
    weights = SafetensorsFolder(folder, prefix="")
    weights.require({"norm.weight": (size,), "norm.bias": (size,)})
    return DenseNorm(weight=weights("norm.weight"), bias=weights("norm.bias"))
