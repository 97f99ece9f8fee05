"""What holds for every dialect, whichever file it is in: both directions agree, nothing is dropped.

A new dialect is under these tests as soon as its file exists.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from shapes import fields_of
from strategies import bodies, nonsense, rankings, requests
from table import PAGE, page, table

from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    QuotaExceeded,
    Rate,
    RateLimited,
    RerankError,
    SpaceUnavailable,
    Unauthorized,
    UnknownModel,
    UnknownPath,
    UpstreamFailed,
)
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.base import AnyEndpoint, Dialect, Outgoing, ParsedTexts
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Envelope, Options, WireAnswer, WireRequest

DOCS = Path(__file__).parents[2] / "docs" / "dialects"
OPTIONS = Options()
ENVELOPE = Envelope(request_id="r1", created=1700000000, engine="fake")
DIALECTS = [found for found in SERVED.served if isinstance(found, Dialect)]

every = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda found: found.name)
every_served = pytest.mark.parametrize("dialect", SERVED.served, ids=lambda found: found.name)
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


def requests_of(dialect: Dialect, data: st.DataObject) -> RerankRequest:
    """A request as one of the dialect's own callers would make it."""
    body = data.draw(bodies(dialect.body))
    params = dict.fromkeys(re.findall(r"\{(\w+)\}", dialect.paths[0]), "org/model")
    wire = WireRequest(
        path=dialect.paths[0].format(**params), body=msgspec.json.encode(body), params=params
    )
    try:
        return dialect.parse(wire, OPTIONS)
    except InvalidRequest as error:
        refused = error  # a value that is documented as refused: it is named
    assert (refused.param or "").split("[")[0] in fields_of(dialect.body)
    assume(False)
    raise refused


@every
@given(data=st.data())
@quick
def test_what_is_encoded_is_parsed_as_the_same_request(dialect: Dialect, data: Any) -> None:
    request = requests_of(dialect, data)
    sent = dialect.outgoing(request, key="sk-1")
    assert sent.lost == ()
    assert dialect.parse(sent.wire, OPTIONS) == request
    assert dialect.presented_key(sent.wire.headers) == b"sk-1"
    templates = (*dialect.paths, *dialect.root)
    known = [p for p in templates if set(re.findall(r"\{(\w+)\}", p)) <= {*sent.wire.params}]
    assert sent.wire.path in [path.format(**sent.wire.params) for path in known]


def sent_or_named(dialect: Dialect, request: RerankRequest) -> Outgoing | None:
    """What is sent; None when a provider of texts refuses by name, before anything is sent."""
    contents = {name: found.modality for name, found in request.contents()}
    try:
        return dialect.outgoing(request)
    except InvalidRequest as refused:
        if contents.get(refused.param or "", "text") == "text":
            raise
    return None


@every
@given(request=requests())
@quick
def test_a_field_that_cannot_be_carried_is_reported(
    dialect: Dialect, request: RerankRequest
) -> None:
    sent = sent_or_named(dialect, request)
    if sent is None:
        return
    arrived = dialect.parse(sent.wire, OPTIONS)
    for field in dataclasses.fields(RerankRequest):
        before, after = getattr(request, field.name), getattr(arrived, field.name)
        if field.name in ("query", "documents"):
            before, after = _read(before), _read(after)
        if field.name == "return_documents" and before is None:
            continue
        assert before == after or field.name in sent.lost, field.name


def _read(contents: Any) -> list[tuple[str, str]]:
    several: tuple[Content, ...] = (contents,) if isinstance(contents, Content) else contents
    return [(content.modality, content.value) for content in several]


@every
@given(data=st.data())
@quick
def test_what_is_rendered_is_decoded_as_the_same_ranking(dialect: Dialect, data: Any) -> None:
    request = requests_of(dialect, data)
    ranking = data.draw(rankings(request))
    answer = dialect.render(request, ranking, ENVELOPE)
    msgspec.json.decode(answer.body, type=dialect.answer)
    whole: Any = msgspec.json.decode(answer.body)
    assert "code" not in whole  # which several clients take for an error
    assert dialect.ranking(answer, request) == told(dialect, request, ranking)


def told(dialect: Dialect, request: RerankRequest, ranking: Ranking) -> Ranking:
    """What of a ranking the dialect's answer has a place for."""
    tells = dialect.tells
    return Ranking(
        model=ranking.model if "model" in tells else request.model or "",
        hits=tuple(
            Hit(hit.index, hit.score, hit.logit, hit.truncated and "truncated" in tells)
            for hit in ranking.hits
        ),
        documents=len(request.documents),
        input_tokens=ranking.input_tokens if "input_tokens" in tells else None,
        cached_tokens=ranking.cached_tokens if "cached_tokens" in tells else 0,
        image_tokens=ranking.image_tokens if "image_tokens" in tells else 0,
        warnings=ranking.warnings if "warnings" in tells else (),
    )


@every_served
@given(data=st.data())
@quick
def test_any_body_is_a_request_or_a_clear_refusal(dialect: AnyEndpoint, data: Any) -> None:
    wire = WireRequest(path="/x", body=data.draw(nonsense(dialect.body)), params={"model": "m"})
    try:
        parsed = dialect.parse_body(wire, OPTIONS)
        whole = isinstance(parsed, ParsedTexts)
        said = parsed.request.texts if whole else parsed.requests[0].documents
    except InvalidRequest as refused:
        said = str(refused)
    assert said


@every
@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b'{"data":[{}]}', b"\xff"])
def test_any_answer_is_a_ranking_or_an_error(dialect: Dialect, body: bytes) -> None:
    request = RerankRequest(query=Content(value="q"), documents=(Content(value="a"),))
    for status in (200, 400, 401, 404, 429, 500, 502, 503):
        answer = WireAnswer(status=status, body=body)
        if status == 200 and _is_answer(dialect, body):  # an empty ranking, for a bare array
            assert dialect.ranking(answer, request).hits == ()
            continue
        with pytest.raises(RerankError):
            dialect.ranking(answer, request)


def _is_answer(dialect: Dialect, body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=dialect.answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


ERRORS: list[RerankError] = [
    InvalidRequest("top_n: no", param="top_n"),
    InvalidRequest("The body is not valid JSON."),
    UnknownModel("model: 'x' is not served."),
    Unauthorized("Invalid token"),
    QuotaExceeded("The budget of this key is used up."),
    UpstreamFailed("No provider of this model answered."),
    SpaceUnavailable("No target answers on the scale 'x'; there are: 'a', 'b'."),
    Forbidden("This key may not use this model."),
    BodyTooLarge("The body is over 5 bytes."),
    *(RateLimited(limit, retry_after_s=2.5) for limit in get_args(Rate)),
    Overloaded("The queue is full.", retry_after_s=2.5),
    EngineFailed("Internal error."),
    DeadlineExceeded("Too late."),
]
WAIT = (RateLimited, Overloaded)  # some providers know only one of them
BACKEND = (EngineFailed, UpstreamFailed)  # TEI has one status for both


@every
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.kind)
def test_what_is_refused_is_decoded_as_the_same_error(dialect: Dialect, error: Any) -> None:
    answer = dialect.render_error(error, ENVELOPE, OPTIONS)
    with pytest.raises(RerankError) as raised:
        dialect.ranking(answer, RerankRequest(query=error, documents=()))
    found = raised.value
    if isinstance(error, WAIT):
        assert isinstance(found, WAIT)
        assert found.retry_after_s == math.ceil(error.retry_after_s)
        assert answer.status in (429, 503)
    elif isinstance(error, UnknownModel):
        assert isinstance(found, InvalidRequest)
    elif isinstance(error, SpaceUnavailable):
        assert isinstance(found, Overloaded)
        assert answer.status == 503
    elif isinstance(error, BACKEND):
        assert isinstance(found, BACKEND)
    else:
        assert type(found) is type(error)


@every_served
@pytest.mark.parametrize(
    "error",
    [*ERRORS, BodyTimeout("slow")],
    ids=lambda error: error.kind,
)
def test_every_error_is_as_the_openapi_document_says(dialect: AnyEndpoint, error: Any) -> None:
    answer = dialect.render_error(error, ENVELOPE, OPTIONS)
    assert answer.status in dialect.errors
    kind = dialect.errors[answer.status]
    if kind is None:
        assert answer.body == b""
    else:
        msgspec.json.decode(answer.body, type=kind)
    fixed = error.status in (401, 403, 429) or isinstance(error, Overloaded)
    if not fixed:  # some providers have fixed words for those
        assert error.message in answer.body.decode().replace('\\"', '"')


@every_served
@pytest.mark.parametrize(
    "error", [UnknownPath("404 page not found"), MethodNotAllowed("use POST", allow="POST")]
)
def test_unknown_paths_and_methods_have_an_answer(dialect: AnyEndpoint, error: Any) -> None:
    answer = dialect.render_error(error, ENVELOPE, OPTIONS)
    assert answer.status == error.status
    assert answer.headers.get("allow", "POST") == "POST"


@every_served
def test_the_page_lists_the_fields_that_the_properties_draw(dialect: AnyEndpoint) -> None:
    page = (DOCS / f"{dialect.prefix or dialect.name}.md").read_text()
    heading = f"## Fields of `{dialect.name}`\n"
    assert heading in page
    section = page.split(heading)[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(listed) == sorted(fields_of(dialect.body))


@every_served
def test_the_page_says_where_it_is_from_and_how_to_call_it(dialect: AnyEndpoint) -> None:
    page = (DOCS / f"{dialect.prefix or dialect.name}.md").read_text()
    assert re.search(r"Source: .+ read\s+20\d\d-\d\d-\d\d", page, re.DOTALL)
    assert "curl " in page
    assert "## Not supported" in page


def test_the_list_of_dialects_has_a_fresh_table() -> None:
    assert PAGE.read_text() == page(), "run: uv run --group dev python tests/dialects/table.py"


def test_every_dialect_is_on_the_list() -> None:
    by_hand = PAGE.read_text().replace(table(), "")
    for dialect in SERVED.served:
        name = dialect.prefix or dialect.name
        assert f"]({name}.md)" in by_hand, name
