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
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import full_queue  # noqa: E402 - siblings
import manners  # noqa: E402
from listed import CLIENTS, Client  # noqa: E402
from scripted import KEY_BEHIND, SCRIPTS, Scripted, scripted  # noqa: E402

from tests.kit.processes import serving  # noqa: E402

KEY, WRONG_KEY = "sk-right-{}", "sk-wrong"  # by the number of the client
RESULTS, MANNERS = HERE / "results.json", HERE / "manners.json"
MODEL = "bge-reranker-v2-m3"  # an alias: clients have opinions about names
EMBEDDING_MODEL = "text-embedding-3-small"
PATIENCE_S = 600
AT_ONCE = 4  # most of the time they wait
FEW = 5  # clients that are measured again
BOTH = 2  # keys with which a client must pass: a right one, a wrong one


def outcome(client: Client, base: str, cache: Path, front: Scripted) -> dict[str, Any]:
    """What a client's script found: why it failed with each key, empty where it passed.

    And its manners, if they are its own: the same client under another path has the same.
    """
    key = KEY.format(CLIENTS.index(client))
    given: dict[str, Any] = {
        "base": base + client.prefix,
        "scripted": front.url + client.prefix,
        "key": key,
        "model": EMBEDDING_MODEL if client.embeds else MODEL,
    }
    if client.has_manners:
        options = {manners.WITH + name: {name: value} for name, value in manners.OPTIONS.items()}
        given |= {"scripts": " ".join([*SCRIPTS, *options]), "options": options}
    found = started(client, cache, given)
    if "ends" in found and "scripts" in given:
        found["manners"] = manners.found(front.calls_of(key), found)
    return found


def started(client: Client, cache: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Runs a client's script with what it is given: what it found, and how long that took."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith(("_proxy", "_api_key"))}
    told = json.dumps({"wrong_key": WRONG_KEY, "scripts": "", "options": {}, **given})
    environment = kept | {"RERANKD_CLIENT": told, "PYTHONPATH": str(HERE)}
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


def run_all(
    clients: list[Client], base: str, cache: Path, front: Scripted
) -> dict[str, dict[str, Any]]:
    """Prints a row for each; client -> its outcome."""
    every: dict[str, dict[str, Any]] = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = [pool.submit(outcome, client, base, cache, front) for client in clients]
        print(f"{'client':<32} {'right key':<10} {'wrong key':<10} seconds")
        for client, future in zip(clients, found, strict=True):
            result = every[client.name] = future.result()
            marks = ["FAIL" if result[which] else "pass" for which in ("right", "wrong")]
            print(f"{client.name:<32} {marks[0]:<10} {marks[1]:<10} {result['seconds']:>6}")
            for which in ("right", "wrong"):
                if result[which]:
                    print(f"    {which} key: {result[which]}")
            sys.stdout.flush()
    return every


def answered_by(log: Path) -> dict[str, list[str]]:
    """Client -> the dialects that answered it with 200, by the server's log."""
    found: dict[str, set[str]] = {}
    for line in log.read_text().splitlines():
        event: Any = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "rerank" and event["status"] == 200:
            found.setdefault(event["key"], set()).add(event["dialect"])
    return {name: sorted(dialects) for name, dialects in found.items()}


def checked(
    clients: list[Client], cache: Path, recorded: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Starts a server and runs them; those with other manners than recorded once more.

    Returns:
        Client -> the keys with which it passed and who answered; client -> its manners.
    """
    named = [(client.name, KEY.format(i)) for i, client in enumerate(CLIENTS)]
    keys = [
        f'[[keys]]\nname = "{name}"\nkey = "{key}"\n'
        for name, key in [*named, ("scripted", KEY_BEHIND)]
    ]
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "rerankd.toml", Path(folder) / "log"
        # All clients share one network, and each sends a wrong key, some of them several times.
        limits = "[limits]\nwrong_keys = 10_000\n"
        config.write_text(f'[server]\nlog = "json"\n{limits}{"".join(keys)}')
        command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
        command += ["--alias", f"{MODEL}=rerankd-lexical"]
        command += ["--alias", f"{EMBEDDING_MODEL}=rerankd-mini"]
        with serving(command, log=log) as server:
            with scripted(server.port) as front:
                every = run_all(clients, server.url, cache, front)
            odd = [
                client
                for client in clients
                if client.name in recorded
                and every[client.name].get("manners") != recorded[client.name]
            ]
            # A slow machine lengthens waits: what differs is measured once more, alone.
            for client in odd[:FEW]:
                with scripted(server.port) as front:
                    every[client.name] |= outcome(client, server.url, cache, front)
        dialects = answered_by(log)
    results = {
        name: {
            "passed": [which for which in ("right", "wrong") if not found[which]],
            "dialects": dialects.get(name, []),
        }
        for name, found in every.items()
    }
    return results, {n: found["manners"] for n, found in every.items() if "manners" in found}


def differing(path: Path, found: dict[str, Any], *, record: bool, partly: bool) -> list[str]:
    """The clients of which a file does not say what was found; it is written first to record it."""
    recorded: dict[str, Any] = json.loads(path.read_text())
    if record:
        known = recorded | found if partly else found
        recorded = {client.name: known[client.name] for client in CLIENTS if client.name in known}
        path.write_text(json.dumps(recorded, indent=1) + "\n")
    for name in found.keys() & recorded.keys():
        for part in found[name]:
            if recorded[name].get(part) != found[name][part]:
                print(f"{name}, {part}: {recorded[name].get(part)} -> {found[name][part]}")
    stale = [name for name, result in found.items() if recorded.get(name) != result]
    return stale + ([] if partly else sorted(recorded.keys() - found.keys()))


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--only", default="", help="names, with semicolons")
    parser.add_argument("--record", action="store_true", help="write results.json, manners.json")
    given = parser.parse_args()
    only = [name.strip() for name in given.only.split(";") if name]
    clients = [client for client in CLIENTS if not only or client.name in only]
    recorded: dict[str, Any] = {} if given.record else json.loads(MANNERS.read_text())
    cache = given.cache.resolve()
    found, measured = checked(clients, cache, recorded)
    lost = full_queue.failures(lambda client, told: started(client, cache, told))
    failing = [name for name, result in found.items() if len(result["passed"]) < BOTH]
    silent = [name for name, result in found.items() if not result["dialects"]]
    print(f"{len(found)} clients, {len(failing)} failing")
    how = {"record": given.record, "partly": bool(only)}
    stale = differing(RESULTS, found, **how)
    rude = differing(MANNERS, measured, **how)
    for what, names in (
        ("no answer in the log", silent),
        ("not as in results.json", stale),
        ("not as in manners.json", rude),
        ("lost before a full queue", lost),
    ):
        if names:
            print(f"{what}: {', '.join(names)}")
    return bool(failing or silent or stale or rude or lost)


if __name__ == "__main__":
    sys.exit(main())
