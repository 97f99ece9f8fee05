"""A password in a URL is never shown."""

from __future__ import annotations

import pytest

from rerankd.core.shown_url import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/rerankd.db", "sqlite:////var/lib/rerankd.db"),
        ("postgresql://me@host/x", "postgresql://me@host/x"),
        ("postgresql://me:secret@host:5432/x", "postgresql://me:***@host:5432/x"),
        ("postgresql+psycopg://me:se@c/ret@host/x", "postgresql+psycopg://me:***@host/x"),
        ("postgresql://:secret@host/x", "postgresql://:***@host/x"),
        ("postgresql://host/x?user=me&password=secret", "postgresql://host/x?user=me&password=***"),
        (
            "postgresql://host/x?sslpassword=secret&a=b",
            "postgresql://host/x?sslpassword=***&a=b",
        ),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert "secret" not in shown_url(url)
