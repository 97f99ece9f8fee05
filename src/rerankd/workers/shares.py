"""What each of N workers gets of a machine, and of what the settings allow a server. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from rerankd.service.local import ScoringParts

_CORES_EACH: Final = 2  # of `auto`
_LEAST, _MOST = 2, 32  # two cores are better used by two


class Cores(NamedTuple):
    """What one worker may keep busy."""

    number: int
    pinned: tuple[int, ...]  # numbers of cores that it is kept on; () = the system chooses


def shared(parts: ScoringParts, workers: int) -> ScoringParts:
    """The share of each worker.

    What counts for one request stays. What all requests of the server share is divided: memory, the
    queue, fetches. A single request may need all of media.decoded_bytes, so each worker has it
    whole.
    """
    limits, media = parts.limits, parts.media
    return parts._replace(
        limits=replace(
            limits,
            queue_tokens=_part(limits.queue_tokens, workers),
            score_cache_bytes=limits.score_cache_bytes // workers,
            vector_cache_bytes=limits.vector_cache_bytes // workers,
        ),
        media=replace(
            media,
            encoded_bytes=max(
                _part(media.encoded_bytes, workers),
                min(media.encoded_bytes, media.request_bytes),
            ),
            fetches=_part(media.fetches, workers),
            fetches_per_host=_part(media.fetches_per_host, workers),
        ),
    )


def workers_for(cores: int) -> int:
    """How many `auto` means on a machine of so many usable cores."""
    return min(max(cores // _CORES_EACH, min(cores, _LEAST)), _MOST)


def cores_of(workers: int, usable: int, allowed: Sequence[int]) -> list[Cores]:
    """Which cores each worker gets.

    Args:
        workers: how many there are.
        usable: cores that all may keep busy together.
        allowed: numbers of the cores that the process may run on; more than `usable` where a
            container has a quota, and then nobody is pinned: others have a quota of the same ones.
    """
    if usable < len(allowed) or not allowed:
        return [Cores(max(1, _slice(n, workers, usable)), ()) for n in range(workers)]
    found: list[Cores] = []
    start = 0
    for number in range(workers):
        count = _slice(number, workers, usable)
        own = tuple(allowed[start : start + count]) or (allowed[number % len(allowed)],)
        start += count
        found.append(Cores(len(own), own))
    return found


def _slice(number: int, workers: int, whole: int) -> int:
    return whole // workers + (number < whole % workers)


def _part(whole: int, workers: int) -> int:
    return max(1, whole // workers)
