"""Writes docs/configuration.md from the settings: `uv run python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from rerankd.settings import reference

PAGE = Path(__file__).parent / "configuration.md"

HEAD = """\
# Configuration

One TOML file (`rerankd serve --config FILE`, or `RERANKD_CONFIG`), environment variables, flags;
later wins: default, file, environment, flag. `rerankd config` shows what is in force and where each
value came from. SIGHUP reads the file again: keys, models and aliases change without a restart;
`[server]` and `[limits]` need one.

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

`RERANKD_API_KEYS=key1,key2` adds keys without limits. Without any key the server is open, and
refuses to listen on anything but loopback.

A token bucket counts per key: `rpm` requests and `tpm` input tokens, refilled evenly over the
minute. A request over the whole `tpm` waits for a full bucket.
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
