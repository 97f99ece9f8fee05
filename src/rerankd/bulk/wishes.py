"""What a job wants of every request, whatever its row says. Pure."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a job that change what is asked; None = as the row says."""

    model: str | None = None  # who answers; None = `serves` alone, or whom the row names
    serves: tuple[str, ...] | None = None  # names of the model that is there; None = of many
    top_n: int | None = None
    instruction: str | None = None
    raw_scores: bool = False

    def applied(self, request: RerankRequest) -> RerankRequest:
        """What is asked for a row's request; documents are never echoed.

        Raises:
            InvalidRequest: the row names another model than the one that is there.
        """
        named = request.model
        is_other = named is not None and self.serves is not None and named not in self.serves
        if self.model is None and is_other:
            raise InvalidRequest(
                f"model: the row names {named}, and {(self.serves or ('',))[0]} answers here. "
                "Give --model for all rows.",
                param="model",
            )
        return replace(
            request,
            model=self.model or (named if self.serves is None else None),
            top_n=self.top_n or request.top_n,
            instruction=self.instruction or request.instruction,
            raw_scores=self.raw_scores or request.raw_scores,
            return_documents=False,
            explain=False,
            priority=0,
        )

    def pair(self, query: str, document: str) -> RerankRequest:
        """As applied(), of a pair that says nothing more; made once: there are millions of them."""
        return RerankRequest(
            query=Content(value=query),
            documents=(Content(value=document),),
            model=self.model,
            instruction=self.instruction,
            raw_scores=self.raw_scores,
            return_documents=False,
        )
