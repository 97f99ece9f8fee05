"""All upstreams of a server: made of a plan, kept through a reload, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rerankd.core.facts import UpstreamFacts
from rerankd.gateway.plan import GatewayPlan, UpstreamPlan
from rerankd.gateway.transport import Kept
from rerankd.gateway.upstream import Observe, Upstream
from rerankd.media.gate import SystemResolver


class Fleet:
    """Upstreams by name."""

    def __init__(self, observe: Observe, *, user_agent: str) -> None:
        self.upstreams: Mapping[str, Upstream] = {}
        self._observe = observe
        self._agent = user_agent
        self._resolver = SystemResolver()
        self._closing: set[asyncio.Task[None]] = set()

    def use(self, plan: GatewayPlan) -> None:
        """Call the upstreams of another plan from here on.

        One that stays keeps its breaker and its connections; which keys and models it refused is
        forgotten: the operator may have mended that.
        """
        before, after = self.upstreams, dict[str, Upstream]()
        for name, wanted in plan.upstreams.items():
            old = before.get(name)
            if old is not None and old.plan == wanted:
                old.forgive()
                after[name] = old
                continue
            after[name] = self._made(wanted)
            if old is not None and old.plan.origin == wanted.origin:
                after[name].breaker = old.breaker
        self.upstreams = after
        for name, old in before.items():
            if after.get(name) is not old:
                self._close_later(old)

    def facts(self) -> tuple[UpstreamFacts, ...]:
        """How each does."""
        return tuple(upstream.facts() for upstream in self.upstreams.values())

    async def close(self) -> None:
        """Close all connections that nobody uses, and the threads that look up names."""
        await asyncio.gather(*(each.transport.close() for each in self.upstreams.values()))
        if self._closing:
            await asyncio.wait(self._closing)
        self._resolver.close()

    def _made(self, plan: UpstreamPlan) -> Upstream:
        settings = plan.settings
        transport = Kept(
            plan.origin,
            plan.guard,
            self._resolver,
            connect_s=settings.connect_s,
            answer_bytes=settings.answer_bytes,
        )
        return Upstream(plan, transport, self._observe, user_agent=self._agent)

    def _close_later(self, upstream: Upstream) -> None:
        """Requests that are on their way end first; each closes its own connection."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nothing runs: nothing was opened
            return
        task = loop.create_task(upstream.transport.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
