"""nginx, Caddy and HAProxy as deploy/ writes them, with two servers behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path

import httpx2
import pytest

from tests.kit.live import Log
from tests.kit.processes import PATIENCE_S, Server, serving

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMMAND = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical"]
BODY = {"query": "q", "documents": [f"{n} {'word ' * 10_000}" for n in range(64)]}  # over 3 MB
SMALL = {"query": "capital of France", "documents": ["Berlin", "Paris, the capital of France"]}
AFTER_DEATH = 40
CADDY = (
    f"{os.environ['DEPLOY_TOOLS']}/venv/bin/caddy"  # Debian's has faults that docs/deploy.md names
)
NAME = "rerank.example.com"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rerank.key, and with rerank.pem that holds it too, as HAProxy wants it."""
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += [
        "-subj",
        f"/CN={NAME}",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
        "-keyout",
        "rerank.key",
        "-out",
        "rerank.crt",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = (folder / "rerank.crt").read_text() + (folder / "rerank.key").read_text()
    (folder / "rerank.pem").write_text(both)
    return folder


def placed(name: str, changes: dict[str, str]) -> str:
    """A file of deploy/ with ports and paths of this test; each change must find something."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, behind: list[Server], certificate: Path) -> list[str]:
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{behind[0].port}",
        "127.0.0.1:8001": f"127.0.0.1:{behind[1].port}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/rerank": str(certificate / "rerank"),
    }
    (folder / "rerankd.conf").write_text(placed("nginx/rerankd.conf", changes))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""  # its workers write below our folder
    (folder / "nginx.conf").write_text(
        f"{user}pid {folder}/pid;\ndaemon off;\nerror_log {folder}/error;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}include {folder}/rerankd.conf;\n}}\n"
    )
    command = ["nginx", "-e", f"{folder}/error", "-c", f"{folder}/nginx.conf"]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    return command


def caddy(folder: Path, port: int, behind: list[Server], certificate: Path) -> list[str]:
    checked = [CADDY, "validate", "--adapter", "caddyfile", "--config"]
    subprocess.run([*checked, DEPLOY / "caddy" / "Caddyfile"], check=True, capture_output=True)
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{behind[0].port}",
        "127.0.0.1:8001": f"127.0.0.1:{behind[1].port}",
        f"{NAME} {{": f"{{\n\tadmin off\n\tauto_https off\n}}\n{NAME}:{port} {{\n"
        f"\tbind 127.0.0.1\n\ttls {certificate}/rerank.crt {certificate}/rerank.key",
    }
    (folder / "Caddyfile").write_text(placed("caddy/Caddyfile", changes))
    return [CADDY, "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


def haproxy(folder: Path, port: int, behind: list[Server], certificate: Path) -> list[str]:
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{behind[0].port}",
        "127.0.0.1:8001": f"127.0.0.1:{behind[1].port}",
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/rerank.pem": f"{certificate}/rerank.pem",
    }
    (folder / "haproxy.cfg").write_text(placed("haproxy/haproxy.cfg", changes))
    command = ["haproxy", "-f", f"{folder}/haproxy.cfg"]
    subprocess.run([*command, "-c"], check=True, capture_output=True)
    return [*command, "-db"]


Proxy = Callable[[Path, int, list[Server], Path], list[str]]


class Caller:
    """Asks over TLS by the name of the certificate, each time over a new connection."""

    def __init__(self, port: int, certificate: Path) -> None:
        self._url = f"https://127.0.0.1:{port}"
        self._trusted = ssl.create_default_context(cafile=str(certificate / "rerank.crt"))

    def ask(self, path: str, body: object = None) -> int:
        """The status."""
        with httpx2.Client(verify=self._trusted, trust_env=False, timeout=PATIENCE_S) as client:
            answer = client.request(
                "GET" if body is None else "POST",
                self._url + path,
                json=body,
                headers={"host": NAME},
                extensions={"sni_hostname": NAME},
            )
            return answer.status_code


@contextlib.contextmanager
def running(command: list[str], caller: Caller, folder: Path) -> Generator[None]:
    """A proxy that passes on what it is asked."""
    with (folder / "output").open("w") as output:
        environment = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            end = time.monotonic() + PATIENCE_S
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if caller.ask("/ready") == 200:
                        break
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < end, (folder / "output").read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.mark.parametrize("proxy", [nginx, caddy, haproxy], ids=lambda proxy: proxy.__name__)
def test_a_proxy_passes_on_large_bodies_and_a_server_that_is_gone_fails_nobody(
    proxy: Proxy, certificate: Path, tmp_path: Path
) -> None:
    port = free_port()
    caller = Caller(port, certificate)
    logs = [tmp_path / "one", tmp_path / "other"]
    with serving(COMMAND, log=logs[0]) as one, serving(COMMAND, log=logs[1]) as other:
        command = proxy(tmp_path, port, [one, other], certificate)
        with running(command, caller, tmp_path):
            assert caller.ask("/v1/rerank", BODY) == 200
            assert caller.ask("/metrics") in (403, 404)
            for _ in range(10):
                assert caller.ask("/v1/rerank", SMALL) == 200
            assert all(Log(log).events("rerank") for log in logs)  # both were asked
            one.process.send_signal(signal.SIGKILL)
            one.process.wait(PATIENCE_S)
            assert [caller.ask("/v1/rerank", SMALL) for _ in range(AFTER_DEATH)] == [
                200
            ] * AFTER_DEATH
