"""The programs that quickstart.md's shell blocks call, in a test: `shell_tools.py PROGRAM ARGS`.

`rerankd serve` starts in the background on a free port and returns when it answers /ready; `curl`
and `python` then find it there instead of at port 8000. Everything else of rerankd is rerankd.
State is in the folder that DOCS_STATE names: `url`, `pids`, `statuses`, `bodies`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.kit.processes import PATIENCE_S

WRITTEN = "http://127.0.0.1:8000"


@dataclass(slots=True)
class Curl:
    """A command line of curl, as far as pages use it."""

    url: str = ""
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def send(self, base: str) -> httpx2.Response:
        """To the server at `base`, which stands for the one of the page."""
        if not self.url.startswith(WRITTEN):
            raise SystemExit(f"curl: {self.url} is not at {WRITTEN}")
        return httpx2.request(
            "GET" if self.body is None else "POST",
            base + self.url.removeprefix(WRITTEN),
            content=self.body,
            headers=self.headers,
            timeout=PATIENCE_S,
        )


def curl_of(words: list[str]) -> Curl:
    """What follows `curl`. Raises SystemExit for an option that is not known here."""
    found, left = Curl(), list(words)
    while left:
        word = left.pop(0)
        if word == "-H":
            name, _, value = left.pop(0).partition(": ")
            found.headers[name] = value
        elif word == "-d":
            found.body = left.pop(0)
        elif not word.startswith("-") and not found.url:
            found.url = word
        else:
            raise SystemExit(f"curl: {word} is not known here")
    return found


def main(program: str, words: list[str]) -> int:
    """The program's exit status."""
    state = Path(os.environ["DOCS_STATE"])
    if program == "rerankd" and words[:1] == ["serve"]:
        return _serve(state, words)
    if program == "rerankd":
        return subprocess.run([sys.executable, "-m", "rerankd", *words], check=False).returncode
    if program == "openssl":  # rand -hex N
        sys.stdout.write(f"{secrets.token_hex(int(words[2]))}\n")
        return 0
    url = (state / "url").read_text() if (state / "url").exists() else WRITTEN
    if program == "python":
        code = Path(words[0]).read_text("utf-8").replace(WRITTEN, url)
        return subprocess.run([sys.executable, "-c", code], check=False).returncode
    answer = curl_of(words).send(url)
    with (state / "statuses").open("a") as statuses:
        statuses.write(f"{answer.status_code}\n")
    sys.stdout.write(f"{answer.text}\n")
    return 0


def _serve(state: Path, words: list[str]) -> int:
    log = state / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "rerankd", *words, "--port", "0"],
            stdout=out,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    with (state / "pids").open("a") as pids:
        pids.write(f"{process.pid}\n")
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        said = log.read_text().splitlines()[:1]
        if said and " on http://" in said[0]:
            port = said[0].rpartition(":")[2].strip()
            (state / "url").write_text(f"http://127.0.0.1:{port}")
            return 0
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
