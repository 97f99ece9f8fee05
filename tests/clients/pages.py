"""Runs the Python and Java snippets of docs/integrations and docs/dialects against `rerankd serve`.

And the playground's of LangChain, which needs that package; its others run in tests/web/console.

    pages.py CACHE

CACHE has the environments that run.sh made. The address and the key of a snippet are replaced.
Those of integrations are run as they stand, and must end well and print the right text first. Those
of dialects leave key, model, query and documents to the reader, and must end well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.kit.processes import serving  # noqa: E402 - a sibling of this folder

PAGES = HERE.parents[1] / "docs" / "integrations"
DIALECTS = HERE.parents[1] / "docs" / "dialects"
ENVIRONMENTS = {  # of pins/, by page
    "haystack": "haystack",
    "httpx": "core",
    "langchain": "core",
    "litellm": "litellm",
    "llamaindex": "llama",
}
BY_IMPORT = {  # of pins/; else core
    "haystack": "haystack",
    "langchain_nvidia_ai_endpoints": "langchain",
    "litellm": "litellm",
    "llama_index": "llama",
}
KEY = "sk-0123456789abcdef0123456789abcdef"
GIVEN = f"""\
key, model, query = {KEY!r}, "rerankd-multi", "What is the capital of France?"
documents = ["Berlin is the capital of Germany.", "Paris is the capital of France."]
"""
PLAYGROUND = HERE.parent / "web" / "console" / "playground" / "made.mjs"
PATIENCE_S = 180
QUIET = {
    "NO_PROXY": "*",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "PYTHONWARNINGS": "ignore",
}


def snippets(page: str, language: str) -> list[str]:
    """The blocks of a page."""
    return of_page(PAGES / f"{page}.md", language)


def of_page(page: Path, language: str) -> list[str]:
    """The blocks of a file."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def environment_of(code: str) -> str:
    """Of pins/, by what a snippet imports."""
    imported = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    return next((BY_IMPORT[name] for name in imported if name in BY_IMPORT), "core")


def ends_well(done: subprocess.CompletedProcess[str]) -> bool:
    """What a dialect's snippet must do."""
    return done.returncode == 0


def prints_paris(done: subprocess.CompletedProcess[str]) -> bool:
    """What an integration's snippet must do."""
    return done.returncode == 0 and "Paris" in done.stdout and "Berlin" not in done.stdout


def prints_second_first(done: subprocess.CompletedProcess[str]) -> bool:
    """What the playground's must do: the index of the best document comes first."""
    return done.returncode == 0 and done.stdout.startswith("1 ")


def of_playground(origin: str) -> str:
    """Its snippet of LangChain."""
    ask: dict[str, object] = {
        "model": "rerankd-multi",
        "query": "What is the capital of France?",
        "documents": ["Berlin is the capital of Germany.", 'Paris is the "capital" of France.'],
        "options": {},
        "origin": origin,
        "hasKey": True,
    }
    command = ["node", str(PLAYGROUND), "snippets"]
    told = subprocess.run(
        command, input=json.dumps(ask), capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)["LangChain"]


def run(
    name: str,
    command: list[str],
    code: str,
    file: str,
    url: str,
    is_right: Callable[[subprocess.CompletedProcess[str]], bool] = prints_paris,
) -> bool:
    """Whether a snippet does what its page says; what went wrong is printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(code.replace("http://127.0.0.1:8000", url).replace("sk-…", KEY))
        done = subprocess.run(
            [*command, str(path)],
            env=os.environ | QUIET | {"RERANKD_KEY": KEY},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    right = is_right(done)
    print(f"{name}: {'ok' if right else 'FAILED'}", flush=True)
    if not right:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
    return right


def main() -> None:
    """All pages; exit status 1 when a snippet failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", type=Path)
    cache = parser.parse_args().cache
    command = ["-m", "rerankd", "serve", "--port", "0", "--alias", "gte-rerank=rerankd-multi"]
    found: list[bool] = []
    with serving(command, env={"RERANKD_API_KEYS": KEY}) as server:
        for page, environment in ENVIRONMENTS.items():
            python = str(cache / environment / "bin" / "python")
            blocks = snippets(page, "python")
            assert blocks, f"{page}.md has no snippet"
            for number, code in enumerate(blocks, 1):
                found.append(run(f"{page} {number}", [python], code, "snippet.py", server.url))
        for page in sorted(DIALECTS.glob("*.md")):
            for number, code in enumerate(of_page(page, "python"), 1):
                python = str(cache / environment_of(code) / "bin" / "python")
                name = f"{page.stem} {number}"
                given = GIVEN + code
                found.append(run(name, [python], given, "snippet.py", server.url, ends_well))
        python = str(cache / "core" / "bin" / "python")
        code = of_playground(server.url)
        found.append(
            run("playground", [python], code, "snippet.py", server.url, prints_second_first)
        )
        code = snippets("java", "java")[0]
        found.append(run("java 1", ["java"], code, "Rerank.java", server.url))
    sys.exit(0 if all(found) else 1)


if __name__ == "__main__":
    main()
