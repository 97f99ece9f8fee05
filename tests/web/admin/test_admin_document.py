"""The document and the page of the admin API say what there is, and the page's commands work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from rerankd.web.admin.mount import OPERATIONS
from tests.kit.administered import Administered

PAGE = (Path(__file__).parents[3] / "docs" / "admin.md").read_text("utf-8")
BASE = "http://127.0.0.1:8000"


async def test_the_document_has_every_operation(server: Administered) -> None:
    document = await server.good("GET", "/openapi.json")
    told = {
        f"{method.upper()} {path.removeprefix('/admin/v1')}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert told == {each.name for each in OPERATIONS} - {"GET /openapi.json"}
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')):
        assert reference in document["components"]["schemas"]
    public = (await server.client.get("/openapi.json")).json()
    assert not [path for path in public["paths"] if path.startswith("/admin")]
    assert {"/v1/usage", "/api/usage/token"} <= set(public["paths"])
    schemas = public["components"]["schemas"]
    assert schemas["Subscription"]["properties"]["hard_limit_usd"] == {"type": "number"}


async def test_answers_are_as_the_document_says(server: Administered) -> None:
    document = await server.good("GET", "/openapi.json")
    await server.good("POST", "/teams", {"name": "web"})
    for path in (
        "/keys",
        "/keys/{id}",
        "/teams",
        "/teams/{id}",
        "/budgets",
        "/prices",
        "/upstreams",
    ):
        answer = await server.good("GET", path.replace("{id}", "call" if "keys" in path else "web"))
        said = document["paths"][f"/admin/v1{path}"]["get"]["responses"]["200"]
        reference = said["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(answer) == set(schema["properties"]), path


def test_the_page_lists_every_operation() -> None:
    listed = set(re.findall(r"^\| `([A-Z]+ /\S+)` \| \w+ \|", PAGE, re.MULTILINE))
    assert listed == {each.name for each in OPERATIONS}


def test_the_page_says_who_may() -> None:
    for each in OPERATIONS:
        (line,) = re.findall(rf"^\| `{re.escape(each.name)}` \| (\w+) \|", PAGE, re.MULTILINE)
        assert line == each.role, each.name


async def test_the_commands_of_the_page_work(server: Administered) -> None:
    made: dict[str, Any] = {}
    ran = 0
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for command in block.replace("\\\n", " ").strip().splitlines():
            words = shlex.split(command)
            if words[0] != "curl":
                continue
            method, body, headers, url = "GET", None, dict[str, str](), ""
            left = words[1:]
            while left:
                match left.pop(0):
                    case "-X":
                        method = left.pop(0)
                    case "--json":
                        method, body = ("POST" if method == "GET" else method), left.pop(0)
                        headers["content-type"] = "application/json"
                    case "-H":
                        name, _, value = left.pop(0).partition(": ")
                        headers[name.lower()] = value
                    case word:
                        url = word
            caller = "call" if "$KEY" in str(headers) else "admin"
            headers |= server.headers(caller)
            path = url.removeprefix(BASE)
            answer = await server.client.request(method, path, content=body, headers=headers)
            assert answer.status_code in (200, 201), (command, answer.text)
            made[command] = answer
            server.see()
            ran += 1
    assert ran >= 8
