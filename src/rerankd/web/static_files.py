"""The files of the pages: read once from the package, answered from memory.

Each has an entity tag of its content; browsers ask again each time, and get a 304.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# Of every page: scripts, styles and calls of this server only, nothing inline, in no frame.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
PAGE_HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    # "no-referrer" would make browsers send forms with "Origin: null", which is nobody's page.
    "referrer-policy": "same-origin",
}
FOLDER: Final = "/static/"
NO_CONSOLE: Final = "no_console.html"  # at /ui, where there is no store
_READS: Final = ("GET", "HEAD")
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file."""

    content: bytes
    media_type: str
    tag: str  # its ETag


@cache
def static_files() -> dict[str, StaticFile]:
    """All of them, by their path below the folder."""
    found: dict[str, StaticFile] = {}
    waiting = [("", resources.files("rerankd.web").joinpath("static"))]
    while waiting:
        start, folder = waiting.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                waiting.append((f"{start}{entry.name}/", entry))
                continue
            media_type = _TYPES.get("." + entry.name.rpartition(".")[2])
            if media_type is not None:
                content = entry.read_bytes()
                tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                found[start + entry.name] = StaticFile(content, media_type, tag)
    return found


class StaticPaths:
    """ASGI middleware: reads of the files, and of /ui on a server without a store."""

    def __init__(self, app: ASGIApp, *, has_console: bool) -> None:
        self._app = app
        self._has_console = has_console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a file that there is; all else passes."""
        path = scope.get("path", "")
        name = None
        if scope["type"] == "http" and scope["method"] in _READS:
            if path.startswith(FOLDER):
                name = path.removeprefix(FOLDER)
            elif not self._has_console and (path == "/ui" or path.startswith("/ui/")):
                name = NO_CONSOLE
        found = None if name is None else answer(Request(scope), name)
        await (found or self._app)(scope, receive, send)


def answer(request: Request, name: str) -> Response | None:
    """One of the files, or that it did not change; None = there is none of that name."""
    file = static_files().get(name)
    if file is None:
        return None
    headers = {**PAGE_HEADERS, "etag": file.tag, "cache-control": "no-cache"}
    asked = request.headers.get("if-none-match", "").split(",")
    tags = [tag.strip().removeprefix("W/") for tag in asked]
    if file.tag in tags or "*" in tags:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def wants_html(request: Request) -> bool:
    """Whether a browser asks: other programs do not name HTML."""
    return "text/html" in request.headers.get("accept", "")
