"""Encoders without a head: states and pooled vectors, the same whatever stands beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.options import Precision
from rerankd.core.rows import Row
from rerankd.engines.dense import Dense, Floats, unit
from rerankd.engines.openvino.states import PoolingMode, StateEncoder
from rerankd.models.body import open_body
from tests.checkpoints.body import SHAPES, write
from tests.checkpoints.made import uniform

LENGTHS = (3, 40, 17, 90, 3, 64, 1, 33)


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny folder of each family."""
    return write(tmp_path_factory.mktemp(request.param), SHAPES[request.param])


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Iterator[StateEncoder]:
    """Its states."""
    made = opened(folder)
    yield made
    made.close()


def opened(
    folder: Path,
    *pooling: PoolingMode,
    dense: tuple[Dense, ...] = (),
    precision: Precision = "fp32",
) -> StateEncoder:
    """An encoder of a folder, on two streams."""
    body = open_body(folder)
    return StateEncoder(
        body.config,
        body.weights,
        pooling=pooling,
        dense=dense,
        streams=2,
        precision=precision,
    )


def row(length: int, seed: int = 0) -> Row:
    """So many tokens."""
    ids = np.random.default_rng(100 * length + seed).integers(5, 4000, length).astype(np.int32)
    return Row(ids, length)


def rows() -> list[Row]:
    """A batch; the first and the fifth are equal."""
    return [row(length) for length in LENGTHS]


def dense() -> tuple[Dense, ...]:
    """Two layers: a projected residual with GELU, then one with a bias."""
    return (
        Dense(
            weight=uniform("a", (24, 32), 0.3),
            activation="gelu",
            is_residual=True,
            residual=uniform("b", (24, 32), 0.3),
        ),
        Dense(weight=uniform("c", (24, 24), 0.3), bias=uniform("d", (24,), 0.3), is_residual=True),
    )


def test_states_do_not_depend_on_the_batch(encoder: StateEncoder) -> None:
    """Alone, backwards and together: within 1e-5, and equal rows exactly equal."""
    together = encoder.encode(rows())
    assert [states.shape for states in together] == [(length, 32) for length in LENGTHS]
    assert np.array_equal(together[0], together[4])
    backwards = encoder.encode(rows()[::-1])[::-1]
    for one, states, other in zip(rows(), together, backwards, strict=True):
        assert np.abs(encoder.encode([one])[0] - states).max() < 1e-5
        assert np.abs(other - states).max() < 1e-5


def test_tokens_behind_the_attended_change_no_other(encoder: StateEncoder) -> None:
    """As if they were not there, for all before them; they themselves have states."""
    short, long = row(12), Row(np.concatenate([row(12).ids, row(20, 1).ids]), 32)
    alone = encoder.encode([short])[0]
    beside, full = encoder.encode([long, long], [12, 32])
    assert beside.shape == full.shape == (32, 32)
    assert np.abs(beside[:12] - alone).max() < 1e-5
    assert np.abs(full[:12] - alone).max() > 0.01
    assert np.isfinite(beside).all()
    assert np.abs(beside[12:] - full[12:]).max() > 0.01


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_pooled_vectors(folder: Path, encoder: StateEncoder, mode: PoolingMode) -> None:
    """One vector a row, by the definition of each mode."""
    pooled = opened(folder, mode)
    for found, states in zip(pooled.encode(rows()), encoder.encode(rows()), strict=True):
        assert np.abs(found - defined(mode, states)).max() < 1e-5
    assert pooled.dimensions == 32
    pooled.close()


def defined(mode: PoolingMode, states: Floats) -> Floats:
    """One pooled vector, (h,)."""
    match mode:
        case "cls":
            return states[0]
        case "lasttoken":
            return states[-1]
        case "max":
            return states.max(axis=0)
        case "mean":
            return states.mean(axis=0)
        case "mean_sqrt_len_tokens":
            return states.sum(axis=0) / np.sqrt(np.float32(len(states)))


def test_several_poolings_stand_behind_one_another(folder: Path) -> None:
    """As sentence-transformers joins them."""
    both = opened(folder, "mean", "cls")
    mean, first = opened(folder, "mean"), opened(folder, "cls")
    assert both.dimensions == 64
    parts = zip(both.encode(rows()), mean.encode(rows()), first.encode(rows()), strict=True)
    for found, one, other in parts:
        assert np.abs(found - np.concatenate([one, other])).max() < 1e-5


def test_linear_layers(folder: Path, encoder: StateEncoder) -> None:
    """The definition of each layer, in numpy, of every token."""
    made = opened(folder, dense=dense())
    first, second = dense()
    assert made.dimensions == 24
    for found, states in zip(made.encode(rows()), encoder.encode(rows()), strict=True):
        assert first.residual is not None
        assert second.bias is not None
        x = gelu(states @ first.weight.T) + states @ first.residual.T
        x = x @ second.weight.T + second.bias + x
        assert np.abs(found - x).max() < 1e-4
        assert np.allclose(np.linalg.norm(unit(found), axis=1), 1)
    made.close()
    with pytest.raises(EngineFailed):
        made.encode(rows())


def gelu(x: Floats) -> Floats:
    """By the error function."""
    import math

    erf = np.vectorize(math.erf)
    return (x * 0.5 * (1 + erf(x / math.sqrt(2)))).astype(np.float32)


@pytest.mark.parametrize("pooling", [(), *((mode,) for mode in get_args(PoolingMode))])
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_less_than_fp32_is_near_it_and_the_same_in_any_company(
    folder: Path, precision: Precision, pooling: tuple[PoolingMode, ...]
) -> None:
    exact, rough = opened(folder, *pooling), opened(folder, *pooling, precision=precision)
    together = rough.encode(rows())
    for one, wanted, found in zip(rows(), exact.encode(rows()), together, strict=True):
        assert 0 < np.abs(unit(found) - unit(wanted)).max() < 0.1
        np.testing.assert_array_equal(rough.encode([one])[0], found)
    for each in (exact, rough):
        each.close()
