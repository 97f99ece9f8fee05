"""The console's pages as its menu lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rerankd.access.keys import Key, Role


class MenuEntry(NamedTuple):
    """One page in the menu."""

    path: str
    name: str
    role: Role  # whose keys see it


MENU: Final = (
    MenuEntry("/ui", "Overview", "admin"),
    MenuEntry("/ui/usage", "Usage & spend", "read"),
    MenuEntry("/ui/requests", "Requests", "read"),
    MenuEntry("/ui/keys", "Keys", "admin"),
    MenuEntry("/ui/teams", "Teams", "admin"),
    MenuEntry("/ui/budgets", "Budgets", "admin"),
    MenuEntry("/ui/prices", "Prices & costs", "admin"),
    MenuEntry("/ui/models", "Models & routes", "admin"),
    MenuEntry("/ui/upstreams", "Upstreams", "admin"),
    MenuEntry("/ui/reliability", "Reliability", "admin"),
    MenuEntry("/ui/config", "Configuration", "admin"),
)
OWN: Final = (MenuEntry("/ui", "My usage", "call"),)


def menu_of(key: Key) -> Sequence[MenuEntry]:
    """What a key's holder sees; who sees nothing of the server sees his own usage."""
    return [entry for entry in MENU if key.may(entry.role)] or OWN
