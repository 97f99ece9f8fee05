"""A call that the admin API knows: its routes and its documents are made of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from rerankd.access.keys import Address, Key, Role
from rerankd.web.admin.answers import AdminAnswer, Stream
from rerankd.web.admin.asked import NoBody, NoQuery
from rerankd.web.admin.desk import Desk

Method = Literal["GET", "POST", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, checked as far as its own fields go."""

    by: Key
    address: Address | None  # that it comes from
    ids: tuple[str, ...]  # of its path
    query: Any
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a path."""

    method: Method
    path: str  # below /admin/v1; {id} stands for a part of it
    summary: str
    answer: Any  # type of its JSON; None = a stream
    role: Role = "admin"
    query: type[msgspec.Struct] = NoQuery
    body: type[msgspec.Struct] = NoBody
    status: int = 200
    may_go_on: bool = False  # answered with 202 when it has not ended
    run: Callable[[Desk, Call], AdminAnswer] | None = None  # on a thread
    stream: Callable[[Desk, Call], Stream] | None = None  # instead; its pieces are made on one
    finish: Callable[[Desk, AdminAnswer], AdminAnswer] | None = (
        None  # what the event loop's side adds
    )
    run_here: Callable[[Desk, Call], Awaitable[AdminAnswer]] | None = None  # on the event loop

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.method} {self.path}"

    @property
    def changes_store(self) -> bool:
        """Whether it is one transaction, which an idempotency key may name."""
        return self.method != "GET" and self.run is not None
