"""Somebody who reads the console's pages and fills in its forms."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx2

from tests.kit.administered import Administered


class Browser:
    """A client that is signed in; its forms carry the token of the last page."""

    def __init__(self, server: Administered) -> None:
        self._server = server
        self.page = ""

    @classmethod
    async def of(cls, server: Administered, caller: str = "admin") -> Browser:
        """Signed in with a caller's key."""
        form = {"key": server.texts[caller], "next": "/ui"}
        answer = await server.client.post("/ui/sign-in", data=form)
        assert answer.status_code == 303
        return cls(server)

    async def get(self, path: str, status: int = 200) -> str:
        """A page: nothing inline, no id twice, no form in a form, no link to elsewhere."""
        answer = await self._server.client.get(path)
        assert answer.status_code == status, (answer.headers, text_of(answer.text))
        return self._seen(answer)

    async def send(self, path: str, form: dict[str, str], status: int = 303) -> httpx2.Response:
        """What a form is answered with."""
        if 'name="csrf"' not in self.page:
            await self.get("/ui/nothing", 404)
        found = re.search(r'name="csrf" value="([^"]+)"', self.page)
        assert found is not None
        answer = await self._server.client.post(path, data={"csrf": found[1], **form})
        assert answer.status_code == status, answer.text[:3000]
        self._server.see()
        if status != 303:
            self._seen(answer)
        return answer

    async def done(self, path: str, form: dict[str, str]) -> str:
        """The page that a form leads to."""
        return await self.get((await self.send(path, form)).headers["location"])

    def hidden(self, name: str) -> str:
        """The value of a hidden field of the last page."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.page)
        assert found is not None, name
        return found[1]

    def _seen(self, answer: httpx2.Response) -> str:
        self.page = answer.text
        if answer.headers["content-type"].startswith("text/html"):
            check = _Check()
            check.feed(self.page)
            assert not check.wrong
        return self.page


def text_of(page: str) -> str:
    """What a page says, without its tags; spaces are one."""
    reader = _Text()
    reader.feed(page)
    return re.sub(r"\s+", " ", " ".join(reader.found))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


class _Check(HTMLParser):
    """What a strict content policy or a reader of the page would stumble over."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self._ids: set[str] = set()
        self._forms = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.wrong.append(f"{tag} {name}")
            if name in ("href", "src", "action") and not (value or "").startswith(("/", "#")):
                self.wrong.append(f"{tag} {name}={value}")
            if name == "id":
                if value in self._ids:
                    self.wrong.append(f"id {value} twice")
                self._ids.add(value or "")
        if tag == "script" and "src" not in dict(attrs):
            self.wrong.append("inline script")
        if tag == "form":
            self._forms += 1
            if self._forms > 1:
                self.wrong.append("a form in a form")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._forms -= 1
