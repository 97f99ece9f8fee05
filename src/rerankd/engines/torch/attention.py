"""Attention over packed tokens, in two ways that give the same numbers.

Padded: segments of like length become rectangles for scaled_dot_product_attention; any device, any
precision. Varlen: torch's flash attention on packed tokens, where the GPU and torch's version have
it; no padding.

Shapes: Q queries and K keys, packed; a query heads, k key heads (k divides a), d head size.
Sources: Dao 2023, arXiv:2307.08691 (flash attention 2); grouped heads: Ainslie et al. 2023,
arXiv:2305.13245.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rerankd.core.batch import plan_batches
from rerankd.engines.pack import Array
from rerankd.engines.torch.plan import View

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(Q, a, d), (K, k, d), (K, k, d) -> (Q, a, d); K counts the packed tokens of the call."""

# Keys of one rectangle, padding included: rows of like length, without many small calls.
RECTANGLE_TOKENS: Final = {"cpu": 1024}
RECTANGLE_TOKENS_GPU: Final = 8192
MASK_SLOTS: Final = 1 << 22  # of one step: 16 MB as fp32
MIN_QUERIES: Final = 64  # of one step


def attention(view: View, device: torch.device, dtype: torch.dtype, head_dim: int) -> Attend:
    """The step that a view describes, by the fastest way that is exact here."""
    if _varlen_takes(device, dtype, head_dim):
        return Varlen(view, device)
    return Padded(view, device)


def _varlen_takes(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Flash attention needs NVIDIA's 8.0 (Ampere), half precision, and heads of 8 n <= 256."""
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and dtype in (torch.float16, torch.bfloat16)
        and head_dim % 8 == 0
        and head_dim <= 256
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and varlen_function() is not None
    )


@cache
def varlen_function() -> Callable[..., Any] | None:
    """torch.nn.attention.varlen.varlen_attn of a version that has all we need, else None."""
    try:
        found: Any = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    except (ImportError, AttributeError):
        return None
    wanted = {"window_size", "enable_gqa", "num_splits"}
    return found if wanted <= inspect.signature(found).parameters.keys() else None


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor."""
    return torch.as_tensor(np.ascontiguousarray(array)).to(device)


class Varlen:
    """torch.nn.attention.varlen: no rectangle, no mask."""

    def __init__(self, view: View, device: torch.device) -> None:
        def ends(lengths: Array) -> Tensor:
            return to_device(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), device)

        self._index = None if view.index is None else to_device(view.index, device)
        self._ends = ends(view.queries), ends(view.keys)
        self._most = int(view.queries.max()), int(view.keys.max())
        self._window = (-1, 0) if view.causal else (-1, -1)
        if view.reach is not None:
            self._window = (view.reach, view.reach)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See Attend."""
        run = varlen_function()
        assert run is not None  # noqa: S101 - attention() has asked
        if self._index is not None:
            k, v = k[self._index], v[self._index]
        return run(
            q,
            k,
            v,
            *self._ends,
            *self._most,
            window_size=self._window,
            enable_gqa=q.shape[1] != k.shape[1],
            num_splits=1,  # else a row's sums may depend on the longest row beside it
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Rectangle:
    """Segments of like length, b of them: Q queries and K keys at most."""

    queries: Tensor  # (b, Q) packed index; any token behind the end
    keys: Tensor  # (b, K) likewise
    used: Tensor  # flat slots of the queries that are there
    target: Tensor  # the packed index of each
    lengths: tuple[Tensor, Tensor]  # queries and keys per segment, (b, 1, 1) each
    is_full: bool  # no key is behind an end
    is_square: bool  # every segment has as many queries as keys


class Padded:
    """scaled_dot_product_attention on rectangles."""

    def __init__(self, view: View, device: torch.device) -> None:
        budget = RECTANGLE_TOKENS.get(device.type, RECTANGLE_TOKENS_GPU)
        plan = plan_batches(view.keys.tolist(), max_tokens=budget, max_rows=max(1, view.keys.size))
        self._reach = view.reach
        self._causal = view.causal
        self._rectangles = [_rectangle(view, np.array(members), device) for members in plan]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See Attend."""
        out = torch.empty_like(q)
        for rectangle in self._rectangles:
            asked = q[rectangle.queries].transpose(1, 2)  # (b, a, Q, d)
            seen = (_repeated(x[rectangle.keys].transpose(1, 2), q.shape[1]) for x in (k, v))
            mixed = self._mix(rectangle, asked, *seen).transpose(1, 2)
            out[rectangle.target] = mixed.flatten(0, 1)[rectangle.used]
        return out

    def _mix(self, rectangle: _Rectangle, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(b, a, Q, d) and (b, a, K, d) -> (b, a, Q, d)."""
        run = torch.nn.functional.scaled_dot_product_attention
        if self._reach is None and not self._causal:
            if rectangle.is_full:
                return run(q, k, v)
            places = torch.arange(k.shape[2], device=q.device)
            return run(q, k, v, attn_mask=(places < rectangle.lengths[1])[:, None])
        if self._reach is None and rectangle.is_square:
            return run(q, k, v, is_causal=True)  # what is behind the end of a row is never seen
        parts = [
            run(
                q[:, :, start:end],
                k[:, :, low:high],
                v[:, :, low:high],
                attn_mask=self._mask(rectangle, (start, end), (low, high)),
            )
            for start, end, low, high in self._steps(q.shape[0], q.shape[2], k.shape[2])
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def _steps(self, rows: int, queries: int, keys: int) -> Iterator[tuple[int, int, int, int]]:
        """Ranges of queries, each with the keys that it may see, so that masks stay small."""
        step = max(MIN_QUERIES, MASK_SLOTS // (rows * keys))
        reach = keys if self._reach is None else self._reach
        if self._reach is not None:
            step = min(step, max(MIN_QUERIES, 2 * self._reach))
        for start in range(0, queries, step):
            end = min(start + step, queries)
            if self._reach is None:
                yield start, end, 0, keys
            else:
                yield start, end, max(0, start - reach), min(keys, end + reach)

    def _mask(
        self, rectangle: _Rectangle, queries: tuple[int, int], keys: tuple[int, int]
    ) -> Tensor:
        """Which keys are seen, (b, 1, queries, keys) bool."""
        device = rectangle.used.device
        asked, there = rectangle.lengths
        own = torch.arange(*queries, device=device)[None, :, None] + (there - asked)
        places = torch.arange(*keys, device=device)[None, None, :]
        seen = places < there
        if self._causal:
            seen = seen & (places <= own)
        if self._reach is not None:
            seen = seen & ((places - own).abs() <= self._reach)
        return seen[:, None]


def _rectangle(view: View, members: npt.NDArray[np.intp], device: torch.device) -> _Rectangle:
    def slots(lengths: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        starts = (np.cumsum(lengths) - lengths)[members]
        columns = np.arange(lengths[members].max(), dtype=np.int32)
        used = columns < lengths[members][:, None]
        return np.where(used, starts[:, None] + columns, 0).astype(np.int32), used

    queries, used = slots(view.queries)
    keys, has_key = slots(view.keys)
    flat = np.flatnonzero(used)
    if view.index is not None:
        keys = view.index[keys]
    asked, there = view.queries[members], view.keys[members]
    return _Rectangle(
        queries=to_device(queries.astype(np.int64), device),
        keys=to_device(keys.astype(np.int64), device),
        used=to_device(flat, device),
        target=to_device(queries.ravel()[flat], device),
        lengths=(
            to_device(asked[:, None, None], device),
            to_device(there[:, None, None], device),
        ),
        is_full=bool(has_key.all()),
        is_square=bool((asked == there).all()),
    )


def _repeated(x: Tensor, heads: int) -> Tensor:
    """(b, k, K, d) -> (b, a, K, d): each key head serves a / k query heads."""
    if x.shape[1] == heads:
        return x
    return x.repeat_interleave(heads // x.shape[1], dim=1)
