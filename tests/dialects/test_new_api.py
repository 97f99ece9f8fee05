"""What the gateways' form has beside the superset."""

from __future__ import annotations

import msgspec
import pytest

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import InvalidRequest
from rerankd.dialects import new_api, superset
from rerankd.dialects.wire import Envelope, Options, WireRequest


def post(body: bytes) -> WireRequest:
    return WireRequest(path="/gateway/v1/rerank", body=body)


def test_top_n_0_means_all() -> None:
    request = new_api.parse(post(b'{"query":"q","documents":["a"],"top_n":0}'), Options())
    assert request.top_n is None


def test_a_negative_top_n_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="top_n"):
        new_api.parse(post(b'{"query":"q","documents":["a"],"top_n":-1}'), Options())


def test_the_answer_is_the_superset_with_empty_choices() -> None:
    request = new_api.parse(post(b'{"query":"q","documents":["a"]}'), Options())
    ranking = Ranking(model="m", hits=(Hit(0, 0.5, 0.0),), documents=1, input_tokens=3)
    envelope = Envelope(request_id="r", created=1)
    answer = msgspec.json.decode(new_api.render(request, ranking, envelope).body)
    plain = msgspec.json.decode(superset.render(request, ranking, envelope).body)
    assert answer == plain | {"choices": []}
