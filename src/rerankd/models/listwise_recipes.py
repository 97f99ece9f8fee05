"""Prompts that hold a whole list of documents: jina-reranker-v3 and v3.5. Pure.

Source of v3: modeling.py of jinaai/jina-reranker-v3. The code of v3.5 was not seen: its prompt and
limits are those that three ports agree on (docs/models/jina-reranker-v3.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DOCUMENT_MARK: Final = "<|embed_token|>"  # its state is the document's
QUERY_MARK: Final = "<|rerank_token|>"  # the last one's state is the query's
BLOCK_DOCUMENTS: Final = 125
SPECIALS: Final = ("<|im_start|>", "<|im_end|>", DOCUMENT_MARK, QUERY_MARK)

START: Final = (
    "<|im_start|>system\n"
    "You are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is depends "
    "on how well it answers the question. If not, try to analyze the intent of the query and "
    "assess how well each passage satisfies the intent. If an instruction is provided, you should "
    "follow the instruction when determining the ranking.<|im_end|>\n<|im_start|>user\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseRecipe:
    """One model's prompt, and how its documents are put into blocks."""

    name: str
    query_tokens: int  # that are read at most
    document_tokens: int
    removed: tuple[str, ...]  # from texts: marks that nobody else may set
    header_mark: bool = False  # whether the query's mark stands behind the header too
    # A block is full once its documents have max_length - queries * query - spare tokens.
    queries: int
    spare: int

    def is_full(self, documents: int, tokens: int, query: int, max_length: int) -> bool:
        """Whether a block takes no more documents.

        Args:
            documents: that it has.
            tokens: of these.
            query: tokens of the query.
            max_length: of the tokenizer.
        """
        limit = max_length - self.queries * query - self.spare
        return documents >= BLOCK_DOCUMENTS or tokens >= limit

    def stripped(self, text: str) -> str:
        """A text without marks, also those that come about as others are taken out."""
        while any(mark in text for mark in self.removed):
            for mark in self.removed:
                text = text.replace(mark, "")
        return text

    def prompt(self, query: str, documents: Sequence[str], instruction: str | None) -> str:
        """The prompt up to the last place that is read; what stands behind it changes no state."""
        query = self.stripped(query)
        header = QUERY_MARK if self.header_mark else ""
        asked = f"<instruct>\n{self.stripped(instruction)}\n</instruct>\n" if instruction else ""
        passages = "\n".join(
            f'<passage id="{i}">\n{self.stripped(document)}{DOCUMENT_MARK}\n</passage>'
            for i, document in enumerate(documents)
        )
        return (
            f"{START}I will provide you with {len(documents)} passages, each indicated by a "
            "numerical identifier. Rank the passages based on their relevance to query: "
            f"{query}{header}\n{asked}{passages}\n<query>\n{query}{QUERY_MARK}"
        )


V3: Final = ListwiseRecipe(
    name="jina-v3",
    query_tokens=512,
    document_tokens=2048,
    removed=(QUERY_MARK, DOCUMENT_MARK),
    queries=2,
    spare=2048,
)
V3_5: Final = ListwiseRecipe(
    name="jina-v3.5",
    query_tokens=1984,
    document_tokens=8191,
    removed=(QUERY_MARK, DOCUMENT_MARK, "<|score_token|>"),
    header_mark=True,
    queries=1,
    spare=8192,
)


def blocks(
    recipe: ListwiseRecipe, lengths: Sequence[int], query: int, max_length: int
) -> list[tuple[int, int]]:
    """Documents [start, end) of each block, in order.

    Args:
        recipe: whose rule.
        lengths: tokens of each document, at least one.
        query: tokens of the query.
        max_length: of the tokenizer.
    """
    found: list[tuple[int, int]] = []
    start = tokens = 0
    for end, length in enumerate(lengths, start=1):
        tokens += length
        if recipe.is_full(end - start, tokens, query, max_length):
            found.append((start, end))
            start, tokens = end, 0
    if start < len(lengths):
        found.append((start, len(lengths)))
    return found
