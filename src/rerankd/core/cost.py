"""What a request took: one record of counts, bytes and seconds, added up stage by stage."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Cost(Struct, frozen=True):
    """Of one request, or of one stage of it; `a + b` is both."""

    documents: int = 0
    pairs: int = 0  # (query, chunk), equal ones each counted
    input_tokens: int | None = 0  # of all pairs; None = nobody told, and so of the sum
    cached_tokens: int = 0  # of input_tokens: known from before, to a cache or the engine
    image_tokens: int = 0  # of input_tokens: stand for parts of images and video frames
    media: int = 0  # images and videos, equal ones each counted
    media_bytes: int = 0  # of them, encoded, equal ones once
    media_s: float = 0.0  # until they were fetched and decoded
    prepare_s: float = 0.0  # until it was tokenised
    queue_s: float = 0.0  # until its first row ran
    engine_s: float = 0.0  # from its first row to its last
    upstream_s: float = 0.0  # until an upstream's answer was there

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.documents + other.documents,
            self.pairs + other.pairs,
            known_sum(self.input_tokens, other.input_tokens),
            self.cached_tokens + other.cached_tokens,
            self.image_tokens + other.image_tokens,
            self.media + other.media,
            self.media_bytes + other.media_bytes,
            self.media_s + other.media_s,
            self.prepare_s + other.prepare_s,
            self.queue_s + other.queue_s,
            self.engine_s + other.engine_s,
            self.upstream_s + other.upstream_s,
        )


def known_sum(one: Any, other: Any) -> Any:
    """The sum of two numbers; None = unknown, and so is the sum with it."""
    return None if one is None or other is None else one + other


NOTHING = Cost()
