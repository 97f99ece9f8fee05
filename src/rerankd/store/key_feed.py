"""Keys and teams of the store, as a running server takes them over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from rerankd.access.keys import Key, Team
from rerankd.store.key_rows import keys_of
from rerankd.store.keys import KeyRepo
from rerankd.store.watch import Apply

_AT_ONCE: Final = 500  # keys taken over in one turn of the event loop


class KeyFeed:
    """A reader of `Watch`."""

    def __init__(self, repo: KeyRepo, use: Callable[[Sequence[Key]], None]) -> None:
        """Nothing is read yet.

        Args:
            repo: of the store.
            use: takes over one key by each of its digests; runs on the event loop.
        """
        self._repo = repo
        self._use = use
        self._teams: dict[int, Team] = {}  # the one object of each, which its keys share

    def read(self, since: int) -> Iterator[Apply]:
        """What to take over of changes after a number. Raises StoreAway."""
        changed = self._repo.changed_since(since)
        for team_id, row in changed.teams.items():
            known = self._teams.setdefault(team_id, row.team())
            yield partial(known.become, row.team())
        made = [
            keys_of(
                row,
                changed.digests.get(row.id, ()),
                None if row.team_id is None else self._teams[row.team_id],
            )
            for row in changed.keys
        ]
        good = [keys for keys in made if keys]
        for first in range(0, len(good), _AT_ONCE):
            yield partial(self._take, good[first : first + _AT_ONCE])

    def _take(self, some: Sequence[Sequence[Key]]) -> None:
        for keys in some:
            self._use(keys)
