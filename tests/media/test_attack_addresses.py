"""A caller's URL that leads inside: refused before a connection is made, in every dialect.

The listener at 127.0.0.1 (and ::1) is on a port that the operator allowed; it must stay alone.
"""

from __future__ import annotations

import time

import pytest

from tests.kit.media_kit import refused, seeing, world

NOT_PUBLIC = "must have public addresses, and no others"
NO_HOST = "no host that could exist"
NO_PLAIN_HOST = "no plain host"
SCHEMES = "only http and https URLs"
NOT_BASE64 = "no http(s) URL, no data URI and no base64"

# What is wrong -> the URL ({p} = the forbidden listener's port), what the error says.
URLS = {
    "loopback": ("http://127.0.0.1:{p}/", NOT_PUBLIC),
    "the rest of 127/8": ("http://127.8.9.10:{p}/", NOT_PUBLIC),
    "private": ("http://10.0.0.1:{p}/", NOT_PUBLIC),
    "carrier-grade NAT": ("http://100.64.0.1:{p}/", NOT_PUBLIC),
    "link-local metadata": ("http://169.254.169.254/latest/meta-data/", NOT_PUBLIC),
    "metadata in carrier-grade NAT": ("http://100.100.100.200/", NOT_PUBLIC),
    "metadata on a public address": ("http://168.63.129.16/", NOT_PUBLIC),
    "metadata in protocol assignments": ("http://192.0.0.192/", NOT_PUBLIC),
    "unspecified": ("http://0.0.0.0:{p}/", NOT_PUBLIC),
    "this network": ("http://0.1.2.3:{p}/", NOT_PUBLIC),
    "multicast": ("http://224.0.0.251:{p}/", NOT_PUBLIC),
    "broadcast": ("http://255.255.255.255:{p}/", NOT_PUBLIC),
    "reserved": ("http://240.0.0.1:{p}/", NOT_PUBLIC),
    "documentation": ("http://192.0.2.1:{p}/", NOT_PUBLIC),
    "benchmarks": ("http://198.18.0.1:{p}/", NOT_PUBLIC),
    "6to4 relay": ("http://192.88.99.1:{p}/", NOT_PUBLIC),
    "IPv6 loopback": ("http://[::1]:{p}/", NOT_PUBLIC),
    "IPv6 unspecified": ("http://[::]:{p}/", NOT_PUBLIC),
    "IPv6 link-local": ("http://[fe80::1]:{p}/", NOT_PUBLIC),
    "IPv6 site-local": ("http://[fec0::1]:{p}/", NOT_PUBLIC),
    "IPv6 unique local": ("http://[fc00::1]:{p}/", NOT_PUBLIC),
    "IPv6 metadata": ("http://[fd00:ec2::254]/latest/", NOT_PUBLIC),
    "IPv6 multicast": ("http://[ff02::1]:{p}/", NOT_PUBLIC),
    "IPv6 documentation": ("http://[2001:db8::1]:{p}/", NOT_PUBLIC),
    "IPv6 discard": ("http://[100::1]:{p}/", NOT_PUBLIC),
    "IPv4-mapped": ("http://[::ffff:127.0.0.1]:{p}/", NOT_PUBLIC),
    "IPv4-compatible": ("http://[::127.0.0.1]:{p}/", NOT_PUBLIC),
    "6to4": ("http://[2002:7f00:1::]:{p}/", NOT_PUBLIC),
    "NAT64": ("http://[64:ff9b::7f00:1]:{p}/", NOT_PUBLIC),
    "local NAT64": ("http://[64:ff9b:1::7f00:1]:{p}/", NOT_PUBLIC),
    "Teredo": ("http://[2001:0:4136:e378:8000:63bf:80ff:fffe]:{p}/", NOT_PUBLIC),
    "ISATAP": ("http://[2606:4700::5efe:7f00:1]:{p}/", NOT_PUBLIC),
    "IPv6 zone": ("http://[fe80::1%25lo]:{p}/", NO_PLAIN_HOST),
    "IPvFuture": ("http://[v1.127.0.0.1]:{p}/", NO_PLAIN_HOST),
    "decimal": ("http://2130706433:{p}/", NOT_PUBLIC),
    "hexadecimal": ("http://0x7f000001:{p}/", NOT_PUBLIC),
    "octal parts": ("http://0177.0.0.1:{p}/", NOT_PUBLIC),
    "short form": ("http://127.1:{p}/", NOT_PUBLIC),
    "trailing dot": ("http://127.0.0.1.:{p}/", NOT_PUBLIC),
    "a number that is no address": ("http://127.0.0.1.7:{p}/", NO_HOST),
    "full-width digits": ("http://１２７.０.０.１:{p}/", NO_PLAIN_HOST),
    "ideographic full stops": ("http://127。0。0。1:{p}/", NO_PLAIN_HOST),
    "percent-encoded host": ("http://127%2e0%2e0%2e1:{p}/", NO_PLAIN_HOST),
    "user before the host": ("http://images.test@127.0.0.1:{p}/", "user or a password"),
    "backslash before the host": ("http://images.test\\@127.0.0.1:{p}/", "backslash"),
    "tab in the host": ("http://127.0.\t0.1:{p}/", "control character"),
    "a header in the path": ("http://127.0.0.1:{p}/\r\nx-evil: 1", "control character"),
    "no host": ("http:///latest", NO_PLAIN_HOST),
    "one slash": ("http:/127.0.0.1:{p}/", NO_PLAIN_HOST),
    "a label too long": ("http://" + "a" * 64 + ".test:{p}/", NO_HOST),
    "port out of range": ("http://127.0.0.1:70000/", "no port that could exist"),
    "port of another service": ("http://127.0.0.1:22/", "port 22"),
    "port zero": ("http://127.0.0.1:0/", "no port that could exist"),
    "a URL too long": ("http://127.0.0.1:{p}/" + "a" * 9000, "characters; the limit is 8192"),
    "file": ("file:///etc/passwd", SCHEMES),
    "file on a host": ("file://127.0.0.1/etc/passwd", SCHEMES),
    "gopher": ("gopher://127.0.0.1:{p}/_GET", SCHEMES),
    "ftp": ("ftp://127.0.0.1:{p}/a.png", SCHEMES),
    "a scheme in a scheme": ("jar:http://127.0.0.1:{p}/a!/b", SCHEMES),
    "an absolute path": ("/etc/passwd", "no image or video that is known here"),
    "a relative path": ("../../etc/passwd", NOT_BASE64),
    "a home path": ("~/.ssh/id_rsa", NOT_BASE64),
    "a UNC path": ("\\\\127.0.0.1\\share\\a.png", NOT_BASE64),
    "a URL without a scheme": ("//127.0.0.1:{p}/", NOT_BASE64),
    "a space before the scheme": (" http://127.0.0.1:{p}/", NOT_BASE64),
    "a data URI without base64": ("data:image/png,http://127.0.0.1:{p}/", "data URI"),
    "a data URI without an end": ("data:image/png;base64", "data URI"),
}

# Name -> its records; each list is what one ask gets.
NAMES = {
    "a name of loopback": {"A": [["127.0.0.1"]]},
    "a name of IPv6 loopback": {"AAAA": [["::1"]]},
    "a name of a mapped address": {"AAAA": [["::ffff:127.0.0.1"]]},
    "a name of metadata": {"A": [["169.254.169.254"]]},
    "public and loopback together": {"A": [["93.184.215.14", "127.0.0.1"]]},
    "public by IPv4, loopback by IPv6": {"A": [["93.184.215.14"]], "AAAA": [["::1"]]},
    "an alias of a name of loopback": {"CNAME": [["inside.test."]]},
    "no such name": {},
}


@pytest.mark.parametrize("case", URLS)
async def test_a_url_that_leads_inside_is_refused(case: str) -> None:
    url, says = URLS[case]
    async with world() as around:
        media = {"ports": [80, 443, around.port]}
        async with seeing({"media": media}, names=around.names) as (client, _):
            await refused(client, "image", url.replace("{p}", str(around.port)), says)
        assert around.names.asked == []


@pytest.mark.parametrize("case", NAMES)
async def test_a_name_that_leads_inside_is_refused(case: str) -> None:
    async with world() as around:
        around.names.add("inside.test", ["127.0.0.1"])
        for kind, answers in NAMES[case].items():
            around.names.add("evil.test", *answers, kind=kind)
        media = {"ports": [80, 443, around.port]}
        async with seeing({"media": media}, names=around.names) as (client, _):
            await refused(client, "image", around.url("/", "evil.test"), NOT_PUBLIC)
        assert "evil.test A" in around.names.asked


async def test_localhost_by_the_systems_own_resolver() -> None:
    async with world() as around:
        media = {"ports": [80, 443, around.port]}
        async with seeing({"media": media}) as (client, _):
            await refused(client, "image", around.url("/", "localhost"), NOT_PUBLIC)
            await refused(client, "video", around.url("/", "localhost"), NOT_PUBLIC)


async def test_a_name_server_that_never_answers_costs_connect_s() -> None:
    async with world() as around:
        media = {"ports": [80, 443, around.port], "connect_s": 0.2, "fetch_s": 600.0}
        async with seeing({"media": media}, names=around.names) as (client, _):
            started = time.monotonic()
            url = around.url("/", "silent.test")
            await refused(client, "image", url, "could not be reached within 0.2 s")
            assert time.monotonic() - started < 4 * 20.0  # the resolver itself gives up after 30 s


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as around:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{around.port}")
        async with seeing(around.values(), names=around.names) as (client, _):
            await refused(client, "image", around.url("/missing"), "HTTP status 404")


async def test_what_is_not_on_the_allow_list_is_not_even_looked_up() -> None:
    async with world() as around:
        values = around.values(allow=["images.test"])
        async with seeing(values, names=around.names) as (client, _):
            await refused(client, "image", "http://other.test/", "not allowed here (media.allow)")
            await refused(client, "image", "http://images.test:81/", "(media.allow)")
            await refused(client, "image", "http://93.184.215.14/", "(media.allow)")
        assert around.names.asked == []


@pytest.mark.parametrize("inside", ["0.0.0.0", "169.254.169.254", "100.100.100.200"])
async def test_an_allowed_name_opens_no_metadata_and_no_wildcard(inside: str) -> None:
    """0.0.0.0 would connect to the listener on loopback."""
    async with world() as around:
        around.names.add("images.test", [inside])
        allow = [f"images.test:{around.port}", "0.0.0.0/0"]
        async with seeing(around.values(allow=allow), names=around.names) as (client, _):
            await refused(client, "image", around.url("/"), NOT_PUBLIC)


async def test_urls_can_be_switched_off() -> None:
    async with world() as around:
        values = around.values(fetch=False)
        async with seeing(values, names=around.names) as (client, _):
            await refused(client, "image", around.url("/"), "fetches no URLs (media.fetch)")
        assert (around.names.asked, around.store.connections) == ([], 0)
