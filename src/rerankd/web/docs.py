"""The docs page: the OpenAPI document as plain HTML, no script, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Final, NamedTuple

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
FIRST: Final = "/v1/rerank"  # what most readers look for
_ADDRESS: Final = "https://address.invalid"  # in a page; the reader's comes in its place
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{margin-top:3rem}
h3{margin-top:2.5rem;border-top:1px solid #ddd;padding-top:1rem}
code,pre{font-family:ui-monospace,monospace;font-size:13px}
pre{background:#f6f6f4;padding:.8rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #e4e4e0;padding:.3rem .6rem .3rem 0}
td,th{text-align:left;vertical-align:top}
nav li{margin:.2rem 0}
.m{display:inline-block;min-width:3rem;font-weight:600}
"""

_CURL = f"""curl {_ADDRESS}{FIRST} -H 'Content-Type: application/json'KEY -d '{{
  "query": "What is the capital of France?",
  "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
  "top_n": 1
}}'"""


def page(document: dict[str, Any]) -> str:
    """A contents list, then what is served: fields, answer, status codes; the types at the end.

    `/v1/rerank` and its dialect come first, then the operations, then the other dialects. Paths
    that differ by nothing but their name share a section. For `addressed`.
    """
    return _Writer(document).page()


def addressed(page: str, scheme: str, host: str | None) -> str:
    """A page for a reader at an address.

    Args:
        page: as `page` made it.
        scheme: http or https.
        host: name and port as the reader's request names them; one that is no host name, or None,
            gives a page for this machine.
    """
    known = host is not None and _HOST.fullmatch(host) is not None
    return page.replace(_ADDRESS, f"{scheme}://{host if known else '127.0.0.1:8000'}")


class _Section(NamedTuple):
    """A description, and the paths that it is true of."""

    group: str
    body: str
    names: list[tuple[str, str]]  # method and path


class _Writer:
    """HTML of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas: dict[str, Any] = document["components"]["schemas"]
        self._linked: dict[str, None] = {}  # types that a table leads to, in that order

    def page(self) -> str:
        info = self._document["info"]
        groups = self._groups()
        contents = "".join(
            f"<li><a href=#{_anchor(group)}>{escape(group)}</a>: "
            + ", ".join(_link(*section.names[0]) for section in sections)
            for group, sections in groups.items()
        )
        parts = "".join(
            f"<h2 id={_anchor(group)}>{escape(group)}</h2>"
            + "".join(_shown(section) for section in sections)
            for group, sections in groups.items()
        )
        types = self._types()
        keyed = all({} not in item.get("security", [{}]) for item in self._operations(FIRST))
        curl = _CURL.replace("KEY", " -H 'Authorization: Bearer YOUR_KEY'" if keyed else "")
        version = escape(info["version"])
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>rerankd {version}</title>"
            f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
            f"<h1>rerankd {version}</h1><p>{escape(info['description'])} "
            "The same for machines: <a href=/openapi.json>/openapi.json</a>.</p>"
            f"<pre>{escape(curl, quote=False)}</pre>"
            f"<nav><ul>{contents}<li><a href=#types>types</a></ul></nav>"
            f"{parts}<h2 id=types>types</h2>{types}</html>"
        )

    def _operations(self, path: str) -> list[dict[str, Any]]:
        return list(self._document["paths"].get(path, {}).values())

    def _groups(self) -> dict[str, list[_Section]]:
        """Sections by dialect, in the page's order."""
        paths: dict[str, Any] = self._document["paths"]
        main = next((item["tags"][0] for item in self._operations(FIRST)), "")
        rank = {main: 0, "operations": 1, "models": 2}
        entries = [
            (operation["tags"][0], path, method, operation)
            for path, item in paths.items()
            for method, operation in item.items()
        ]
        entries.sort(
            key=lambda e: (rank.get(e[0], 3), e[0] if e[0] not in rank else "", e[1] != FIRST)
        )
        found: dict[tuple[str, str], _Section] = {}
        for group, path, method, operation in entries:
            body = self._body(operation)
            section = found.setdefault((group, body), _Section(group, body, []))
            section.names.append((method, path))
        groups: dict[str, list[_Section]] = {}
        for section in found.values():
            groups.setdefault(section.group, []).append(section)
        return groups

    def _body(self, operation: dict[str, Any]) -> str:
        html = [f"<p>{escape(operation['summary'])}</p>"]
        if "requestBody" in operation:
            html += self._tables("Request", operation["requestBody"])
        html += self._tables("Answer", operation["responses"]["200"])
        statuses = ", ".join(
            f"{status} {escape(response['description'])}"
            for status, response in operation["responses"].items()
        )
        html.append(f"<p>Status codes: {statuses}.</p>")
        return "".join(html)

    def _tables(self, title: str, holder: dict[str, Any]) -> list[str]:
        """One table for each form that a body may have."""
        schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
        forms = [self._resolve(form) for form in schema.get("anyOf", [schema])]
        several = len(forms) > 1
        return [
            self._fields(f"{title}: {form.get('title', 'a list')}" if several else title, form)
            for form in forms
        ]

    def _fields(self, title: str, schema: dict[str, Any]) -> str:
        head = f"<h4>{escape(title)}</h4>" if title else ""
        if "properties" not in schema:
            return f"{head}<p>{self._type(schema)}</p>"
        required = set(schema.get("required", ()))
        rows = "".join(
            f"<tr><td><code>{escape(name)}</code>{' *' if name in required else ''}</td>"
            f"<td>{self._type(field)}</td><td>{escape(field.get('description', ''))}</td></tr>"
            for name, field in schema["properties"].items()
        )
        return f"{head}<table><tr><th>field<th>type<th>meaning</tr>{rows}</table>"

    def _types(self) -> str:
        """What the tables link to, and what that links to."""
        html: dict[str, str] = {}
        while waiting := [name for name in self._linked if name not in html]:
            for name in waiting:
                schema = self._schemas[name]
                said = escape(schema.get("description", ""))
                html[name] = (
                    f"<h3 id=type-{escape(name)}><code>{escape(name)}</code></h3>"
                    f"<p>{said}</p>{self._fields('', schema)}"
                )
        return "".join(html[name] for name in sorted(html))

    def _type(self, field: dict[str, Any]) -> str:
        if "anyOf" in field:
            return " | ".join(dict.fromkeys(self._type(option) for option in field["anyOf"]))
        if "$ref" in field:
            name = str(field["$ref"]).rpartition("/")[2]
            self._linked[name] = None
            return f"<a href=#type-{escape(name)}>{escape(name)}</a>"
        if "enum" in field:
            return " | ".join(escape(f'"{value}"') for value in field["enum"])
        kind = str(field.get("type", "any"))
        if kind == "array":
            return f"list of {self._type(field.get('items', {}))}"
        limits = [
            f"{sign} {field[name]}"
            for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("minLength", "length ≥"))
            if name in field
        ]
        return escape(" ".join([kind, *limits]))

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        return self._schemas[name] if name else schema


def _shown(section: _Section) -> str:
    names = "<br>".join(
        f"<span id={_anchor(method, path)}><span class=m>{method.upper()}</span> "
        f"<code>{escape(path)}</code></span>"
        for method, path in section.names
    )
    return f"<h3>{names}</h3>{section.body}"


def _link(method: str, path: str) -> str:
    return f"<a href=#{_anchor(method, path)}><code>{escape(path)}</code></a>"


def _anchor(*words: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", " ".join(words)).strip("-").lower()
