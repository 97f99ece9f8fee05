"""`pull` through the real client library, against a small hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from rerankd.core.errors import StartError
from rerankd.models import hub
from tests.kit.terminals import on_a_terminal

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "modules.json": b"[]",
    "config_sentence_transformers.json": b"{}",
    "sentence_bert_config.json": b"{}",
    "1_Pooling/config.json": b"{}",
    "2_Dense/config.json": b"{}",
    "2_Dense/model.safetensors": b"head",
    "2_Dense/pytorch_model.bin": b"pickle",
    "10_Dense/config.json": b"{}",
    "chat_template.jinja": b"{{ x }}",
    "artifact.metadata": b"{}",
    "adapter_config.json": b"{}",
    "README.md": b"",
    "pytorch_model.bin": b"pickle",
    "modeling_x.py": b"import os",
    "onnx/model.safetensors": b"export",
    "onnx/config.json": b"export",
    "2_Dense/onnx/model.safetensors": b"export",
}


def git_sha1(body: bytes) -> str:
    """What the hub names a small file by."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP as a download needs."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        """Metadata of a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """The repository's file list, or a file."""
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def _answer(self, *, with_body: bool) -> None:
        Hub.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/owner/model/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": git_sha1(body)}
                for name, body in FILES.items()
            ]
            self._send(json.dumps(tree).encode(), {"content-type": "application/json"}, with_body)
            return
        if path.startswith("/api/models/owner/model"):
            siblings = [{"rfilename": name} for name in FILES]
            listed = {"id": "owner/model", "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(listed).encode(), {"content-type": "application/json"}, with_body)
            return
        name = path.partition(f"/owner/model/resolve/{COMMIT}/")[2]
        if name in FILES:
            body = FILES[name]
            self._send(body, {"etag": f'"{git_sha1(body)}"', "x-repo-commit": COMMIT}, with_body)
            return
        self.send_response(404)
        self.send_header("x-error-code", "RepoNotFound")
        self.send_header("content-length", "0")
        self.end_headers()

    def _send(self, body: bytes, headers: dict[str, str], with_body: bool) -> None:  # noqa: FBT001 - private
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def small_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A hub on a free port, and an empty cache."""
    Hub.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in (
        ("ENDPOINT", endpoint),
        ("HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"),
        ("HF_HUB_CACHE", str(tmp_path)),
    ):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("small_hub")
def test_pull_fetches_configuration_tokenizer_and_safetensors_only() -> None:
    folder = hub.pull("owner/model")
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "modules.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "10_Dense/config.json",
        "chat_template.jinja",
        "artifact.metadata",
        "adapter_config.json",
        "README.md",
    }
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert hub.cached_folder("owner/model") == folder
    assert not any("pytorch_model" in path or ".py" in path for path in Hub.asked)


@pytest.mark.usefixtures("small_hub")
def test_a_second_pull_downloads_nothing_again() -> None:
    hub.pull("owner/model")
    Hub.asked.clear()
    hub.pull("owner/model")
    assert not any("resolve" in path for path in Hub.asked)


@pytest.mark.usefixtures("small_hub")
def test_what_is_not_here_names_the_command() -> None:
    with pytest.raises(StartError, match="rerankd pull owner/model"):
        hub.cached_folder("owner/model")


@pytest.mark.usefixtures("small_hub")
def test_an_unknown_repository_is_said() -> None:
    with pytest.raises(StartError, match="nobody/nothing"):
        hub.pull("nobody/nothing")


def test_a_hub_that_cannot_be_reached_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StartError, match="HF_ENDPOINT"):
        hub.pull("owner/model")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b/c", "", "a b/c", "https://x/y"])
def test_names_that_are_no_repository_are_refused(name: str) -> None:
    assert not hub.looks_like_repository(name)
    with pytest.raises(StartError):
        hub.pull(name)


@pytest.mark.usefixtures("small_hub")
def test_pull_shows_a_bar_on_a_terminal_and_none_elsewhere(tmp_path: Path) -> None:
    from huggingface_hub import constants

    env = os.environ | {"HF_ENDPOINT": constants.ENDPOINT, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "rerankd", "pull", "owner/model"]
    seen = on_a_terminal(
        command, columns=80, env=env | {"HF_HUB_CACHE": str(tmp_path / "a")}, stderr_too=True
    )
    assert "downloading" in seen
    assert "0 MB of 0 MB" in seen
    done = subprocess.run(
        command,
        env=env | {"HF_HUB_CACHE": str(tmp_path / "b")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "owner/model is in" in done.stdout
    assert done.stderr == ""


@pytest.mark.usefixtures("small_hub")
def test_whoever_pulls_is_told_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    hub.pull("owner/model", lambda done, of: told.append((done, of)))
    done, of = told[-1]
    assert done == of > len(FILES["model.safetensors"])  # files that are equal come once
    assert all(done <= of for done, of in told)
