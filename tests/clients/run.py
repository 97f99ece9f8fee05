"""Runs all clients against `rerankd serve`, with a right and a wrong key, and prints a table.

    run.py CACHE [--only "NAME;NAME"] [--record]

CACHE has the environments that run.sh made. Exit status 0 only if every client passed with both,
and results.json says what was found; --record writes it. Which dialect answered a client is read
from the server's log, where each client has a key of its own.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from processes import serving  # noqa: E402 - a sibling of this folder

KEY, WRONG_KEY = "sk-right-{}", "sk-wrong"  # by the number of the client
RESULTS = HERE / "results.json"
MODEL = "bge-reranker-v2-m3"  # an alias: clients have opinions about names
PATIENCE_S = 180
AT_ONCE = 2
BOTH = 2  # keys with which a client must pass: a right one, a wrong one


@dataclass(frozen=True)
class Client:
    """A script, the environment that it runs in, and the path that its base URL has."""

    name: str
    environment: str  # of pins/, or "javascript", or "java"
    script: str
    prefix: str  # "" = the server's root
    arguments: tuple[str, ...] = ()


def _litellm(provider: str, prefix: str, below: str = "") -> Client:
    return Client(f"litellm {provider}", "litellm", "litellm_rerank.py", prefix, (provider, below))


CLIENTS = [
    Client("cohere v2", "core", "cohere_v2.py", ""),
    Client("cohere v2, prefix", "core", "cohere_v2.py", "/cohere"),
    Client("cohere v1", "core", "cohere_v1.py", "/cohere"),
    Client("voyageai", "core", "voyage.py", "/voyage"),
    Client("dashscope", "core", "dashscope_sdk.py", ""),
    Client("dashscope, prefix", "core", "dashscope_sdk.py", "/dashscope"),
    Client("infinity-client", "core", "infinity.py", "/infinity"),
    Client("mixedbread", "core", "mixedbread_sdk.py", ""),
    Client("mixedbread, prefix", "core", "mixedbread_sdk.py", "/mixedbread"),
    Client("pinecone", "core", "pinecone_sdk.py", ""),
    Client("pinecone, prefix", "core", "pinecone_sdk.py", "/pinecone"),
    Client("together", "core", "together_sdk.py", "/together"),
    Client("xinference-client", "core", "xinference.py", ""),
    Client("xinference-client, prefix", "core", "xinference.py", "/xinference"),
    Client("zeroentropy", "core", "zeroentropy_sdk.py", ""),
    Client("langchain-community Jina", "core", "langchain_jina.py", "/jina"),
    Client("langchain-community Infinity", "core", "langchain_infinity.py", "/infinity"),
    _litellm("hosted_vllm", ""),
    Client(
        "litellm hosted_vllm, prefix", "litellm", "litellm_rerank.py", "/vllm", ("hosted_vllm",)
    ),
    _litellm("cohere", "/cohere"),
    _litellm("jina_ai", ""),
    _litellm("voyage", "/voyage"),
    _litellm("infinity", "/infinity"),
    _litellm("huggingface", "/tei"),
    _litellm("deepinfra", "/deepinfra", "/v1"),
    _litellm("fireworks_ai", "/fireworks"),
    _litellm("together_ai", "/together", "/v1"),
    _litellm("nvidia_nim", ""),
    _litellm("dashscope", "/dashscope", "/compatible-api/v1"),
    _litellm("litellm_proxy", "/litellm"),
    *(
        Client(f"llama-index {name}", "llama", "llamaindex.py", prefix, (name,))
        for name, prefix in [
            ("jina", "/jina"),
            ("siliconflow", "/siliconflow"),
            ("cohere", "/cohere"),
            ("voyage", "/voyage"),
            ("mixedbread", ""),
            ("dashscope", ""),
            ("tei", ""),
        ]
    ),
    *(
        Client(f"haystack {name}", "haystack", "haystack_ranker.py", prefix, (name,))
        for name, prefix in [
            ("tei", ""),
            ("jina", "/jina"),
            ("cohere", "/cohere"),
            ("nvidia", "/nvidia"),
        ]
    ),
    *(
        Client(f"langchain {name}", "langchain", "langchain_rerank.py", f"/{name}", (name,))
        for name in ("cohere", "voyage", "nvidia")
    ),
    *(
        Client(f"npm {script}", "javascript", f"{script}.mjs", prefix)
        for script, prefix in [
            ("cohere", "/cohere"),
            ("voyageai", "/voyage"),
            ("ai-cohere", "/cohere"),
            ("ai-together", "/together"),
            ("pinecone", ""),
            ("together", "/together"),
            ("mixedbread", ""),
            ("zeroentropy", "/zeroentropy"),
            ("langchain-cohere", "/cohere"),
        ]
    ),
    *(
        Client(f"java HttpClient, {form}", "java", "HttpClientDefault.java", "", (form,))
        for form in ("length", "chunks")
    ),
]


def outcome(client: Client, base: str, cache: Path) -> dict[str, str]:
    """What a client's script found: why it failed with each key, empty where it passed."""
    key = KEY.format(CLIENTS.index(client))
    given = {"base": base + client.prefix, "key": key, "wrong_key": WRONG_KEY, "model": MODEL}
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith(("_proxy", "_api_key"))}
    environment = kept | {"RERANKD_CLIENT": json.dumps(given), "PYTHONPATH": str(HERE)}
    if client.environment == "javascript":
        command = ["node", str(cache / "javascript" / client.script)]
    elif client.environment == "java":
        command = ["java", "-Dfile.encoding=UTF-8", str(HERE / "java" / client.script)]
    else:
        python = cache / client.environment / "bin" / "python"
        command = [str(python), "-P", str(HERE / "python" / client.script)]
    start = time.monotonic()
    try:
        done = subprocess.run(
            [*command, *client.arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"right"')]
        found = json.loads(lines[-1]) if lines else {"right": done.stderr[-400:], "wrong": "-"}
    except subprocess.TimeoutExpired:
        found = {"right": f"no answer in {PATIENCE_S} s", "wrong": "-"}
    return {**found, "seconds": f"{time.monotonic() - start:.1f}"}


def run_all(clients: list[Client], base: str, cache: Path) -> dict[str, list[str]]:
    """Prints a row for each; gives the keys with which each passed."""
    passed: dict[str, list[str]] = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = [pool.submit(outcome, client, base, cache) for client in clients]
        print(f"{'client':<32} {'right key':<10} {'wrong key':<10} seconds")
        for client, future in zip(clients, found, strict=True):
            result = future.result()
            marks = ["FAIL" if result[which] else "pass" for which in ("right", "wrong")]
            print(f"{client.name:<32} {marks[0]:<10} {marks[1]:<10} {result['seconds']:>6}")
            for which in ("right", "wrong"):
                if result[which]:
                    print(f"    {which} key: {result[which]}")
            passed[client.name] = [which for which in ("right", "wrong") if not result[which]]
            sys.stdout.flush()
    return passed


def answered_by(log: Path) -> dict[str, list[str]]:
    """Client -> the dialects that answered it with 200, by the server's log."""
    found: dict[str, set[str]] = {}
    for line in log.read_text().splitlines():
        event: Any = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "rerank" and event["status"] == 200:
            found.setdefault(event["key"], set()).add(event["dialect"])
    return {name: sorted(dialects) for name, dialects in found.items()}


def checked(clients: list[Client], cache: Path) -> dict[str, dict[str, list[str]]]:
    """Starts a server and runs them; client -> the keys with which it passed, who answered."""
    keys = [
        f'[[keys]]\nname = "{client.name}"\nkey = "{KEY.format(i)}"\n'
        for i, client in enumerate(CLIENTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "rerankd.toml", Path(folder) / "log"
        config.write_text('[server]\nlog = "json"\n' + "".join(keys))
        command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
        with serving([*command, "--alias", f"{MODEL}=rerankd-lexical"], log=log) as server:
            passed = run_all(clients, server.url, cache)
        dialects = answered_by(log)
    return {
        name: {"passed": keys, "dialects": dialects.get(name, [])} for name, keys in passed.items()
    }


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--only", default="", help="names, with semicolons")
    parser.add_argument("--record", action="store_true", help="write results.json")
    given = parser.parse_args()
    only = [name.strip() for name in given.only.split(";") if name]
    clients = [client for client in CLIENTS if not only or client.name in only]
    found = checked(clients, given.cache.resolve())
    failing = [name for name, result in found.items() if len(result["passed"]) < BOTH]
    silent = [name for name, result in found.items() if not result["dialects"]]
    print(f"{len(found)} clients, {len(failing)} failing")
    if given.record and not only:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    recorded = json.loads(RESULTS.read_text())
    stale = [name for name, result in found.items() if recorded.get(name) != result]
    gone = [] if only else sorted(recorded.keys() - found.keys())
    for what, names in (("no answer in the log", silent), ("not as in results.json", stale + gone)):
        if names:
            print(f"{what}: {', '.join(names)}")
    return bool(failing or silent or stale or gone)


if __name__ == "__main__":
    sys.exit(main())
