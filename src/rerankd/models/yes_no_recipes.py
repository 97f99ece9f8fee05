"""The published prompts of decoders that answer yes or no about a pair, as data.

Where a publisher shows several prompts for one model, the one of its transformers code counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A published prompt. Each part is tokenised apart, as published; {query} is put in by us.

    `{instruction}` stands for `instruction` with the caller's or the default instruction in it,
    or for nothing when there is neither. The document stands behind `body`, tokenised with it as
    one string.
    """

    before: tuple[str, ...]
    body: str
    after: tuple[str, ...]
    instruction: str
    default_instruction: str | None
    specials: tuple[str, ...]  # each must be one token, else the tokenizer is another model's
    yes: str
    no: str
    logit: str  # what it is, for the card
    shifts: Mapping[str, float] = field(default_factory=dict[str, float])  # of the sigmoid, by name

    def texts(self, query: str, instruction: str | None) -> tuple[list[str], str]:
        """`before` and `body` with a query and an instruction in them."""
        asked = instruction or self.default_instruction
        given = {
            "query": query,
            "instruction": self.instruction.format(asked) if asked else "",
        }
        return [part.format(**given) for part in self.before], self.body.format(**given)


# Source: https://github.com/QwenLM/Qwen3-Embedding, README and
# examples/qwen3_reranker_transformers.py. The vLLM example there differs; this is transformers'.
_QWEN3_SYSTEM = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
    'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
QWEN3 = Recipe(
    before=(_QWEN3_SYSTEM,),
    body="{instruction}<Query>: {query}\n<Document>: ",
    after=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
    instruction="<Instruct>: {}\n",
    default_instruction=(
        "Given a web search query, retrieve relevant passages that answer the query"
    ),
    specials=("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    yes="yes",
    no="no",
    logit='the logit of "yes" minus that of "no" (softmax over both)',
)

# Source: https://github.com/mixedbread-ai/mxbai-rerank, mxbai_rerank/mxbai_rerank_v2.py. Its window
# does not count the template; ours counts the whole row.
_MXBAI_SYSTEM = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n"
)
_MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. "
    "For each query-document pair, carefully analyze the semantic relationship between them, "
    "then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
    "Relevance:"
)
MXBAI_V2 = Recipe(
    before=(
        _MXBAI_SYSTEM,
        "{instruction}query: {query}",
        "\n",
    ),
    body="document: ",
    after=(
        "\n",
        _MXBAI_TASK,
        "<|im_end|>\n<|im_start|>assistant\n",
    ),
    instruction="instruction: {}\n",
    default_instruction=None,
    specials=("<|im_start|>", "<|im_end|>"),
    yes="1",
    no="0",
    logit='the logit of "1" minus that of "0"',
    # normalize=True: half of the largest logit that is expected of the model
    shifts={
        "mixedbread-ai/mxbai-rerank-base-v2": 4.5,
        "mixedbread-ai/mxbai-rerank-large-v2": 6.0,
    },
)

RECIPES = {"qwen3": QWEN3, "qwen2": MXBAI_V2}  # by architecture
