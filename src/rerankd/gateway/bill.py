"""What one request takes: tokens of its key's limits, and what its account holds of budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from rerankd.access.keys import Key
from rerankd.access.rates import Charge
from rerankd.accounts.account import Account, Attempt
from rerankd.accounts.budget import EVERYBODY, Owner
from rerankd.core.cost import Cost, known_sum
from rerankd.core.errors import RerankError
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.targets import RouteTarget
from rerankd.service.base import Trace

LEFT: Final = "left"  # how an attempt ended whose answer nobody waits for any more
_MOST_TOKENS: Final = 1_000_000_000  # more than any body has: who says so has not counted
# An upstream may bill for these: it got the request, and what it did is not known.
_MAYBE_BILLED: Final = frozenset({"timeout", "unreachable", "bad_answer", LEFT})


def owners_of(key: Key) -> tuple[Owner, ...]:
    """Whose budgets a key's requests fall under."""
    key_id, team_id = key.id, key.team_id
    own = () if key_id is None else (Owner("key", key_id),)
    team = () if team_id is None else (Owner("team", team_id),)
    return (*own, *team, EVERYBODY)


class Bill:
    """One request's charge and account, kept in step."""

    def __init__(self, charge: Charge, trace: Trace) -> None:
        """Nothing is taken yet.

        Args:
            charge: of its key's tokens per minute and day.
            trace: has its account, if there is a ledger, and its counts so far.
        """
        self._charge = charge
        self._trace = trace
        self._model = ""  # of this server, which counts
        self._turn = asyncio.Lock()  # targets that are asked side by side take after each other

    @property
    def _account(self) -> Account | None:
        return self._trace.account

    async def begin(self, asked: str, model: str, documents: Sequence[int]) -> None:
        """Reserve what is known before anything is tokenised.

        Args:
            asked: the name in the request, or the default's.
            model: who will answer; "" = not known yet.
            documents: of each query.

        Raises:
            QuotaExceeded, RateLimited: a budget has no room.
        """
        if self._account is not None:
            await self._account.begin(asked, model, documents)
        self._model = model

    async def here(self, model: str) -> None:
        """A model of this server counts from here on; what another counted is given back."""
        async with self._turn:
            self._charge.give_back()
            self._model = model

    async def counted(self, tokens: int) -> None:
        """Take tokens that were counted exactly; RerankCall.charge.

        Raises:
            QuotaExceeded, RateLimited: nothing is taken any more.
        """
        async with self._turn:
            await self._charge.add(tokens)
            images = self._trace.cost.image_tokens
            await self._hold(lambda account: account.hold(self._model, self._charge.tokens, images))

    async def estimate(self, model: str, tokens: Callable[[], int]) -> int:
        """Take an estimate for an upstream's model, unless tokens were counted already.

        Raises:
            QuotaExceeded, RateLimited: nothing is taken any more.
        """
        async with self._turn:
            if not self._charge.tokens:
                await self._charge.add(tokens())
            await self._hold(lambda account: account.hold_estimate(model, self._charge.tokens))
            return self._charge.tokens

    async def _hold(self, hold: Callable[[Account], Awaitable[None]]) -> None:
        if self._account is None:
            return
        try:
            await hold(self._account)
        except RerankError:
            self._charge.give_back()
            raise

    def answered_here(self) -> None:
        """The model of this server answered, for the tokens that it counted."""
        if self._account is not None:
            images = self._trace.cost.image_tokens
            self._account.settle(self._model, self._charge.tokens, images)

    def answered_by(self, model: str, cost: Cost) -> None:
        """An upstream's model answered; what it counted takes the place of the estimate."""
        told = possible(cost.input_tokens)
        if told is not None:
            self._charge.settle(told)
        if self._account is not None:
            self._account.settle(
                model,
                self._charge.tokens,
                cost.image_tokens,
                tokens_from="estimate" if told is None else "upstream",
            )

    def stood_in(self, tokens: int) -> None:
        """Nobody could answer, and what stands in for them did: nobody pays."""
        if self._account is not None:
            self._account.settle_free(tokens)

    def attempted(
        self,
        target: RouteTarget,
        took_s: float,
        sent: Consulted,
        failed: AttemptFailed | None,
        *,
        left: bool,
    ) -> None:
        """Note how an attempt ended.

        Args:
            target: who was asked.
            took_s: how long that took.
            sent: what an upstream was asked and told.
            failed: why there is no answer.
            left: nobody waited for the answer any more.
        """
        if self._account is None:
            return
        outcome = failed.outcome if failed else LEFT if left else "ok"
        self._account.attempted(
            Attempt(
                target=target.label,
                upstream=target.upstream,
                status=failed.status if failed else 0 if left or not target.upstream else 200,
                outcome=outcome,
                took_us=round(took_s * 1_000_000),
                tokens=sent.tokens,
            ),
            target.model,
            sent.documents,
            self._charge.tokens if sent.tokens is None else sent.tokens,
            maybe_billed=outcome in _MAYBE_BILLED and (failed is None or failed.was_sent),
        )

    def give_back(self, *, has_worked: bool = False) -> None:
        """Take nothing; of its key's limits only where nobody may have worked for it."""
        if not has_worked:
            self._charge.give_back()
        if self._account is not None:
            self._account.give_back()


def possible(tokens: int | None) -> int | None:
    """A count of tokens that an upstream told; None where it cannot be one."""
    return None if tokens is None or not 0 <= tokens <= _MOST_TOKENS else tokens


class Consulted:
    """What an upstream was asked in one attempt, and what it counted itself."""

    def __init__(self) -> None:
        self.documents: list[int] = []  # of each query that was sent
        self.tokens: int | None = None  # of all its answers; None: it does not tell
        self._answers = 0

    def asked(self, documents: int) -> None:
        """A query was sent with so many documents."""
        self.documents.append(documents)

    def told(self, tokens: int | None) -> None:
        """It answered one of them."""
        tokens, self._answers = possible(tokens), self._answers + 1
        self.tokens = tokens if self._answers == 1 else known_sum(self.tokens, tokens)
