"""What a model has too if it embeds: prompting of single texts, and what its vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.core.rows import PreparedTexts


@runtime_checkable
class Embedder(Protocol):
    """A Model whose engine is an engines.base.EmbeddingEngine."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        ...

    @property
    def is_unit(self) -> bool:
        """Whether its vectors are published with length 1."""
        ...

    @property
    def gives_raw(self) -> bool:
        """Whether the engine's vectors keep the length that the weights give them."""
        ...

    def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        """Turn texts into token rows: prompt, special tokens, cut at the end. Thread-safe.

        Args:
            request: what to embed.
            meter: told of every text's tokens as they are made.

        Raises:
            Abandoned: the meter was cancelled.
            InvalidRequest: a text would be cut and truncation is off, or a prompt is not known.
        """
        ...


def prompt_of(
    request: EmbedRequest, prompts: Mapping[str, str], default: str | None, model: str
) -> str:
    """What stands before each text; "" = nothing.

    Args:
        request: names the prompts that it may be.
        prompts: those of the model.
        default: the name of what stands there when nobody names one; None = nothing.
        model: its name.

    Raises:
        InvalidRequest: the caller insists on one that the model does not have.
    """
    standard = "" if default is None else prompts.get(default, "")
    for name in request.prompts:
        if name in prompts:
            return prompts[name]
    if request.prompts and request.needs_prompt:
        known = ", ".join(sorted(prompts)) or "none"
        raise InvalidRequest(
            f"prompt_name: {model} has no prompt of that name; it has: {known}. Leave it out for "
            "the default.",
            param="prompt_name",
        )
    # As sentence-transformers: a query or document without a prompt of its own has none.
    return "" if {"query", "document"} & set(request.prompts) else standard


def text_limit(request: EmbedRequest, window_tokens: int, around: int) -> int:
    """Tokens that a row may have: as many as the model reads, or max_tokens where that is less.

    Args:
        request: what to embed.
        window_tokens: what the model reads.
        around: of them, prompt and special tokens; at least one more is read.
    """
    asked = request.max_tokens
    return window_tokens if asked is None else min(window_tokens, max(asked, around + 1))


def cut_texts_warning(cut: int, texts: int, limit: int) -> tuple[str, ...]:
    """What the caller is told when texts were cut."""
    if not cut:
        return ()
    return (f"{cut} of {texts} texts were cut to {limit} tokens.",)


def too_long_text(name: str, limit: int, model: str) -> InvalidRequest:
    """The error of a text that would be cut where truncation is off."""
    return InvalidRequest(
        f"{name} has over {limit} tokens, prompt and special tokens included, which {model} does "
        "not read, and truncation is off. Shorten it, or let it be cut.",
        param=name.partition("[")[0],
    )
