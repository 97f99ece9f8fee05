"""Faults that tests must notice: what is changed where, and which tests must fail then."""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """`old` stands exactly once in `file` and becomes `new`; one of `tests` must fail then."""

    name: str
    file: str  # from the root of the repository
    old: str
    new: str
    tests: tuple[str, ...]


SERVICE = "src/rerankd/service"
WEB = "src/rerankd/web"
CORE = "src/rerankd/core"
DIALECTS = "src/rerankd/dialects"
SCHEDULER = (
    "tests/service/test_watched.py",
    "tests/service/test_scheduler.py",
    "tests/service/test_scheduler_laws.py",
)
OVERLOAD = ("tests/service/test_overload.py",)
LAYERS = ("tests/test_layers.py",)
OIDC = f"{WEB}/console/oidc"
ATTACKS = ("tests/web/console/oidc/test_oidc_attacks.py",)

MUTATIONS = (
    # Survived every test once.
    Mutation(
        "bytes are not given back when reading a body fails",
        f"{WEB}/body.py",
        "    except BaseException:\n        inflight.give_back(size)\n        raise\n",
        "    except BaseException:\n        raise\n",
        ("tests/web/test_body.py",),
    ),
    Mutation(
        "bytes are not given back when a body is late",
        f"{WEB}/body.py",
        "    except TimeoutError:\n        inflight.give_back(size)\n",
        "    except TimeoutError:\n",
        ("tests/web/test_body.py",),
    ),
    Mutation(
        "a body's size is checked when all of it is in memory",
        f"{WEB}/body.py",
        "            async for part in parts:\n"
        "                _check_size(size + len(part), limit_bytes)\n",
        '            for part in [b"".join([part async for part in parts])]:\n'
        "                _check_size(size + len(part), limit_bytes)\n",
        ("tests/web/test_body.py",),
    ),
    Mutation(
        "an offer of another protocol is not dropped",
        f"{WEB}/bare_answers.py",
        'if name != b"upgrade"]',
        "if name]",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "trailers become headers",
        f"{WEB}/protocol.py",
        "        if not self._in_body:\n            super().on_header(name, value)",
        "        super().on_header(name, value)",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "trailers and extensions have no limit",
        f"{WEB}/framing.py",
        "if self._around > HEADER_BYTES",
        "if self._around > 10**12",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "reading goes on while pipelined requests wait",
        f"{WEB}/flow.py",
        "        if not self._holding:\n            super().resume_reading()",
        "        super().resume_reading()",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "nobody asks whether a half-closed client is gone",
        f"{WEB}/protocol.py",
        "            self.out.probe()",
        "            pass",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "a reader that stops is not cut",
        f"{WEB}/outgoing.py",
        "            self.raw.abort()",
        "            pass",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "an answer is given to the transport at once",
        f"{WEB}/flow.py",
        "if len(body) <= _SEND_BYTES",
        "if len(body) >= 0",
        ("tests/web/test_edge.py",),
    ),
    Mutation(
        "what failed stays in memory",
        f"{WEB}/endpoints.py",
        "        traceback.clear_frames(found.__traceback__)\n",
        "",
        ("tests/web/test_readers.py",),
    ),
    Mutation(
        "Retry-After of a full queue is always its minimum",
        f"{SERVICE}/admission.py",
        "min(max(math.ceil(estimate_s), RETRY_MIN_S), _RETRY_MAX_S)",
        "RETRY_MIN_S",
        OVERLOAD,
    ),
    Mutation(
        "Retry-After of a full queue has no maximum",
        f"{SERVICE}/admission.py",
        "min(max(math.ceil(estimate_s), RETRY_MIN_S), _RETRY_MAX_S)",
        "max(math.ceil(estimate_s), RETRY_MIN_S)",
        OVERLOAD,
    ),
    Mutation(
        "tokens are given back after a failure of the engine",
        "src/rerankd/gateway/router.py",
        "has_worked=isinstance(error, EngineFailed)",
        "has_worked=False",
        ("tests/web/test_token_charge.py",),
    ),
    Mutation(
        "the deadline runs while the body is read",
        f"{WEB}/endpoints.py",
        "run_until(reading, state.drain)",
        "run_until(reading, state.drain, limit_s=state.limits.deadline_s)",
        ("tests/web/test_body.py",),
    ),
    Mutation(
        "a provider's 402 is Unauthorized",
        f"{DIALECTS}/failures.py",
        "402: QuotaExceeded,",
        "402: Unauthorized,",
        ("tests/dialects/test_failures.py",),
    ),
    Mutation(
        "search units at exactly 100 documents",
        f"{DIALECTS}/superset.py",
        "-(-ranking.documents // 100)",
        "ranking.documents // 100 + 1",
        ("tests/web/test_search_units.py",),
    ),
    Mutation(
        "NaN scores are healthy",
        f"{SERVICE}/work.py",
        "if not all(np.isfinite(output).all() for output in outputs):",
        "if False:",
        ("tests/service/test_health.py",),
    ),
    Mutation(
        "core imports telemetry",
        f"{CORE}/rank.py",
        "from rerankd.core.answer import Hit\n",
        "from rerankd import telemetry\nfrom rerankd.core.answer import Hit\n",
        LAYERS,
    ),
    Mutation(
        "dialects import engines",
        f"{DIALECTS}/jina.py",
        "import msgspec\n",
        "import msgspec\n\nfrom rerankd.engines import fake\n",
        LAYERS,
    ),
    Mutation(
        "an engine imports web by its full name",
        "src/rerankd/engines/fake.py",
        "import numpy as np\n",
        "import numpy as np\n\nimport rerankd.web.paths\n",
        LAYERS,
    ),
    Mutation(
        "core imports by name at run time",
        f"{CORE}/rank.py",
        "from rerankd.core.answer import Hit\n",
        "import importlib\nfrom rerankd.core.answer import Hit\n",
        LAYERS,
    ),
    # Hung once.
    Mutation(
        "an engine's failure fails only the first request of a batch",
        f"{SERVICE}/scheduler.py",
        "if len(jobs) == 1:",
        "if jobs:",
        SCHEDULER,
    ),
    # Caught ever since.
    Mutation(
        "ties go to the higher index",
        f"{CORE}/rank.py",
        "(-hit.logit, hit.index)",
        "(-hit.logit, -hit.index)",
        ("tests/core/test_rank.py",),
    ),
    Mutation(
        "the last chunk counts, not the best",
        f"{CORE}/rank.py",
        "known is None or score > known",
        "True",
        ("tests/core/test_rank.py",),
    ),
    Mutation(
        "a Retry-After of a header is rounded down",
        f"{DIALECTS}/failures.py",
        "max(1, math.ceil(wait_s))",
        "int(wait_s)",
        ("tests/dialects", "tests/web/test_refusals.py"),
    ),
    Mutation(
        "newcomers start at zero",
        f"{CORE}/fair.py",
        "return max(self._now - self._grace if was_here else self._now, virtual)",
        "return 0.0",
        ("tests/core/test_fair.py", *SCHEDULER),
    ),
    Mutation(
        "a large cost is never let through",
        "src/rerankd/access/meters.py",
        "needed = min(cost, self.limit)",
        "needed = cost",
        ("tests/access/test_rates.py",),
    ),
    Mutation(
        "a digest is a key as well",
        "src/rerankd/access/ring.py",
        "hashed = digest(presented)",
        "hashed = presented if presented in self._file else digest(presented)",
        ("tests/access/test_keys.py",),
    ),
    Mutation(
        "overlap has no cap",
        f"{CORE}/chunk.py",
        "return min(overlap_tokens, window_tokens // 4)",
        "return min(overlap_tokens, window_tokens - 1)",
        ("tests/core/test_chunk.py",),
    ),
    Mutation(
        "the second segment is not part of a row's key",
        f"{CORE}/rows.py",
        "return self.second, self.ids.tobytes()",
        "return 0, self.ids.tobytes()",
        ("tests/service/test_cache.py", "tests/core/test_batch.py"),
    ),
    # Admission by time.
    Mutation(
        "waiting has no limit",
        f"{SERVICE}/admission.py",
        "if ahead and wait > patience:",
        "if False:",
        OVERLOAD,
    ),
    Mutation(
        "what cannot end in time is taken",
        f"{SERVICE}/admission.py",
        "now + wait + own > until",
        "False",
        ("tests/hold/test_admission.py",),
    ),
    Mutation(
        "a burst may not fill the queue",
        f"{CORE}/pace.py",
        "            return self.wait_s\n",
        "            return LEAST_PATIENCE * self.wait_s\n",
        OVERLOAD,
    ),
    Mutation(
        "what waits is ahead of everybody, whatever its key",
        f"{CORE}/fair.py",
        "return before + sum(min(waiting, share) for _, waiting in totals.values())",
        "return before + sum(waiting for _, waiting in totals.values())",
        (*OVERLOAD, "tests/core/test_fair.py"),
    ),
    Mutation(
        "a call into the engine is as long as it may be",
        f"{SERVICE}/scheduler.py",
        "return min(info.batch_tokens, max(info.slice_tokens or _CALL_TOKENS, at_rate))",
        "return info.batch_tokens",
        (*SCHEDULER, *OVERLOAD),
    ),
    Mutation(
        "what cannot end in time any more runs all the same",
        f"{SERVICE}/scheduler.py",
        "if self.admission.is_hopeless(sum(job.lengths), work.until):",
        "if False:",
        OVERLOAD,
    ),
    Mutation(
        "nobody is told when the queue's task ends",
        f"{SERVICE}/scheduler.py",
        '        error = EngineFailed("The queue of the model failed.")\n'
        "        error.__cause__ = cause\n"
        "        self._fail_all(error)\n",
        "",
        ("tests/service/test_watched.py",),
    ),
    Mutation(
        "a long row goes on when its caller has left",
        f"{SERVICE}/scheduler.py",
        "        finally:\n            self._queue.cancel(job)\n            if work.slices",
        "        finally:\n            if work.slices",
        ("tests/service/test_slices.py", *SCHEDULER),
    ),
    Mutation(
        "health looks away from a call that does not end",
        f"{SERVICE}/health.py",
        "if scheduler.running_s > self.patience_s:",
        "if False:",
        ("tests/service/test_watched.py", "tests/service/test_health.py"),
    ),
    # Bodies.
    Mutation(
        "keys and values of a body are not counted before it is read",
        f"{WEB}/endpoints.py",
        "values = await run(size, count_values, self._raw, self._state.limits.json_values)",
        "values = 0",
        ("tests/web/test_pairs.py",),
    ),
    Mutation(
        "a query takes part in its pairs only once",
        "src/rerankd/dialects/base.py",
        "        members.setdefault((query.modality, query.value), []).append(i)\n",
        "        members[query.modality, query.value] = [i]\n",
        ("tests/web/test_pairs.py",),
    ),
    Mutation(
        "a type of content may be of any type",
        "src/rerankd/dialects/vllm_shared.py",
        '    kind = kind if isinstance(kind, str) else ""\n',
        "",
        ("tests/hold/test_fuzz.py",),
    ),
    Mutation(
        "a query that is too long is cut without the wish",
        "src/rerankd/service/query_cut.py",
        "request.truncate_query and is_text",
        "is_text",
        ("tests/service/test_query_cut.py",),
    ),
    # Sign-in by an issuer.
    Mutation(
        "a way back is anybody's",
        f"{OIDC}/begun.py",
        "if not hmac.compare_digest(found.state.encode(), state.encode()):",
        "if not found.state:",
        ATTACKS,
    ),
    Mutation(
        "a way back leads in twice",
        f"{OIDC}/begun.py",
        "float(ends) <= now or state in self._used",
        "float(ends) <= now",
        ATTACKS,
    ),
    Mutation(
        "a token of another sign-in is good",
        f"{OIDC}/claims.py",
        "not hmac.compare_digest(said.encode(), nonce.encode())",
        "not said",
        ATTACKS,
    ),
    Mutation(
        "an algorithm is good that the issuer does not name",
        f"{OIDC}/signature.py",
        " or algorithm not in published:",
        ":",
        ATTACKS,
    ),
    Mutation(
        "a code is asked about whatever came from there before",
        f"{WEB}/console/signing_in.py",
        "            self._state.wrong_keys.check(network)\n",
        "",
        ATTACKS,
    ),
)
