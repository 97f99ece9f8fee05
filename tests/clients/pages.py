"""Runs the Python and Java snippets of docs/integrations as they stand, against `rerankd serve`.

    pages.py CACHE

CACHE has the environments that run.sh made. The address and the key of a snippet are replaced; it
must end well and print the right text first.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.kit.processes import serving  # noqa: E402 - a sibling of this folder

PAGES = HERE.parents[1] / "docs" / "integrations"
ENVIRONMENTS = {  # of pins/, by page
    "haystack": "haystack",
    "httpx": "core",
    "langchain": "core",
    "litellm": "litellm",
    "llamaindex": "llama",
}
KEY = "sk-0123456789abcdef0123456789abcdef"
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
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)


def run(name: str, command: list[str], code: str, file: str, url: str) -> bool:
    """Whether a snippet does what its page says; what went wrong is printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(code.replace("http://127.0.0.1:8000", url).replace("sk-…", KEY))
        done = subprocess.run(
            [*command, str(path)],
            env=os.environ | QUIET,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    right = done.returncode == 0 and "Paris" in done.stdout and "Berlin" not in done.stdout
    print(f"{name}: {'ok' if right else 'FAILED'}", flush=True)
    if not right:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
    return right


def main() -> None:
    """All pages; exit status 1 when a snippet failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cache", type=Path)
    cache = parser.parse_args().cache
    command = ["-m", "rerankd", "serve", "--port", "0", "--alias", "gte-rerank=rerankd-mini"]
    found: list[bool] = []
    with serving(command, env={"RERANKD_API_KEYS": KEY}) as server:
        for page, environment in ENVIRONMENTS.items():
            python = str(cache / environment / "bin" / "python")
            blocks = snippets(page, "python")
            assert blocks, f"{page}.md has no snippet"
            for number, code in enumerate(blocks, 1):
                found.append(run(f"{page} {number}", [python], code, "snippet.py", server.url))
        code = snippets("java", "java")[0]
        found.append(run("java 1", ["java"], code, "Rerank.java", server.url))
    sys.exit(0 if all(found) else 1)


if __name__ == "__main__":
    main()
