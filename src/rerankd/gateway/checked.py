"""An upstream's ranking, checked before anybody sees it: all documents, each once, real numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace

from rerankd.core.answer import Hit, Ranking
from rerankd.core.request import RerankRequest
from rerankd.core.score import sigmoid

_MOST_CHARACTERS = 300
_MOST_WARNINGS = 10
_CHARACTER_TOKENS = 4  # at most: its bytes
_TEMPLATE_TOKENS = 1024  # around a pair
_MEDIA_TOKENS = 1_000_000  # of an image or a video
_REPEATED = 64  # chunks that overlap, and the query before each
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-f:.]{3,}\](?::\d+)?", re.IGNORECASE
)
_KEY = re.compile(r"\b(?:sk|pk|jina|pa|xai|nvapi|Bearer)[-_ ][A-Za-z0-9_\-.*]{6,}")


def wrong(ranking: Ranking, request: RerankRequest) -> str:
    """What is wrong with a ranking of all documents of a request; "" = nothing."""
    documents = len(request.documents)
    if len(ranking.hits) != documents:
        return f"{len(ranking.hits)} results for {documents} documents"
    if {hit.index for hit in ranking.hits} != set(range(documents)):
        return "a document that is unknown or ranked twice"
    if not all(math.isfinite(hit.score) for hit in ranking.hits):
        return "a score that is no number"
    counts = (ranking.input_tokens or 0, ranking.cached_tokens, ranking.image_tokens)
    if not all(0 <= count <= _most_tokens(request) for count in counts):
        return "a count of tokens that cannot be"
    return ""


def _most_tokens(request: RerankRequest) -> int:
    """More than any model makes of a request: each key would pay for the count."""
    contents = [content for _, content in request.contents()]
    texts = sum(len(content.value) for content in contents if content.modality == "text")
    media = sum(content.modality != "text" for content in contents)
    pairs = len(request.documents)
    per_pair = len(request.query.value) + len(request.instruction or "") + _TEMPLATE_TOKENS
    return _REPEATED * (_CHARACTER_TOKENS * (texts + pairs * per_pair) + media * _MEDIA_TOKENS)


def answered(
    ranking: Ranking,
    request: RerankRequest,
    *,
    name: str,
    warnings: Iterable[str] = (),
) -> Ranking:
    """A ranking that is not `wrong`, as the caller asked for it.

    Args:
        ranking: of all documents.
        request: the caller's.
        name: who answered, by the name that was asked for there.
        warnings: of ours; those of the upstream, scrubbed, come after them.
    """
    theirs = (scrubbed(warning) for warning in ranking.warnings[:_MOST_WARNINGS])
    return replace(
        ranking,
        model=name,
        hits=ranking.hits[: request.top_n],
        documents=len(request.documents),
        warnings=tuple(dict.fromkeys((*warnings, *theirs))),
    )


def of_logits(ranking: Ranking) -> Ranking:
    """The same with scores in [0, 1], of logits."""
    hits = (Hit(hit.index, sigmoid(hit.score), hit.score, hit.truncated) for hit in ranking.hits)
    return replace(ranking, hits=tuple(hits))


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """A sentence of a provider without what is nobody's business: keys, addresses, URLs; short."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    for pattern in (_URL, _ADDRESS, _KEY):
        text = pattern.sub("…", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
