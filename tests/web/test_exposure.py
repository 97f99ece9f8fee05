"""Keys that can be guessed: a warning where only this machine calls, refused elsewhere."""

from __future__ import annotations

import hashlib

import pytest

from rerankd.core.errors import StartError
from rerankd.settings.schema import KeySettings
from rerankd.web.exposure import check_exposure

LONG = KeySettings(name="long", key="0123456789abcdef")
SHORT = KeySettings(name="short", key=" 0123456789abcde ")  # 15 without the blanks
HASHED = KeySettings(name="hashed", sha256=hashlib.sha256(b"x").hexdigest())
HERE = ("127.0.0.1", "localhost", "::1", "127.8.8.8")
ELSEWHERE = ("0.0.0.0", "::", "10.0.0.1", "a.host")


@pytest.mark.parametrize("host", HERE)
def test_on_loopback_a_short_key_is_a_warning_that_names_it(host: str) -> None:
    assert not check_exposure(host, ())
    assert not check_exposure(host, (LONG, HASHED))
    (sentence,) = check_exposure(host, (LONG, SHORT))
    assert "keys short: shorter than 16 characters" in sentence
    assert "0123456789" not in sentence


@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere_no_key_or_a_short_one_is_refused(host: str) -> None:
    assert not check_exposure(host, (LONG, HASHED))
    with pytest.raises(StartError, match="no API key is configured"):
        check_exposure(host, ())
    with pytest.raises(StartError, match="keys short: shorter than 16") as refused:
        check_exposure(host, (LONG, SHORT))
    assert host in str(refused.value)
    assert "0123456789" not in str(refused.value)
