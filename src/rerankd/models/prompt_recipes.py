"""The published prompts of decoders that score a pair by the logits of its next token, as data.

Where a publisher shows several prompts for one model, the one of its transformers code counts.
A folder's own prompt is its chat template, which is compared with these (models.chat_templates).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rerankd.core.options import PromptName


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A published prompt. Each part is tokenised apart, as published; {query} is put in by us.

    `{instruction}` stands for `instruction` with the caller's or the default instruction in it,
    or for nothing when there is neither. The document stands behind `body`, tokenised with it as
    one string; with `is_joined` so is everything, as a rendered chat template is.
    """

    before: tuple[str, ...]
    body: str
    after: tuple[str, ...]
    instruction: str
    default_instruction: str | None = None
    specials: tuple[str, ...] = ()  # each must be one token, else the tokenizer is another model's
    yes: str | int | None = None  # the answer, or its token id; None = only a classifier scores
    no: str | None = None  # None = the logit of `yes` alone
    wraps_query: str | None = None  # what becomes of the query where there is an instruction
    strips: bool = False  # query and document lose the white space around them
    is_joined: bool = False
    has_bos: bool = False  # with the special tokens that the tokenizer puts before a text
    logit: str = "the classifier's logit"  # what it is, for the card
    shifts: Mapping[str, float] = field(default_factory=dict[str, float])  # of the sigmoid, by name

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt has a place for one."""
        whole = (*self.before, self.body, *self.after)
        return self.wraps_query is not None or any("{instruction}" in part for part in whole)

    def texts(
        self, query: str, instruction: str | None
    ) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """`before`, `body` and `after` with a query and an instruction in them."""
        asked = instruction or self.default_instruction
        if asked and self.wraps_query:
            query = self.wraps_query.format(query=query, instruction=asked)
        given = {
            "query": query,
            "instruction": self.instruction.format(asked) if asked else "",
        }
        return (
            tuple(part.format(**given) for part in self.before),
            self.body.format(**given),
            tuple(part.format(**given) for part in self.after),
        )

    def joined(self) -> Recipe:
        """The same text tokenised as one string.

        What stands before the last special token in front of the document is still tokenised
        apart, which changes no token, so that it is done once per request.
        """
        before = "".join(self.before)
        whole = before + self.body
        at = max((whole.rfind(special) for special in self.specials), default=-1)
        cut = max(at, 0)
        return replace(
            self,
            before=(whole[:cut],) if cut else (),
            body=whole[cut:],
            after=("".join(self.after),),
            is_joined=True,
            strips=False,
        )


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
# Source: Xinference 4.1.0, model/rerank, for tencent/R3-rerank-0.6b: the prompt is Qwen3's.
R3 = replace(
    QWEN3,
    default_instruction="Given a user request, retrieve the agent skill that solves it.",
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

# Source: zeroentropy/zerank-1, -1-small and -2, modeling_zeranker.py: sigmoid(logit / 5). Its cuts
# of the query to 2000 and the document to 10,000 characters are not ours. The instruction is that
# of vLLM's zerank2.jinja.
ZERANK = Recipe(
    before=("<|im_start|>system\n{query}<|im_end|>\n",),
    body="<|im_start|>user\n",
    after=("<|im_end|>\n<|im_start|>assistant\n",),
    instruction="{}",
    wraps_query="<query>{query}</query>\n<instruction>{instruction}</instruction>",
    specials=("<|im_start|>", "<|im_end|>"),
    strips=True,
    yes="Yes",
    logit='the logit of "Yes"',
)

# Source: model cards of ContextualAI/ctxl-rerank-v2-instruct-multilingual-1b, -2b and -6b. The card
# rounds the logit to bfloat16; ours is not rounded. The published code cuts the whole prompt on the
# right, query and all; ours cuts the document.
CONTEXTUAL = Recipe(
    before=(),
    body=(
        "Check whether a given document contains information helpful to answer the query.\n"
        "<Document> "
    ),
    after=("\n<Query> {query}{instruction} ??",),
    instruction=" {}",
    has_bos=True,
    is_joined=True,
    yes=0,
    logit="the logit of the vocabulary's first token",
)

# Source: https://github.com/FlagOpen/FlagEmbedding, FlagLLMReranker (decoder_only/base.py).
BGE_GEMMA = Recipe(
    before=("A: {query}", "\n"),
    body="B: ",
    after=(
        "\n",
        "{instruction}",
    ),
    instruction="{}",
    default_instruction=(
        "Given a query A and a passage B, determine whether the passage contains an answer to the "
        "query by providing a prediction of either 'Yes' or 'No'."
    ),
    has_bos=True,
    yes="Yes",
    logit='the logit of "Yes"',
)

# Source: NeMo Automodel, llama_bidirectional; vLLM, nemotron-rerank.jinja. One string, no end.
NEMOTRON = Recipe(
    before=(),
    body="question:{query} \n \n passage:",
    after=(),
    instruction="",
    has_bos=True,
)

# As sentence-transformers reads a pair for a model without a chat template: one text behind the
# other, and a prompt before the query.
PLAIN = Recipe(
    before=("{instruction}{query}",),
    body="",
    after=(),
    instruction="{}",
)

RECIPES: Mapping[PromptName, Recipe] = {
    "qwen3-reranker": QWEN3,
    "r3": R3,
    "mxbai-v2": MXBAI_V2,
    "zerank": ZERANK,
    "contextual": CONTEXTUAL,
    "bge-gemma": BGE_GEMMA,
    "nemotron": NEMOTRON,
    "plain": PLAIN,
}

# Of a bare ...ForCausalLM, and of a class that only one reranker has.
BY_ARCHITECTURE: Mapping[str, PromptName] = {
    "qwen3": "qwen3-reranker",
    "qwen2": "mxbai-v2",
    "llama": "nemotron",
}
