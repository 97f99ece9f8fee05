"""The parts of the guard on their own: addresses, allow-list, URLs, budget, damaged videos."""

from __future__ import annotations

import asyncio
import functools
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.errors import Overloaded, StartError
from rerankd.media import address, url, video
from rerankd.media.budget import MediaBudget
from rerankd.media.gate import Gate
from rerankd.media.refused import Refused
from tests.kit.media_files import movie
from tests.kit.media_kit import SAMPLING, limits

PUBLIC = [
    "8.8.8.8",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",  # NAT64 of a public one
    "2a00:1450::5efe:808:808",  # ISATAP of a public one
]
CARRIERS = ("64:ff9b::", "64:ff9b:1::", "::", "2606:4700::5efe:0:0", "2606:4700::200:5efe:0:0")
WRONG = ("", "http://a.test", "a.test:0", "a.test:99999", "10.0.0.1/8", "10.0.0.999", "a b", "*")
STARTS = ("http://", "https://", "http:", "http://a.test/", "")


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_public(text: str) -> None:
    assert address.kind_of(address.parse(text)) == "public"


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_becomes_public_inside_another(four: ipaddress.IPv4Address) -> None:
    """Whatever form carries it: at most as public as it is alone."""
    kind = address.kind_of(four)
    low = int(four)
    assert address.kind_of(address.parse(f"::ffff:{four}")) == kind
    for prefix in CARRIERS:
        carried = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | low)
        assert kind == "public" or address.kind_of(carried) != "public"


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_not_public(
    any_address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    found = address.parse(str(any_address))
    if address.kind_of(found) == "public":
        assert not found.is_multicast
        assert found.is_global or found in ipaddress.ip_network("64:ff9b::/96")


ALLOW = {
    "images.test": ("images.test", 443, "10.0.0.1", True),
    "IMAGES.test.": ("images.test", 80, "10.0.0.1", True),
    "images.test:9000": ("images.test", 9000, "10.0.0.1", True),
    "other.test": ("images.test", 443, "8.8.8.8", False),
    "mages.test": ("images.test", 443, "8.8.8.8", False),
    "10.0.0.1": ("images.test", 80, "10.0.0.1", True),
    "10.0.0.0/8": ("images.test", 80, "10.0.0.1", True),
    "192.168.0.0/16": ("images.test", 80, "10.0.0.1", False),
    "10.0.0.1:9000": ("10.0.0.1", 9000, "10.0.0.1", True),
    "[fd00::1]:9000": ("images.test", 9000, "fd00::1", True),
    "fd00::/8": ("images.test", 80, "fd00::1", True),
    "0.0.0.0/0": ("images.test", 80, "169.254.169.254", False),
}


@pytest.mark.parametrize("entry", ALLOW)
async def test_an_entry_allows_what_it_names(entry: str) -> None:
    host, port, found, allowed = ALLOW[entry]

    async def resolve(_: str) -> list[str]:
        return [found]

    gate = Gate(resolve, allow=[entry])
    if allowed:
        assert await gate.addresses(host, port) == [ipaddress.ip_address(found)]
        with pytest.raises(Refused):
            await gate.addresses(host, 22)
    else:
        with pytest.raises(Refused):
            await gate.addresses(host, port)


@pytest.mark.parametrize("entry", WRONG)
def test_an_entry_that_cannot_be_read_stops_the_start(entry: str) -> None:
    async def resolve(_: str) -> list[str]:
        return []

    with pytest.raises(StartError, match=r"media\.allow"):
        Gate(resolve, allow=[entry])


@given(st.text(max_size=60), st.sampled_from(STARTS))
def test_a_url_is_refused_or_plain(text: str, start: str) -> None:
    try:
        target = url.parse(start + text)
    except Refused:
        return
    assert target.scheme in {"http", "https"}
    assert target.path.isascii()
    assert not set(target.path) & set(" \r\n\t\\")
    assert set(target.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_:")
    assert url.parse(target.url) == target


async def test_a_budget_serves_in_order_and_forgets_who_left() -> None:
    budget = MediaBudget(10, "media.decoded_bytes")
    order: list[str] = []

    async def ask(name: str, size: int) -> None:
        await budget.wait(size, 5)
        order.append(name)

    await budget.wait(8, 5)
    waiting = [
        asyncio.create_task(ask(name, size)) for name, size in (("a", 9), ("b", 1), ("c", 2))
    ]
    await asyncio.sleep(0)
    assert (budget.used_bytes, budget.waiting, order) == (8, 3, [])  # b does not overtake a
    waiting[0].cancel()
    await asyncio.wait(waiting[:2])
    assert (order, budget.used_bytes, budget.waiting) == (["b"], 9, 1)
    budget.give_back(8)
    await asyncio.wait(waiting)
    assert (order, budget.used_bytes, budget.waiting) == (["b", "c"], 3, 0)


async def test_a_budget_gives_back_what_nobody_took_any_more() -> None:
    budget = MediaBudget(10, "media.decoded_bytes")
    budget.take(10)
    late = asyncio.create_task(budget.wait(10, 5))
    await asyncio.sleep(0)
    budget.give_back(10)  # granted, and in the same turn of the loop:
    late.cancel()
    await asyncio.wait([late])
    assert (late.cancelled(), budget.used_bytes) == (True, 0)
    with pytest.raises(Overloaded):
        budget.take(11)


@functools.cache
def good(form: str) -> bytes:
    codec = {"mp4": "libx264", "mov": "mpeg4", "webm": "libvpx-vp9"}[form]
    return movie(form, codec, frames=6)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_videos_raise_nothing_but_refused(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["mp4", "mov", "webm"]))
    damaged = bytearray(good(form))
    for _ in range(data.draw(st.integers(0, 6))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    kind, allowed = ("webm" if form == "webm" else "mp4"), limits()
    try:
        shape = video.inspect(kind, bytes(damaged), allowed, lambda: None)
        video.decode(kind, bytes(damaged), SAMPLING, shape, allowed, lambda: None)
    except Refused:
        pass


async def test_these_tests_run_on_the_servers_loop() -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
