"""Writes docs/configuration.md from the settings: `uv run python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from rerankd.settings import reference

PAGE = Path(__file__).parent / "configuration.md"

HEAD = """\
# Configuration

One TOML file (`rerankd serve --config FILE`, or `RERANKD_CONFIG`), environment variables, flags;
later wins: default, file, environment, flag. `rerankd config` shows what is in force and where each
value came from, then what running servers of the same user have otherwise. SIGHUP reads the file
again, see [below](#reload).

This page is made by `uv run python docs/generate.py`; a test fails when it is stale.

"""

EXAMPLE = """
## Example

```toml
models = ["rerankd-lexical", "/models/bge-reranker-v2-m3"]   # the first is the default

[aliases]
"BAAI/bge-reranker-v2-m3" = "bge-reranker-v2-m3"

[model."/models/bge-reranker-v2-m3"]
window_tokens = 1024

[limits]
documents = 2000

[[keys]]
name = "search-team"
sha256 = "…"          # printf %s "$KEY" | sha256sum
models = ["BAAI/bge-reranker-v2-m3"]
rpm = 600
tpm = 2000000
```

## Stages

```toml
models = ["/models/bge-reranker-v2-m3"]

[aliases]
"bge-fast" = "bge-reranker-v2-m3"

[model."bge-fast"]
stages = ["rerankd-lexical:200", "bge-reranker-v2-m3"]
```

Requests for `bge-fast` with more than 200 documents are ranked by `rerankd-lexical` first, and
`bge-reranker-v2-m3` scores the best 200 (and documents equal to one of them); `bge-reranker-v2-m3`
by its own name scores all. With `stages` on the model itself, every name of it has them, but a name
with `stages = ["bge-reranker-v2-m3"]`, which has none. The last stage is the model that answers the
name, the first is `rerankd-lexical`, which is then served as well.

The documents that the model did not score come last, in lexical order. Their score is
`rerankd-lexical`'s own, or the lowest of the model's where that is less, so no score in the answer
is above the one before it: read it as "not judged by the model". They carry
`stage: "rerankd-lexical"` in the superset's `results`. In every dialect the `x-rerankd-warnings`
header says how many the model scored. Whoever sorts by score again must keep the answer's order of
equal scores. Tokens are those of both stages, and TPM is charged for both or for
neither. `rerankd-lexical` counts two terms for most words, so a cascaded request can count more
tokens than the same request without stages: set `tpm` and `limits.request_tokens` for that.
See [the decision](decisions/0012-stages.md).

## Waiting

Each model's rate, in tokens per second, is measured as the server works (`/metrics`:
`rerankd_tokens_per_second`, `rerankd_backlog_seconds`). A request is refused with 503 when the work
ahead of it would take longer than `limits.wait_s`, or when it could not end before
`limits.deadline_s`; `Retry-After` says when there will be room. A request that meets no waiting
work is taken. What counts as ahead of a request is its fair share, not the whole queue: 4 documents
are taken beside a request of 1000, and one key's queue does not close the server to another. A
burst may fill the queue up to `wait_s`; once a request had to be refused, a queue that stays is
shortened, to a fifth of `wait_s` after 1.6 times `wait_s`. What is taken is answered: a request
that has waited for `wait_s` goes before all others of its key. See
[the decision](decisions/0014-admission.md).

## Long texts

A long text is tokenised in parts, which give the tokens of the whole; work that nobody waits for
any more ends between two of them. Over 131,072 characters two kinds of text are refused with 400: a
run that the model's tokenizer does not take apart (to a byte-level one: a single word, or nothing
but spaces; to XLM-R's: no space or line break, where its vocabulary reaches across every place),
and any text for a `tokenizer.json` of a form that rerankd does not know: the log and
`rerankd doctor` say so when the model is loaded. `python bench/units.py` measures the longest call
for each kind of tokenizer.

## Reload

```sh
mv rerankd.toml.new rerankd.toml && kill -HUP PID   # in one step: never a half-written file
rerankd config --config rerankd.toml                # what the running server has otherwise
```

| changed | taken over |
|---|---|
| `[[keys]]` | at once, before any model is loaded |
| `models`, `aliases`, `[model."NAME"]` | when all new models are loaded; if one fails, none |
| `[server]`, `[limits]`, `[media]` | at a restart; the log names each, running and new value |
| environment, flags | at a restart |
| weights in a folder that is served | at a restart, or under another path or name |

A revoked key gets 401 from then on; its running requests end. When new models fail to load, the new
keys stay in force.

Nothing at all changes when the file is missing, cannot be read, is not TOML, has a wrong setting or
none any more, or when the server has keys and would have none: a reload never opens a server, only
a restart does. The log says why. A key that names a model that nobody serves is a warning, at the
start too. A file that was cut where it is still valid cannot be told from one that is meant so:
move it into place.

`rerankd config` asks running servers over an abstract Unix socket (Linux), which answers the
server's own user and root only, in the same network namespace: in a container,
`docker exec NAME rerankd config`. It shows no key, and compares keys by name and limits.

## Keys

`RERANKD_API_KEYS=KEY1,KEY2` adds keys without limits; set but empty, it is an error. Without any
key the server is open, and refuses to listen on anything but loopback. A key of fewer than 16
characters can be guessed: on loopback it is a warning, elsewhere the server does not start (a
reload is refused). Make one with `openssl rand -hex 24`.

As soon as there are two keys, each has its own part of what is remembered (vectors, word pieces,
scores): neither `cached_tokens` nor time tells one key what another sent. Where all keys are
yours, `limits.share_caches = true` joins them again: a document that one key sent is then almost
free for the next.

A token bucket counts per key: `rpm` requests and `tpm` input tokens, refilled evenly over the
minute. A request over the whole `tpm` waits for a full bucket. One HTTP request is one for `rpm`,
also when its body holds many pairs (`/predict`, `/score`, DeepInfra): `limits.documents` bounds the
pairs of a body, and `tpm` counts the tokens of all of them, as one sum. Tokens of a request that is
refused (400, 429, 503) are given back; those of one that was being scored (500, 504, a client that
left) are not.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    section = ""
    for row in reference():
        if row.section != section:
            section = row.section
            parts.append(
                f"## {section}\n\n| setting | default | variable | meaning |\n|---|---|---|---|\n"
            )
        variable = f"`{row.variable}`" if row.variable else ""
        parts.append(f"| `{row.name}` | `{row.default}` | {variable} | {row.meaning} |\n")
        if row.last:
            parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n" + EXAMPLE


if __name__ == "__main__":
    PAGE.write_text(page())
