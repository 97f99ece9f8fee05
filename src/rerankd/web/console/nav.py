"""The console's pages as its menu lists them."""

from __future__ import annotations

from typing import Final, NamedTuple

from rerankd.access.keys import Role


class MenuEntry(NamedTuple):
    """One page in the menu."""

    path: str
    name: str
    role: Role  # whose keys see it


MENU: Final = (MenuEntry("/ui", "Overview", "admin"),)
