"""The LiteLLM proxy in front of rerankd, with the configuration of docs/integrations/litellm.md.

    tests/clients/proxy/run.sh [CACHE] [--write]

Starts `rerankd serve`, a recorder before it that keeps what arrives, and the proxy. The models of
the page's YAML must cost what the page says. Then every route is asked once per field that the
proxy's /v1/rerank takes: which arrive, what does it cost, does the text come back? The table that
this makes must be the page's; --write puts it there. Exit status 1 when the page says another.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parents[2]))

from tests.kit.processes import serving  # noqa: E402 - a sibling of tests/clients

PAGE = ROOT / "docs" / "integrations" / "litellm.md"
KEY = "sk-rerankd-0123456789abcdef"
MASTER = "sk-proxy-9f8e7d6c5b4a3210"
PATIENCE_S = 180
OK = 200
TOKEN, SEARCH = 2e-8, 2e-3  # prices in the page too
PLAIN: dict[str, Any] = {
    "query": "What is the capital of France?",
    "documents": ["Berlin is the capital of Germany.", "Paris is in France."],
}
FIELDS: dict[str, Any] = {
    "top_n": 1,
    "return_documents": True,
    "rank_fields": ["text"],
    "max_chunks_per_doc": 4,
    "max_tokens_per_doc": 400,
    "instruction": "Rank by relevance.",
}
OTHER_NAMES = {"top_n": "top_k"}
ROUTES = {
    "jina_ai": "",
    "voyage": "/voyage",
    "cohere": "/cohere",
    "litellm_proxy": "/litellm",
    "hosted_vllm": "",
    "infinity": "/infinity",
    "dashscope": "/dashscope/compatible-api/v1",
    "together_ai": "/together/v1",
    "nvidia_nim": "",
    "fireworks_ai": "/fireworks",
    "huggingface": "/tei",
    "deepinfra": "/deepinfra/v1",
}
HEAD = (
    "| `model` starts with | `api_base` | cost per | passes on | drops | fails with | text |\n"
    "|---|---|---|---|---|---|---|\n"
)


class Recorder(http.server.BaseHTTPRequestHandler):
    """Hands requests on and keeps the last body."""

    protocol_version = "HTTP/1.1"
    target: ClassVar[int]
    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        """One request to the server behind."""
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        Recorder.seen.append(json.loads(raw))
        names = ("authorization", "content-type", "api-key", "x-api-key")
        headers = {n: v for n, v in self.headers.items() if n.lower() in names}
        there = http.client.HTTPConnection("127.0.0.1", Recorder.target)
        there.request("POST", self.path, raw, headers)
        answer = there.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("content-type", answer.headers.get("content-type", "application/json"))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextlib.contextmanager
def recording(target: int) -> Generator[int]:
    """The recorder on a free port, before a server."""
    Recorder.target = target
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def post(port: int, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    """Status, headers (lower case) and body of a rerank request to the proxy."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/rerank",
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {MASTER}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - ours
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, headers, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, {}, json.loads(error.read() or b"{}")


@contextlib.contextmanager
def proxying(python: str, config: Path, log: Path) -> Generator[int]:
    """The proxy on a free port; it answers when this goes on."""
    with http.server.HTTPServer(("127.0.0.1", 0), Recorder) as probe:
        port = probe.server_address[1]
    command = [str(Path(python).with_name("litellm")), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    environment = os.environ | {
        "RERANKD_KEY": KEY,
        "LITELLM_MASTER_KEY": MASTER,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            ends = time.monotonic() + PATIENCE_S
            while True:
                try:
                    urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/health/liveliness", timeout=5
                    ).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > ends:
                        raise SystemExit(log.read_text()[-4000:]) from None
                    time.sleep(0.5)
            yield port
        finally:
            process.terminate()


def page_models(port: int) -> str:
    """The page's YAML, at the recorder's address."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1].replace("http://127.0.0.1:8000", f"http://127.0.0.1:{port}")


def route_models(port: int) -> str:
    """A model for every route, with both prices."""
    return "".join(
        f"""
  - model_name: {provider}
    litellm_params:
      model: {provider}/rerankd-multi
      api_base: http://127.0.0.1:{port}{below}
      api_key: os.environ/RERANKD_KEY
    model_info: {{mode: rerank, input_cost_per_token: {TOKEN}, input_cost_per_query: {SEARCH}}}
"""
        for provider, below in ROUTES.items()
    )


def check_costs(port: int, tokens: int) -> list[str]:
    """What is wrong with the costs of the page's models."""
    wrong: list[str] = []
    for name, price in {"rerank": "token", "rerank-by-search": "search"}.items():
        _, headers, _ = post(port, {"model": name, **PLAIN})
        found = cost_of(headers, tokens)
        if found != price:
            wrong.append(f"{name}: the cost is {found}, not per {price}")
    return wrong


def tokens_of(server: int) -> int:
    """What rerankd counts for PLAIN."""
    there = http.client.HTTPConnection("127.0.0.1", server)
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    there.request("POST", "/v1/rerank", json.dumps(PLAIN), headers)
    return int(json.loads(there.getresponse().read())["usage"]["prompt_tokens"])


def cost_of(headers: dict[str, str], tokens: int) -> str:
    """What the proxy counted, in words."""
    cost = float(headers.get("x-litellm-response-cost") or 0)
    ways = {"token": tokens * TOKEN, "search": SEARCH, "nothing": 0.0}
    return next((way for way, value in ways.items() if abs(cost - value) < 1e-12), "wrong")


def ask(port: int, provider: str, tokens: int) -> str:
    """A row of the page's table."""
    Recorder.seen.clear()
    status, headers, answer = post(port, {"model": provider, **PLAIN})
    if status != OK:
        raise SystemExit(f"{provider}: {status} {answer}")
    echo = any(result.get("document") for result in answer["results"])
    kept: list[str] = []
    dropped: list[str] = []
    failed: list[str] = []
    for field, value in FIELDS.items():
        Recorder.seen.clear()
        body = {"model": provider, **PLAIN, field: value}
        if field == "rank_fields":
            body["documents"] = [{"text": text} for text in PLAIN["documents"]]
        status, _, answer = post(port, body)
        sent = Recorder.seen[-1] if Recorder.seen else {}
        if status != OK:
            failed.append(field)
        elif {field, OTHER_NAMES.get(field)} & {*sent, *sent.get("parameters", {})}:
            kept.append(field)
        else:
            dropped.append(field)
        if status == OK and field == "return_documents":
            echo |= any(result.get("document") for result in answer["results"])
    words = [" ".join(f"`{field}`" for field in fields) for fields in (kept, dropped, failed)]
    cost = cost_of(headers, tokens)
    where = f"`…{ROUTES[provider]}`" if ROUTES[provider] else "`http://HOST:8000`"
    cells = [f"`{provider}/`", where, cost, *words, "yes" if echo else "no"]
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Start all three, ask every route."""
    parser = argparse.ArgumentParser()
    parser.add_argument("python", help="of the environment that has litellm[proxy]")
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "config.yaml", Path(folder) / "log"
        command = ["-m", "rerankd", "serve", "--port", "0"]
        with (
            serving(command, env={"RERANKD_API_KEYS": KEY}) as server,
            recording(server.port) as recorder,
        ):
            config.write_text(page_models(recorder) + route_models(recorder))
            with proxying(arguments.python, config, log) as port:
                tokens = tokens_of(server.port)
                wrong = check_costs(port, tokens)
                table = HEAD + "".join(ask(port, provider, tokens) for provider in ROUTES)
    print(table)
    page = PAGE.read_text()
    fresh = re.sub(rf"{re.escape(HEAD)}(\|.*\n)*", lambda _: table, page)
    if arguments.write:
        PAGE.write_text(fresh)
    elif fresh != page or table not in page:
        wrong.append(f"the table of {PAGE.name} is another: run with --write and look")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
