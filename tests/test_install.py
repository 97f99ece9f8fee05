"""What the README's first command installs, and that its test command is the one that CI runs."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# Of the files that the wheels hold; a file system adds a little, Python its caches. rerankd's own
# are those of the checkout.
MEGABYTES = 330
TEST_TOOLS = {"pytest", "hypothesis", "scipy", "matplotlib", "pillow", "av", "hatchling"}


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """A distribution and all that it requires without extras, by normalised name."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key not in found:
        found[key] = distribution(name)
        for written in found[key].requires or ():
            wanted = Requirement(written)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                needed(wanted.name, found)
    return found


def test_serving_needs_no_test_tools_and_stays_small() -> None:
    found = needed("rerankd", {})
    assert not TEST_TOOLS & set(found)
    sizes = {
        name: sum(
            Path(str(file.locate())).stat().st_size
            for file in held.files or ()
            if Path(str(file.locate())).is_file()
        )
        for name, held in found.items()
    }
    assert sizes["openvino"] > 100e6, "the files are there to be counted"
    assert sum(sizes.values()) < MEGABYTES * 1e6, sizes


def test_uv_run_brings_what_serving_needs_and_the_multilingual_model() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["uv"]["default-groups"] == ["multi"]
    assert project["dependency-groups"]["multi"] == ["rerankd-multi"]
    assert project["tool"]["uv"]["sources"]["rerankd-multi"] == {"workspace": True}


def test_no_metadata_names_a_package_that_is_in_no_registry() -> None:
    assert not [each for each in distribution("rerankd").requires or () if "multi" in each]


def test_the_readmes_test_command_is_the_one_that_ci_runs() -> None:
    [command] = re.findall(
        r"^(pip install uv && uv run .*pytest)\b", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()
