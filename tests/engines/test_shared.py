"""One encoder for several models: built once, closed by the last of them."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.rows import TokenIds
from rerankd.engines.max_sim import EncodedText
from rerankd.engines.shared import SharedEncoders
from rerankd.models.mini import load_mini


class Counting:
    """An encoder that counts how often it is made and closed."""

    made = 0
    closed = 0

    def __init__(self) -> None:
        type(self).made += 1

    def encode(self, texts: Sequence[TokenIds]) -> Sequence[EncodedText]:
        """Nothing."""
        return []

    def close(self) -> None:
        """Count it."""
        type(self).closed += 1


@pytest.fixture
def counting() -> type[Counting]:
    return type("One", (Counting,), {"made": 0, "closed": 0})


def test_it_is_built_once_and_closed_by_the_last(counting: type[Counting]) -> None:
    shared = SharedEncoders()
    first, second = shared.use("a", counting), shared.use("a", counting)
    assert counting.made == 1
    first.close()
    first.close()
    assert counting.closed == 0
    assert second.encode([]) == []
    with pytest.raises(EngineFailed):
        first.encode([])
    second.close()
    assert counting.closed == 1


def test_another_key_is_another_encoder(counting: type[Counting]) -> None:
    shared = SharedEncoders()
    kept = [shared.use("a", counting), shared.use("b", counting)]
    assert counting.made == len(kept)


def test_after_the_last_close_it_is_built_anew(counting: type[Counting]) -> None:
    shared = SharedEncoders()
    first = shared.use("a", counting)
    first.close()
    shared.use("a", counting)
    assert (counting.made, counting.closed) == (2, 1)


def test_who_is_forgotten_without_a_close_holds_nothing(counting: type[Counting]) -> None:
    shared = SharedEncoders()
    first = shared.use("a", counting)
    del first
    gc.collect()
    shared.use("a", counting)
    assert counting.made == 2


def test_what_cannot_be_built_is_tried_again(counting: type[Counting]) -> None:
    shared = SharedEncoders()

    def fail() -> Counting:
        raise StartError("no")

    with pytest.raises(StartError):
        shared.use("a", fail)
    shared.use("a", counting)
    assert counting.made == 1


def test_a_model_goes_on_when_another_with_its_encoder_is_closed() -> None:
    one, other = load_mini(), load_mini()
    one.engine.close()
    from rerankd.core.request import Content, RerankRequest

    prepared = other.prepare(
        RerankRequest(query=Content(value="a cat"), documents=(Content(value="a small cat"),))
    )
    assert other.engine.forward(prepared.rows).shape[0] == 1
    other.engine.close()
    with pytest.raises(EngineFailed):
        other.engine.forward(
            other.prepare(
                RerankRequest(query=Content(value="b dog"), documents=(Content(value="a dog"),))
            ).rows
        )
