"""The models that come with an installed package and need no download, by name.

Their files lie in a folder of an importable package: rerankd's own, or that of another
distribution, which holds data only. What runs is always rerankd's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rerankd.core.errors import StartError
from rerankd.models.base import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One such model."""

    package: str  # importable; its name is not the distribution's
    folder: str  # in the package
    open: Callable[[Path, int], Model]  # the files, and what may be remembered of texts, in bytes
    install: str = "pip install rerankd"  # gets the package
    beside: tuple[str, ...] = ()  # what stays served by its own name where this model is served

    @property
    def is_here(self) -> bool:
        """Whether the package is installed."""
        return find_spec(self.package) is not None

    @contextmanager
    def files(self) -> Generator[Path]:
        """The folder, for as long as it is needed.

        Raises:
            StartError: the package is not installed.
        """
        if not self.is_here:
            raise StartError(f"{self.package} is not installed: {self.install}")
        with resources.as_file(resources.files(self.package).joinpath(self.folder)) as folder:
            yield folder


def _lexical(_: Path, __: int) -> Model:
    from rerankd.models.lexical import LexicalModel

    return LexicalModel()


def _mini(folder: Path, cache_bytes: int) -> Model:
    from rerankd.models.mini import load_mini  # here: 0.4 s to import

    return load_mini(folder, cache_bytes=cache_bytes)


def _multi(folder: Path, cache_bytes: int) -> Model:
    from rerankd.models.multi import load_multi  # here: 0.4 s to import

    return load_multi(folder, cache_bytes=cache_bytes)


_OURS: Final = "rerankd.builtin"
SHIPPED: Final[dict[str, Shipped]] = {
    "rerankd-mini": Shipped(package=_OURS, folder="mini", open=_mini),
    "rerankd-lexical": Shipped(package=_OURS, folder="lexical", open=_lexical),
    "rerankd-multi": Shipped(
        package="rerankd_multi",
        folder="model",
        open=_multi,
        install="pip install ./packages/rerankd-multi",
        beside=("rerankd-mini", "rerankd-lexical"),
    ),
}


def open_shipped(name: str, cache_bytes: int) -> Model:
    """Load a model that comes with a package; models.selfcheck is the caller's next step.

    Raises:
        StartError: its package is not installed, or a file of it is missing or damaged.
    """
    shipped = SHIPPED[name]
    with shipped.files() as folder:
        return shipped.open(folder, cache_bytes)
