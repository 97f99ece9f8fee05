"""The server that fails as a script says, and what is read from the calls that it got."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from typing import Any

import httpx2
import manners
import pytest
from scripted import FAILURES, KEY_BEHIND, MARK, SCRIPTS, WAIT_S, Call, Scripted, scripted

PATIENCE_S = 60
ANSWER: dict[str, Any] = {
    "results": [{"index": 2, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}],
    "usage": {"total_tokens": 7, "prompt_tokens": 7},
}


class Behind(http.server.BaseHTTPRequestHandler):
    """Stands for the real server: who asked what."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = json.dumps(ANSWER | {"key": self.headers["api-key"], "path": self.path}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def front() -> Generator[Scripted]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind) as behind:
        threading.Thread(target=behind.serve_forever, daemon=True).start()
        with scripted(behind.server_port) as server:
            yield server
        behind.shutdown()


def ask(front: Scripted, script: str) -> httpx2.Response:
    headers = {"api-key": f"sk-right-3.{script}"}
    return httpx2.post(f"{front.url}/v1/rerank", json={"q": 1}, headers=headers, timeout=PATIENCE_S)


def test_a_script_fails_so_often_then_answers(front: Scripted) -> None:
    assert [ask(front, "503").status_code for _ in range(FAILURES + 1)] == [503] * FAILURES + [200]
    assert [ask(front, "429-wait").status_code for _ in range(2)] == [429, 200]
    assert ask(front, "503-wait").headers["retry-after"] == str(WAIT_S)
    assert "retry-after" not in ask(front, "429").headers
    assert ask(front, "504-final").headers["x-should-retry"] == "false"
    with pytest.raises(httpx2.TransportError):
        ask(front, "reset")


def test_the_real_server_is_asked_with_its_own_key_and_path(front: Scripted) -> None:
    said = ask(front, "answer").json()
    assert (said["key"], said["path"]) == (KEY_BEHIND, "/v1/rerank")
    (call,) = front.calls_of("sk-right-3")["answer"]
    assert (call.key, call.kept_path, call.body) == ("Api-Key: KEY", True, {"q": 1})
    usage = said["usage"]
    assert usage["total_tokens"] > MARK < usage["prompt_tokens"] != usage["total_tokens"]
    assert [hit["index"] for hit in said["results"]] == [2, 0]


def call(at: float, body: Any = None, answer: Any = None) -> Call:
    """One that arrived after so many seconds and was answered at once."""
    return Call("POST", "/v1/rerank", True, "Api-Key: KEY", body, at, at, answer)


def seen(calls: dict[str, list[Call]], **outcome: Any) -> dict[str, Any]:
    plain = {"answer": [call(0, {"query": "q"}, ANSWER)]}
    return manners.found(plain | calls, {"ends": {"answer": ""}} | outcome)


@pytest.mark.parametrize(
    ("bare", "told", "end", "honours"),
    [
        ([0], [0], "failed", "asks once"),
        ([0, 0.5], [0, WAIT_S], "", "yes"),
        ([0], [0, WAIT_S], "", "yes"),
        ([0, 0.5], [0, 0.5], "", "no"),
        ([0, WAIT_S], [0, WAIT_S], "", "waits longer anyway"),
        ([0, 0.5], [0, WAIT_S], "failed", "asks again, fails"),
    ],
)
def test_who_waits_for_as_long_as_it_is_told(
    bare: list[float], told: list[float], end: str, honours: str
) -> None:
    calls = {"503": [call(at) for at in bare], "503-wait": [call(at) for at in told]}
    found = seen(calls, ends={"503-wait": end})
    assert found["retry-after"] == {"429": "asks once", "503": honours}
    assert found["tries"] == dict.fromkeys(found["tries"], 0) | {"answer": 1, "503": len(bare)}
    assert found["tries"].keys() == {name for name in SCRIPTS if not name.endswith("-wait")}


def test_where_fields_arrive_and_what_a_caller_does_not_see() -> None:
    bodies = {
        "instruction": {"query": "q", "parameters": {"instruction": "Prefer capitals."}},
        "max_tokens_per_doc": {"query": "q", "max_tokens_per_doc": 8, "maxTokensPerDoc": 8},
        "max_chunks_per_doc": {"query": "q"},
    }
    calls = {f"with-{name}": [call(0, body, ANSWER)] for name, body in bodies.items()}
    found = seen(calls, saw={"answer": [0.75, 0.5], "with-instruction": [0.75, 0.5, 7.0]})
    assert found["options"] == {
        "instruction": "parameters.instruction",
        "max_tokens_per_doc": "max_tokens_per_doc",
        "max_chunks_per_doc": "dropped",
        "truncate_query": "not taken",
    }
    assert found["lost"] == []
    assert seen(calls, saw={"answer": [0.75]})["lost"] == ["usage"]
    answer = ANSWER | {"usage": {"total_tokens": 7, "prompt_tokens": 8}, "id": "an-identifier"}
    calls = {"answer": [call(0, {"query": "q"}, answer)]}
    assert seen(calls, saw={"answer": [0.5, 8]})["lost"] == ["usage.total_tokens", "id"]
    assert seen({})["options"] == {}  # it is its caller who writes the body


def test_a_client_of_which_nothing_arrived_has_no_manners() -> None:
    assert manners.found({}, {"ends": {"answer": "no"}}) == {"ends": {"answer": "no"}}
