"""Tensors on the device, and the few layers that the families share.

Shapes: T tokens, h hidden size, a heads, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rerankd.core.rows import Row
from rerankd.engines.encoder import TableWeights
from rerankd.engines.shared_prefix import Group
from rerankd.engines.torch.attention import Attend, attention, to_device
from rerankd.engines.torch.plan import View


class Network(Protocol):
    """One family's maths: rows in, logits out, everything on one device."""

    def __call__(self, rows: Sequence[Row], groups: Sequence[Group]) -> Tensor:
        """Logits (B, K), fp32, of the members of all groups, group by group.

        Args:
            rows: what the groups' members are indexes of.
            groups: one call; prefixes are 0 where a family cannot share them.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """x W^T + b."""

    weight: Tensor  # (outputs, inputs)
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.weight, self.bias)

    def part(self, start: int, end: int | None = None) -> Linear:
        """Some of the outputs, as a view."""
        bias = None if self.bias is None else self.bias[start:end]
        return Linear(self.weight[start:end], bias)


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm:
    """Layer normalisation over the last axis; torch sums in fp32."""

    weight: Tensor
    bias: Tensor | None
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """The same shape."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, eq=False)
class RmsNorm:
    """x / sqrt(mean(x^2) + eps) * w; torch sums in fp32. Source: arXiv:1910.07467."""

    weight: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """The same shape."""
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


@dataclass(frozen=True, slots=True)
class Loader:
    """Tensors of a checkpoint as layers on a device; `exact` ones stay fp32."""

    weights: TableWeights
    device: torch.device
    dtype: torch.dtype

    def tensor(self, *names: str, exact: bool = False) -> Tensor:
        """One tensor, or several joined along the first axis."""
        dtype = torch.float32 if exact else self.dtype
        parts = [torch.as_tensor(self.weights(name)).to(self.device, dtype) for name in names]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def linear(self, *names: str, bias: bool = True, exact: bool = False) -> Linear:
        """Linear layers that read the same input, as one."""
        return Linear(
            self.tensor(*(f"{name}.weight" for name in names), exact=exact),
            self.tensor(*(f"{name}.bias" for name in names), exact=exact) if bias else None,
        )

    def layer_norm(
        self, name: str, eps: float, *, bias: bool = True, exact: bool = False
    ) -> LayerNorm:
        """A LayerNorm."""
        return LayerNorm(
            self.tensor(f"{name}.weight", exact=exact),
            self.tensor(f"{name}.bias", exact=exact) if bias else None,
            eps,
        )

    def rms_norm(self, name: str, eps: float, *, exact: bool = False) -> RmsNorm:
        """An RMSNorm."""
        return RmsNorm(self.tensor(f"{name}.weight", exact=exact), eps)

    def array(self, values: npt.NDArray[Any]) -> Tensor:
        """An array on the device, in its own type."""
        return to_device(values, self.device)

    def attention(self, view: View, head_dim: int) -> Attend:
        """What runs a view here."""
        return attention(view, self.device, self.dtype, head_dim)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: value i and value i + d / 2 of a head turn together, in fp32.

    x (T, a, d), angles (T, 1, d / 2) fp32. Source: Su et al. 2021, arXiv:2104.09864, in the
    half-split form of transformers.
    """
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def heads_of(x: Tensor, head_dim: int) -> Tensor:
    """(T, a d) -> (T, a, d)."""
    return x.view(x.shape[0], -1, head_dim)


def members(rows: Sequence[Row], groups: Sequence[Group]) -> list[Row]:
    """The rows of a call, group by group."""
    return [rows[i] for group in groups for i in group.members]
