"""Base URLs as SDKs take them, and the addresses that a host may stand for."""

from __future__ import annotations

import pytest

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.registry import callable_dialects
from rerankd.gateway.address import Guard, origin_of
from rerankd.media import address

REQUEST = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),), model="p/m")


@pytest.mark.parametrize(
    ("dialect", "urls", "target"),
    [
        (
            "siliconflow",
            ("https://api.siliconflow.cn", "https://api.siliconflow.cn/v1/"),
            "/v1/rerank",
        ),
        ("jina", ("https://api.jina.ai", "https://api.jina.ai/v1"), "/v1/rerank"),
        (
            "cohere",
            ("https://api.cohere.com", "https://api.cohere.com/v1", "https://api.cohere.com/v2"),
            "/v2/rerank",
        ),
        ("cohere-v1", ("https://api.cohere.com", "https://api.cohere.com/v1"), "/v1/rerank"),
        (
            "dashscope",
            ("https://dashscope.aliyuncs.com", "https://dashscope.aliyuncs.com/api/v1"),
            "/api/v1/services/rerank/text-rerank/text-rerank",
        ),
        (
            "dashscope-compatible",
            ("https://dashscope.aliyuncs.com", "https://dashscope.aliyuncs.com/compatible-api/v1"),
            "/compatible-api/v1/reranks",
        ),
        (
            "deepinfra",
            (
                "https://api.deepinfra.com",
                "https://api.deepinfra.com/v1",
                "https://api.deepinfra.com/v1/inference",
            ),
            "/v1/inference/p/m",
        ),
        (
            "fireworks",
            ("https://api.fireworks.ai", "https://api.fireworks.ai/inference/v1"),
            "/inference/v1/rerank",
        ),
        (
            "mixedbread",
            ("https://api.mixedbread.com", "https://api.mixedbread.com/v1"),
            "/v1/reranking",
        ),
        ("pinecone", ("https://api.pinecone.io",), "/rerank"),
        ("tei", ("http://localhost:8080", "http://localhost:8080/v1"), "/rerank"),
        ("infinity", ("http://localhost:7997", "http://localhost:7997/v1"), "/rerank"),
        ("voyage", ("https://api.voyageai.com", "https://api.voyageai.com/v1"), "/v1/rerank"),
        (
            "zeroentropy",
            ("https://api.zeroentropy.dev", "https://api.zeroentropy.dev/v1"),
            "/v1/models/rerank",
        ),
        ("vllm", ("http://localhost/prefix", "http://localhost/prefix/v1/"), "/prefix/v1/rerank"),
    ],
)
def test_a_base_with_and_without_its_version(
    dialect: str, urls: tuple[str, ...], target: str
) -> None:
    wire = callable_dialects()[dialect].encode(REQUEST)
    assert {origin_of(url).target(wire.path) for url in urls} == {target}


def test_a_name_in_a_path_is_encoded() -> None:
    assert origin_of("http://h").target("/v1/inference/a b?#é") == "/v1/inference/a%20b%3F%23%C3%A9"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://h", "no http"),
        ("h:80", "no http"),
        ("http://", "no host"),
        ("http://h:0", "no host"),
        ("http://h:99999", "no URL"),
        ("http://user:pass@h", "user or a password"),
        ("http://h/?key=1", "query"),
        ("http://h/#x", "query"),
        ("http://h h", "space"),
        ("http://h\\x", "backslash"),
        ("http://[::1", "no URL"),
        ("http://a..b?", "query"),
    ],
)
def test_what_is_no_base_url(url: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        origin_of(url)


@pytest.mark.parametrize(
    ("url", "allow", "found", "refused"),
    [
        ("https://a.test", (), "93.184.216.34", ""),
        ("http://127.0.0.1:1", (), "127.0.0.1", ""),
        ("http://localhost:1", (), "::1", ""),
        ("https://a.test", (), "127.0.0.1", "private"),  # a public name that turns inwards
        ("https://a.test", (), "10.0.0.1", "private"),
        ("https://a.test", ("10.0.0.0/8",), "10.0.0.1", ""),
        ("https://a.test", ("a.test",), "10.0.0.1", ""),
        ("https://a.test", ("a.test:444",), "10.0.0.1", "private"),
        ("https://a.test", ("10.0.0.0/8",), "169.254.169.254", "nobody"),
        ("https://a.test", ("169.254.0.0/16",), "169.254.169.254", "nobody"),
        ("http://127.0.0.1", (), "10.0.0.1", "private"),
    ],
)
def test_where_an_upstream_may_be(
    url: str, allow: tuple[str, ...], found: str, refused: str
) -> None:
    guard = Guard(origin_of(url), allow)
    assert refused in guard.refused([address.parse(found)])
    assert bool(guard.refused([address.parse(found)])) == bool(refused)
    public = address.parse("93.184.216.34")
    assert bool(guard.refused([public, address.parse(found)])) == bool(refused)  # all of them


def test_a_host_without_an_address_is_refused() -> None:
    assert Guard(origin_of("https://a.test"), ()).refused([])
