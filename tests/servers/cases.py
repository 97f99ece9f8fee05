"""The requests that both sides get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-72tkvudyGLPMi"
MODEL = "tiny"
QUERY = "What is the capital of France?"
DOCUMENTS = [
    "Bananas are a good source of potassium.",
    "Paris is the capital of France and its largest city.",
    "Rain.",
]
BASE: dict[str, Any] = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS}
JSON = {"content-type": "application/json"}
PACKAGES = {"infinity": "infinity-emb", "xinference": "xinference", "llamacpp": "xllamacpp"}
OWN_PATHS = {"infinity": "/rerank", "xinference": "/v1/rerank", "llamacpp": "/v1/rerank"}
WITHOUT_KEYS = {"xinference"}  # its keys need its own data base of users
OTHER_ORDER = {"llamacpp"}  # its GGUF has no pooler and no second segment: other scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request."""

    name: str
    method: str = "POST"
    path: str = "{own}"  # the path where that server ranks
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    key: str | None = f"Bearer {KEY}"  # the Authorization header

    def path_at(self, server: str) -> str:
        """Where it goes."""
        return self.path.format(own=OWN_PATHS[server])

    def sent_headers(self) -> dict[str, str]:
        """All headers that matter."""
        return (
            dict(self.headers) if self.key is None else {**self.headers, "authorization": self.key}
        )


def fields(**changes: Any) -> bytes:
    """A right body with other fields; `...` leaves one out."""
    body = {**BASE, **changes}
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


def rerank(name: str, **changes: Any) -> Case:
    """A rerank request with such fields."""
    return Case(name=name, body=fields(**changes))


def sent(name: str, **parts: Any) -> Case:
    """A request that is not a right body in JSON at the usual path."""
    given: dict[str, Any] = {"body": fields(), **parts}
    return Case(name=name, **given)


LONG = "word " * 2000

CASES = (
    rerank("a right request"),
    rerank("documents asked for", return_documents=True),
    rerank("documents not asked for", return_documents=False),
    rerank("top_n", top_n=1),
    rerank("top_n over the number of documents", top_n=9),
    rerank("one document", documents=["Rain."]),
    rerank("an unknown field", other_field={"a": 1}),
    rerank("raw_scores", raw_scores=True),
    rerank("no model", model=...),
    rerank('model: ""', model=""),
    rerank("model: null", model=None),
    rerank("model: 1", model=1),
    rerank("an unknown model", model="no-such"),
    rerank("no query", query=...),
    rerank('query: ""', query=""),
    rerank("query: null", query=None),
    rerank("query: a number", query=1),
    rerank("query: a list", query=["a"]),
    rerank("query: an object", query={"text": "a"}),
    rerank("a query longer than the window", query=LONG),
    rerank("no documents", documents=...),
    rerank("documents: []", documents=[]),
    rerank("documents: null", documents=None),
    rerank("documents: a string", documents="Rain."),
    rerank("documents: [1]", documents=[1]),
    rerank("documents: [null]", documents=[None]),
    rerank("documents: an object in the list", documents=["Rain.", {"text": "Sun."}]),
    rerank("an empty document", documents=["", "Rain."]),
    rerank("a document longer than the window", documents=[LONG, "Rain."]),
    rerank("equal documents", documents=["Rain."] * 3),
    rerank("1001 documents", documents=["Rain."] * 1001),
    rerank("2049 documents", documents=["Rain."] * 2049),
    rerank("top_n: 0", top_n=0),
    rerank("top_n: -1", top_n=-1),
    rerank("top_n: null", top_n=None),
    rerank("top_n: 2.0", top_n=2.0),
    rerank("top_n: 2.5", top_n=2.5),
    rerank('top_n: "2"', top_n="2"),
    rerank('top_n: "x"', top_n="x"),
    rerank("top_n: true", top_n=True),
    rerank("return_documents: null", return_documents=None),
    rerank("return_documents: 1", return_documents=1),
    rerank("return_documents: 1.0", return_documents=1.0),
    rerank("return_documents: 2", return_documents=2),
    rerank('return_documents: "true"', return_documents="true"),
    rerank('return_documents: "yes"', return_documents="yes"),
    rerank('return_documents: "x"', return_documents="x"),
    rerank("raw_scores: 1", raw_scores=1),
    rerank('raw_scores: "x"', raw_scores="x"),
    rerank("texts beside documents", texts=["Sun.", "Snow."]),
    rerank("texts alone", documents=..., texts=["Sun.", "Snow."]),
    rerank("texts, asked for", documents=..., texts=["Sun.", "Snow."], return_text=True),
    rerank("return_len", return_len=True),
    rerank("kwargs", kwargs='{"instruction": "Judge."}'),
    rerank("kwargs: not JSON", kwargs="{"),
    rerank("instruction", instruction="Judge."),
    rerank("two wrong fields", query=1, documents=[1]),
    sent("no JSON", body=b"{"),
    sent("a JSON list", body=b"[]"),
    sent("an empty body", body=b""),
    sent("NaN", body=fields(top_n=float("nan"))),
    sent("half a character", body=fields(query="a\ud83d")),
    sent("bytes that are not UTF-8", body=fields().replace(b"Rain", b"\xff")),
    sent("a byte order mark", body=b"\xef\xbb\xbf" + fields()),
    sent(
        "a form's content type (curl -d)",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    sent("no content type", headers={}),
    sent("text/plain", headers={"content-type": "text/plain"}),
    sent(
        "application/json; charset=utf-8",
        headers={"content-type": "application/json; charset=utf-8"},
    ),
    sent("no key", key=None),
    sent("a wrong key", key="Bearer sk-0000000000000"),
    sent("a key without Bearer", key=KEY),
    sent("X-Api-Key", key=None, headers={**JSON, "x-api-key": KEY}),
    sent("/rerank", path="/rerank"),
    sent("/v1/rerank", path="/v1/rerank"),
    sent("/v1/reranking", path="/v1/reranking"),
    sent("/reranking", path="/reranking"),
    sent("a slash at the end", path="{own}/"),
    sent("a wrong path", path="/no-such"),
    sent("GET", method="GET", body=b""),
    sent("PUT", method="PUT"),
    sent(
        "OPTIONS, a browser's question",
        method="OPTIONS",
        body=b"",
        key=None,
        headers={
            "origin": "http://page.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        },
    ),
    sent("GET /health", method="GET", path="/health", body=b"", key=None),
    sent("GET /v1/health", method="GET", path="/v1/health", body=b"", key=None),
    sent("GET /models", method="GET", path="/models", body=b""),
    sent("GET /v1/models", method="GET", path="/v1/models", body=b""),
    sent("GET /v1/models, no key", method="GET", path="/v1/models", body=b"", key=None),
    sent("GET /v1/models/tiny", method="GET", path="/v1/models/tiny", body=b""),
    sent("GET /v1/models/no-such", method="GET", path="/v1/models/no-such", body=b""),
    sent("GET /v1/cluster/auth", method="GET", path="/v1/cluster/auth", body=b"", key=None),
    sent("GET /props", method="GET", path="/props", body=b""),
    sent("GET /slots", method="GET", path="/slots", body=b""),
    sent("GET /metrics", method="GET", path="/metrics", body=b"", key=None),
)
