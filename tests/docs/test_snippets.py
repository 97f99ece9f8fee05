"""Every fenced block of every page: run, loaded, parsed or replayed, or marked with a reason.

`<!-- not run: REASON -->` before a block says that it cannot run here; its rerankd commands are
parsed all the same. quickstart.md is run as a whole by test_quickstart.py.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from reading import DOCS, PAGES, ROOT, Block, all_blocks, blocks
from shell_tools import curl_of

from rerankd.cli.commands import app
from rerankd.settings.declared import by_variable
from rerankd.settings.load import load
from tests.kit.processes import PATIENCE_S, Server, serving

# language -> what holds its blocks; a block in another language fails.
HELD = {
    "": "a drawing",
    "console": "made from the commands, see test_pages.py",
    "java": "tests/clients/pages.py, and tests/web/test_integrations.py",
    "json": "here",
    "python": "here",
    "sh": "here",
    "text": "shown, not to be run",
    "toml": "here",
    "yaml": "tests/clients/proxy",
}
# How many blocks say that they cannot run, by page.
MARKED = {
    "README.md": 2,
    "docs/configuration.md": 1,
    "docs/deploy.md": 4,
    "docs/gpu.md": 1,
    "docs/integrations/litellm.md": 1,
    "docs/integrations/providers.md": 1,
    "docs/models/decoders.md": 1,
    "docs/models/qwen3-vl-reranker.md": 1,
    "docs/ray.md": 1,  # installs Ray
    "docs/precision.md": 1,  # a minute
    "docs/quickstart.md": 1,
}
# Pages whose snippets are whole programs; all run in environments of tests/clients/pages.py.
ELSEWHERE = {
    DOCS / "integrations" / f"{name}.md"
    for name in ("haystack", "httpx", "langchain", "litellm", "llamaindex")
}
# What a fragment of a dialect's page may leave to its reader.
GIVEN = {"key", "model", "query", "documents"}
PINS = ROOT / "tests" / "clients" / "pins"
# import -> package, where the names differ.
PACKAGES = {
    "haystack": "haystack-ai",
    "langchain_nvidia_ai_endpoints": "langchain-nvidia-ai-endpoints",
    "xinference_client": "xinference-client",
    "mixedbread": "mixedbread",
}


def ids(block: Block) -> str:
    return block.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_is_seen_and_in_a_language_that_is_held(page: Path) -> None:
    fences = re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= set(HELD)


def test_what_cannot_run_is_counted() -> None:
    marked = Counter(str(b.page.relative_to(ROOT)) for b in all_blocks() if b.reason)
    assert dict(marked) == MARKED


@pytest.mark.parametrize("block", all_blocks("json"), ids=ids)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", all_blocks("toml"), ids=ids)
def test_toml_is_settings(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "rerankd.toml"
    text = block.text.replace('sha256 = "…"', f'sha256 = "{"0" * 64}"')  # the reader's
    path.write_text(text, "utf-8")
    load(path, {}, {})


def imports(tree: ast.Module) -> set[str]:
    """The packages that a snippet imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def is_ours(block: Block) -> bool:
    """Whether a snippet needs rerankd and Python's own library alone."""
    found = imports(ast.parse(block.text))
    return bool(found) and found <= {"rerankd", *sys.stdlib_module_names}


PYTHON = [block for block in all_blocks("python") if block.page != DOCS / "quickstart.md"]


@pytest.mark.parametrize("block", [b for b in PYTHON if is_ours(b)], ids=ids)
def test_python_runs(block: Block) -> None:
    command = [sys.executable, "-W", "error", "-c", block.text]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("block", [b for b in PYTHON if not is_ours(b)], ids=ids)
def test_python_of_other_packages_is_whole_and_of_pinned_ones(block: Block) -> None:
    """These run in tests/clients/pages.py: those of ELSEWHERE as they stand, others with GIVEN."""
    tree = ast.parse(block.text)
    free = unbound(tree)
    assert free <= (set() if block.page in ELSEWHERE else GIVEN), free
    files = [*PINS.glob("*.txt"), ROOT / "tests" / "cluster" / "pins.txt"]
    pinned = "".join(pins.read_text("utf-8") for pins in files)
    for name in imports(tree) - {"rerankd", *sys.stdlib_module_names}:
        package = PACKAGES.get(name, name).replace("_", "-")
        assert re.search(rf"^{re.escape(package)}[\w-]*==", pinned, re.MULTILINE), package


def unbound(tree: ast.Module) -> set[str]:
    """Names that a snippet reads and nothing in it binds."""
    bound = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return read - bound


def commands(text: str) -> list[list[str]]:
    """The simple commands of a shell block, as words; $(…) is one word."""
    found: list[list[str]] = []
    pending = ""
    for line in text.splitlines():
        pending += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            plain = re.sub(r"\$\([^)]*\)", "SUBSTITUTED", pending.replace("\\\n", " "))
            words = shlex.split(plain, comments=True)
        except ValueError:  # a quotation goes on
            continue
        pending = ""
        current: list[str] = []
        for word in words:
            if word in ("&&", "|", ";"):
                found.append(current)
                current = []
            else:
                current.append(word)
        found.append(current)
    assert not pending.strip(), pending
    return [command for command in found if command]


def without_variables(words: list[str]) -> list[str]:
    """The command behind `NAME=VALUE`s; those of rerankd must be variables that it reads."""
    known = {*by_variable(), "RERANKD_API_KEYS", "RERANKD_CONFIG"}
    while words and (found := re.match(r"(\w+)=", words[0])):
        if found[1].startswith("RERANKD_") and found[1] != "RERANKD_KEY":  # LiteLLM's in its page
            assert found[1] in known, found[1]
        words = words[1:]
    return words[2:] if words[:3] == ["uv", "run", "rerankd"] else words


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with serving(["-m", "rerankd", "serve", "--port", "0"]) as running:
        yield running


# Pages that ask for names which are routed on them: test_routes_pages.py.
ROUTED = {DOCS / "routes.md", DOCS / "integrations" / "providers.md"}
# Needs a store and an admin key: tests/web/admin/test_admin_document.py.
STORED = {DOCS / "admin.md"}
RUN_ELSEWHERE = {DOCS / "quickstart.md", *ROUTED, *STORED}
SHELL = [block for block in all_blocks("sh") if block.page not in RUN_ELSEWHERE]


@pytest.mark.parametrize("block", SHELL, ids=ids)
def test_shell_commands_are_the_programs(block: Block, server: Server) -> None:
    for words in map(without_variables, commands(block.text)):
        if words[:1] == ["rerankd"]:
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
        elif words[:1] == ["curl"]:
            answer = curl_of(words[1:]).send(server.url)
            assert answer.status_code == 200, answer.text
        else:
            assert block.reason, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b # c\nd", [["a", "b"], ["d"]]),
        ("a && b 'c\nd'", [["a"], ["b", "c\nd"]]),
        ("K=$(x -y) a \\\n  b", [["K=SUBSTITUTED", "a", "b"]]),
    ],
)
def test_commands_are_taken_apart(text: str, found: list[list[str]]) -> None:
    assert commands(text) == found


@pytest.mark.parametrize("flags", ["serve --prot 1", "rank a", "eval --k x"])
def test_an_unknown_flag_is_seen(flags: str) -> None:
    with pytest.raises(CycloptsError):
        app.parse_args(flags.split(), exit_on_error=False, print_error=False)
