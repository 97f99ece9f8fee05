"""The docs page: the OpenAPI document as plain HTML, no script, nothing fetched from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{margin-top:2.5rem;border-top:1px solid #ddd;padding-top:1rem}
code,pre{font-family:ui-monospace,monospace;font-size:13px}
pre{background:#f6f6f4;padding:.8rem;overflow-x:auto}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #e4e4e0;padding:.3rem .6rem .3rem 0}
td,th{text-align:left;vertical-align:top}
.m{display:inline-block;min-width:3rem;font-weight:600}
"""

_CURL = """curl http://127.0.0.1:8000/v1/rerank -H 'Content-Type: application/json' -d '{
  "query": "What is the capital of France?",
  "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
  "top_n": 1
}'"""


def page(document: dict[str, Any]) -> str:
    """One section per path: fields, answer, status codes."""
    info = document["info"]
    sections = [
        _section(path, method, operation, document)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>rerankd {info['version']}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>rerankd {escape(info['version'])}</h1><p>{escape(info['description'])} "
        "The same for machines: <a href=/openapi.json>/openapi.json</a>.</p>"
        f"<pre>{escape(_CURL)}</pre>{''.join(sections)}</html>"
    )


def _section(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    html = [
        f"<h2><span class=m>{method.upper()}</span> <code>{escape(path)}</code></h2>",
        f"<p>{escape(operation['summary'])}</p>",
    ]
    if "requestBody" in operation:
        html += _tables("Request", operation["requestBody"], document)
    html += _tables("Answer", operation["responses"]["200"], document)
    statuses = ", ".join(
        f"{status} {escape(response['description'])}"
        for status, response in operation["responses"].items()
    )
    html.append(f"<p>Status codes: {statuses}.</p>")
    return "".join(html)


def _tables(title: str, holder: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """One table for each form that a body may have."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    forms = [_resolve(form, document) for form in schema.get("anyOf", [schema])]
    several = len(forms) > 1
    return [
        _fields(f"{title}: {form.get('title', 'a list')}" if several else title, form)
        for form in forms
    ]


def _fields(title: str, schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"<h3>{escape(title)}</h3><p>{escape(_type(schema))}</p>"
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{' *' if name in required else ''}</td>"
        f"<td>{escape(_type(field))}</td><td>{escape(field.get('description', ''))}</td></tr>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<h3>{escape(title)}</h3><table><tr><th>field<th>type<th>meaning</tr>{rows}</table>"


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type(option) for option in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " | ".join(f'"{value}"' for value in field["enum"])
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    limits = [
        f"{sign} {field[name]}"
        for name, sign in (("minimum", "≥"), ("maximum", "≤"), ("minLength", "length ≥"))
        if name in field
    ]
    return " ".join([kind, *limits])


def _resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema
