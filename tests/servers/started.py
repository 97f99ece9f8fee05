"""Starts each real server, and rerankd, on a free port of loopback with the same small model."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from tests.servers.cases import KEY, MODEL

HERE = Path(__file__).parent
START_S = 300.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def rerankd(folder: Path, *, with_key: bool) -> Generator[str]:
    """`rerankd serve` of this checkout; its base URL, for a prefix to follow."""
    port = free_port()
    with tempfile.TemporaryDirectory() as work:
        config = Path(work) / "rerankd.toml"
        keys = f'[[keys]]\nname = "tests"\nkey = "{KEY}"\n' if with_key else ""
        config.write_text(f'models = ["{MODEL}={folder}"]\n{keys}', encoding="utf-8")
        command = [sys.executable, "-m", "rerankd", "serve", "--port", str(port)]
        with started([*command, "--config", str(config)], port, "/ready", Path(work)) as url:
            yield url


@contextlib.contextmanager
def infinity(python: Path, folder: Path) -> Generator[str]:
    """Infinity on torch, as its README starts it."""
    port = free_port()
    command = [
        *(str(python.parent / "infinity_emb"), "v2", "--model-id", str(folder)),
        *("--served-model-name", MODEL, "--engine", "torch", "--device", "cpu"),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY),
        *("--no-bettertransformer", "--no-model-warmup"),
    ]
    with (
        tempfile.TemporaryDirectory() as work,
        started(command, port, "/health", Path(work)) as url,
    ):
        yield url


@contextlib.contextmanager
def llamacpp(python: Path, folder: Path) -> Generator[str]:
    """llama.cpp's own HTTP server, in the wheel xllamacpp."""
    port = free_port()
    with tempfile.TemporaryDirectory() as work:
        model = Path(work) / "tiny.gguf"
        subprocess.run(
            [str(python), str(HERE / "make_gguf.py"), str(folder), str(model)], check=True
        )
        command = [str(python), str(HERE / "llamacpp_server.py"), str(model), str(port), MODEL, KEY]
        with started(command, port, "/health", Path(work)) as url:
            yield url


@contextlib.contextmanager
def xinference(python: Path, folder: Path) -> Generator[str]:
    """Xinference with the folder as a custom rerank model on sentence-transformers."""
    port = free_port()
    command = [str(python.parent / "xinference-local"), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory() as work:
        settings = {
            "XINFERENCE_HOME": work,
            "XINFERENCE_ENABLE_VIRTUAL_ENV": "0",
            "XINFERENCE_AUTH_ADVANCED": "false",
        }
        with started(command, port, "/status", Path(work), settings) as url:
            model = {
                "version": 2,
                "model_name": MODEL,
                "max_tokens": 512,
                "language": ["en"],
                "type": "normal",
                "model_specs": [
                    {
                        "model_format": "pytorch",
                        "model_uri": str(folder),
                        "quantization": "none",
                    }
                ],
            }
            post(
                f"{url}/v1/model_registrations/rerank",
                {"model": json.dumps(model), "persist": False},
            )
            launched = {
                "model_uid": MODEL,
                "model_name": MODEL,
                "model_type": "rerank",
                "model_engine": "sentence_transformers",
                "n_gpu": None,
            }
            post(f"{url}/v1/models", launched)
            yield url


def post(url: str, body: Mapping[str, object]) -> None:
    """A JSON POST that must succeed."""
    raw = json.dumps(body).encode()
    asked = urllib.request.Request(  # noqa: S310 - our own address
        url, raw, {"content-type": "application/json"}
    )
    try:
        urllib.request.urlopen(asked, timeout=START_S).close()  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.code} {error.read()[:2000]!r}") from None


@contextlib.contextmanager
def started(
    command: Sequence[str],
    port: int,
    ready: str,
    work: Path,
    environment: Mapping[str, str] | None = None,
) -> Generator[str]:
    """A process until the block ends, from when GET `ready` is 200; its log is shown if it fails.

    Raises:
        SystemExit: it ended, or was not ready within START_S.
    """
    url, log = f"http://127.0.0.1:{port}", work / "log"
    quiet = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
    env = {**os.environ, **quiet, "HOME": str(work), **(environment or {})}
    with log.open("wb") as out:
        process = subprocess.Popen(list(command), stdout=out, stderr=out, env=env)
    try:
        end = time.monotonic() + START_S
        while status(url + ready) != 200:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(
                    f"{command[0]} did not start:\n{log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def status(url: str) -> int:
    """The status of a GET; 0 when nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def version(python: Path, package: str) -> str:
    """The installed version of a package in another environment."""
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    found = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True)
    return found.stdout.strip()


SERVERS = {"infinity": infinity, "llamacpp": llamacpp, "xinference": xinference}
