"""The window of a model that reads a prompt: what of it query and instruction may take.

The template and the instruction may take three quarters of it together, and the query what that
leaves, three quarters at most; a document has the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rerankd.core.errors import InvalidRequest, QueryTooLong, StartError


@dataclass(frozen=True, slots=True)
class PromptWindow:
    """The longest row of one model."""

    model: str  # for errors
    tokens: int

    @property
    def most(self) -> int:
        """Tokens that the template with an instruction, or the query, may take: three quarters."""
        return self.tokens * 3 // 4

    def check_template(self, fixed: int) -> None:
        """Whether the prompt has room, with `fixed` tokens beside query and document.

        Raises:
            StartError: it has not.
        """
        if fixed > self.most:
            raise StartError(
                f"{self.model}: a window of {self.tokens} tokens is too small; the template alone "
                f"takes {fixed}, and may take three quarters of it at most."
            )

    def instruction_too_long(self, fixed: int, tokens: int) -> InvalidRequest:
        """The error of an instruction of so many tokens, which are part of `fixed` > most."""
        return InvalidRequest(
            f"instruction has {tokens} tokens; {self.model} takes at most "
            f"{self.most - (fixed - tokens)} (with its template, three quarters of its window of "
            f"{self.tokens}). Shorten the instruction.",
            param="instruction",
        )

    def query_limit(self, fixed: int) -> int:
        """Tokens that a text query may have beside `fixed` others."""
        return min(self.most, self.tokens - fixed - 1)

    def too_long(
        self, tokens: int, limit: int, *, what: str = "query", way_out: str = "Shorten the query."
    ) -> QueryTooLong:
        """The error of a query that has no room."""
        return QueryTooLong(
            f"{what} has {tokens} tokens; {self.model} takes at most {limit} (three quarters of "
            f"its window of {self.tokens}, less beside a long instruction). {way_out}",
            tokens=tokens,
            limit=limit,
        )


def window_tokens(
    folder: Path, wanted: int | None, *, recipe: int, positions: int, said: int | None
) -> int:
    """The longest row.

    Args:
        folder: of the checkpoint, for errors.
        wanted: by the operator or the catalog.
        recipe: what the published code reads, if nothing else is wanted.
        positions: of the model.
        said: by the tokenizer's files.

    Raises:
        StartError: it is over the model's positions.
    """
    window = wanted or min(recipe, positions, said or positions)
    if window > positions:
        raise StartError(
            f"{folder}: a window of {window} tokens is not possible; the model takes {positions}."
        )
    return window
