"""Serve's REST API, at the dashboard of a cluster's head node."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from rerankd.adapters.ray.document import Application, Details
from rerankd.adapters.ray.node import NAME
from rerankd.core.errors import StartError

_PATH: Final = "/api/serve/applications/"
_MOST_BYTES: Final = 16 * 1024 * 1024  # of an answer
_EVERY_S: Final = 1.0
_UNDECIDED: Final = frozenset({"DEPLOYING", "NOT_STARTED", "DELETING"})


class Dashboard:
    """One cluster's."""

    def __init__(self, url: str, *, timeout_s: float = 120.0) -> None:
        """The first deployment starts Serve itself, which takes a while.

        Raises:
            StartError: it is no URL of a dashboard.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.hostname is None:
            raise StartError(
                f"{url}: the dashboard's address is a URL, as http://127.0.0.1:8265; "
                "`ray start --head` prints it."
            )
        self._url = url
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s

    def details(self) -> Details:
        """What Serve runs. Raises StartError."""
        body = self._ask("GET", None)
        try:
            return msgspec.json.decode(body, type=Details)
        except msgspec.DecodeError as error:
            raise StartError(f"{self._url} is no dashboard of Ray 2.60: {error}.") from None

    def put(self, document: Mapping[str, Any]) -> None:
        """Have Serve run what is in the document, and nothing else. Raises StartError."""
        self._ask("PUT", json.dumps(document).encode())

    def _ask(self, method: str, body: bytes | None) -> bytes:
        headers = {} if body is None else {"content-type": "application/json"}
        connection = self._kind(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self._prefix + _PATH, body, headers)
            answer = connection.getresponse()
            said = answer.read(_MOST_BYTES + 1)
        except (OSError, HTTPException) as error:
            raise StartError(
                f"The dashboard at {self._url} does not answer ({error or type(error).__name__}). "
                "`ray start --head` prints where it is: --dashboard."
            ) from None
        finally:
            connection.close()
        if len(said) > _MOST_BYTES:
            raise StartError(f"{self._url} answered with more than {_MOST_BYTES} bytes.")
        if answer.status != 200:
            text = said.decode(errors="replace").strip()[-2000:]
            raise StartError(f"{self._url} refused the deployment ({answer.status}): {text}")
        return said


def deployed(
    dashboard: Dashboard,
    before: Details,
    *,
    limit_s: float,
    tell: Callable[[Application], None],
) -> Application:
    """The application when Serve has brought it to its target.

    Args:
        dashboard: of the cluster.
        before: what there was before put().
        limit_s: for how long to wait.
        tell: told what there is, each second.

    Raises:
        StartError: it cannot be deployed, or is not yet; the message says what Serve says.
    """
    old = before.applications.get(NAME)
    end = time.monotonic() + limit_s
    while True:
        now = dashboard.details().applications.get(NAME)
        is_new = now is not None and (
            old is None or now.last_deployed_time_s > old.last_deployed_time_s
        )
        if now is not None and is_new:
            tell(now)
            if now.status == "RUNNING":
                return now
            if now.status not in _UNDECIDED:
                raise StartError(f"Serve says {now.status}: {now.why or 'no reason'}")
        if time.monotonic() > end:
            state = "nothing of it" if now is None else f"{now.status} {now.why}".strip()
            raise StartError(f"Not deployed within {limit_s:g} s. Serve says: {state}.")
        time.sleep(_EVERY_S)
