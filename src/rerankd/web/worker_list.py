"""GET /v1/workers: the processes that score, for whoever runs the server."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rerankd.access.keys import ANYONE
from rerankd.core.errors import Forbidden
from rerankd.dialects.registry import Registry
from rerankd.dialects.wire import JSON
from rerankd.web.admin.gate import AdminGate
from rerankd.web.caller import caller_of
from rerankd.web.client import address_of
from rerankd.web.paths import Get
from rerankd.web.reports import WorkerList
from rerankd.web.state import State

PATH: Final = "/v1/workers"


class Workers:
    """The list of one server."""

    def __init__(self, state: State, registry: Registry) -> None:
        self._state = state
        self._registry = registry
        self._gate = AdminGate(state, state.admin_hosts)
        self.get = Get(
            path=PATH,
            what="own",
            summary="The processes that score: for keys of the role read or admin, and for this "
            "machine where there are no keys.",
            answer=WorkerList,
            speaker=registry.root,
        )

    async def answer(self, request: Request) -> Response:
        """How each does. Raises Unauthorized, Forbidden, RateLimited."""
        self._gate.check(request.scope)
        key = caller_of(request, self._state, self._registry)
        if key is not ANYONE:
            key.check_role("read")
        else:
            address = address_of(request.scope, self._state.trusted)
            if address is None or not address.is_loopback:
                raise Forbidden("Without keys this machine alone may ask that.", reason="network")
        found = WorkerList("list", list(self._state.backend.facts().workers))
        return Response(msgspec.json.encode(found), media_type=JSON)
