"""Why an answer differs from the real server's where it is meant to: reason -> cases, by server.

A case that differs needs a reason, and a reason needs a difference: `compare.py` holds both, and
the dialects' pages show them.
"""

from __future__ import annotations

_NULL = "null counts as absent in every dialect"
_ANY_NAME = "any name answers there; here with the alias `*` only"
_HALF = "half a character is read as U+FFFD here, with a warning"
_LIMIT = "`limits.documents` is the operator's, 1000 by default"
_STRICT = "true is no number here"
_EXTRA = "paths that every prefix has here"
_NO_PROBES = "describes that server's own parts; `/metrics` is at the root here"

REASONS: dict[str, dict[str, tuple[str, ...]]] = {
    "infinity": {
        _ANY_NAME: ("an unknown model",),
        "the error repeats the input there, and the limit in `ctx`; here neither": (
            "model: 1",
            "no query",
            "query: null",
            "query: a number",
            "query: a list",
            "query: an object",
            "no documents",
            "documents: []",
            "documents: null",
            "documents: a string",
            "documents: [1]",
            "documents: [null]",
            "documents: an object in the list",
            "2049 documents",
            "top_n: 0",
            "top_n: -1",
            "top_n: 2.5",
            'top_n: "x"',
            "return_documents: 2",
            'return_documents: "x"',
            'raw_scores: "x"',
            "texts alone",
            "texts, asked for",
            "a JSON list",
            "an empty body",
        ),
        "all wrong fields are listed there, the first one here": ("two wrong fields",),
        "`loc` has the place in the text there": ("no JSON",),
        _NULL: ("model: null", "return_documents: null"),
        "there query and document are cut as one, here the query alone, with a warning": (
            "a query longer than the window",
        ),
        "equal documents keep their order here": ("equal documents",),
        _LIMIT: ("1001 documents",),
        _STRICT: ("top_n: true",),
        "a fault of the server there": ("NaN",),
        _HALF: ("half a character",),
        "a wrong body is a 422 here": ("bytes that are not UTF-8",),
        "the header is named here": ("a form's content type (curl -d)", "text/plain"),
        "some clients send none": ("no content type",),
        "a bare key is taken in every dialect": ("a key without Bearer",),
        _EXTRA: (
            "/v1/rerank",
            "a slash at the end",
            "GET /v1/models",
            "GET /v1/models, no key",
            "GET /v1/models/tiny",
            "GET /v1/models/no-such",
        ),
        "no `stats` here": ("GET /models",),
        "`/metrics` is at the root here": ("GET /metrics",),
    },
    "llamacpp": {
        "`model` says who answered here, what was asked there": ('model: ""',),
        _ANY_NAME: ("an unknown model",),
        "fields of a wrong type count as absent there, floats are cut, true is 1": (
            "model: 1",
            "top_n: 2.5",
            'top_n: "2"',
            'top_n: "x"',
            "top_n: true",
        ),
        "a fault of the server there": ("a query longer than the window", "top_n: -1"),
        "a long document counts as its best chunk here": ("a document longer than the window",),
        _LIMIT: ("1001 documents", "2049 documents"),
        "no results there": ("top_n: 0",),
        _HALF: ("half a character",),
        "a wrong method is a 405 here": ("GET", "PUT"),
        "browsers: `server.cors_origins` here, all there": ("OPTIONS, a browser's question",),
        "lists more of the file there": ("GET /models", "GET /v1/models"),
        _EXTRA: ("a slash at the end", "GET /v1/models/tiny", "GET /v1/models/no-such"),
        "without a key, unknown paths are a 401 there": ("GET /v1/cluster/auth", "GET /metrics"),
        _NO_PROBES: ("GET /props", "GET /slots"),
    },
}

REASONS["xinference"] = {
    "the default model here": ("no model", 'model: ""', "model: null"),
    "a fault of the server there, in plain text": (
        "no query",
        "query: null",
        "query: a list",
        "no documents",
        "documents: null",
        "documents: a string",
        "documents: [null]",
        'top_n: "x"',
        "return_documents: 2",
        'return_documents: "x"',
        "texts alone",
        "texts, asked for",
        "no JSON",
        "a JSON list",
        "an empty body",
        "NaN",
        "bytes that are not UTF-8",
    ),
    "a fault of the server there, in `detail`": (
        "query: an object",
        "documents: an object in the list",
        "kwargs: not JSON",
        "half a character",
    ),
    "a number is read as text there": (
        "model: 1",
        "query: a number",
        "documents: [1]",
        "two wrong fields",
    ),
    "there query and document are cut as one, here the query alone, with a warning": (
        "a query longer than the window",
    ),
    "no results there": ("documents: []", "top_n: 0"),
    "counted from the end there: all but the last": ("top_n: -1",),
    "cut to 2 there": ("top_n: 2.5",),
    _STRICT: ("top_n: true",),
    "equal documents keep their order here": ("equal documents",),
    _LIMIT: ("1001 documents", "2049 documents"),
    "the instruction is in the text of a model that has no place for it there; a warning here": (
        "kwargs",
    ),
    "only the one in `kwargs` counts there; a warning here, as this model takes none": (
        "instruction",
    ),
    "its web page answers unknown paths there: a 404 to GET, a 405 to others": (
        "/v1/reranking",
        "/reranking",
        "a wrong path",
        "GET",
        "GET /props",
        "GET /slots",
    ),
    _EXTRA: ("/rerank", "a slash at the end", "GET /health", "GET /models"),
    "browsers: `server.cors_origins` here, all there": ("OPTIONS, a browser's question",),
    "more of how it runs there": (
        "GET /v1/models",
        "GET /v1/models, no key",
        "GET /v1/models/tiny",
    ),
    "`/metrics` is at the root here": ("GET /metrics",),
}
