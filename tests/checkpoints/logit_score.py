"""Decoder folders as sentence-transformers writes rerankers: a chat template, LogitScore, prompts.

The templates are written for these tests, each in another way of saying the published prompt; those
of the publishers that were found are said where they stand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.checkpoints import decoder
from tests.checkpoints.decoder import TINY_GEMMA, TINY_MISTRAL, TINY_QWEN2, TINY_QWEN3, Shape

_OF = "messages | selectattr({0}role{0}, {0}eq{0}, {0}%s{0}) | map(attribute={0}content{0})"
_FIRST = _OF.format('"') + " | first"
_LIST = _OF.format("'") + " | list"

# Qwen/Qwen3-Reranker-0.6B's own, as a project quotes it "verbatim (741 chars)"
QWEN3_TEMPLATE = (
    "{%- set instruction = " + _FIRST % "system" + ' | default("Given a web search query, retrieve '
    'relevant passages that answer the query") -%}\n'
    "{%- set query_text = " + _FIRST % "query" + " -%}\n"
    "{%- set document_text = " + _FIRST % "document" + " -%}\n"
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: {{ instruction }}\n<Query>: {{ query_text }}\n"
    "<Document>: {{ document_text }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n\n"
)
# zeroentropy/zerank-2's query and document branch, in front of a branch for conversations
ZERANK_TEMPLATE = (
    "{%- set query = " + _LIST % "query" + " -%}\n"
    "{%- set document = " + _LIST % "document" + " -%}\n"
    "{%- if query and document -%}\n"
    "{{- '<|im_start|>system\\n' + (query | first) + '<|im_end|>\\n' -}}\n"
    "{{- '<|im_start|>user\\n' + (document | first) + '<|im_end|>\\n' -}}\n"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n"
    "{%- else -%}\n"
    "{%- if tools %}\n    {{- tools | tojson }}\n{%- endif %}\n"
    "{%- for message in messages %}\n    {{- message.content.split('x')[-1] }}\n{%- endfor %}\n"
    "{%- endif -%}\n"
)
MXBAI_TEMPLATE = (
    "{%- set instruction = " + _FIRST % "system" + " -%}\n"
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\n<|im_start|>user\n"
    "{% if instruction %}\ninstruction: {{ instruction }}\n{% endif %}\n"
    "query: {{ (messages | selectattr('role', 'eq', 'query') | first).content }}\n"
    "document: {{ (messages | selectattr('role', 'eq', 'document') | first)['content'] }}\n"
    "You are a search relevance expert who evaluates how well documents match search queries. For "
    "each query-document pair, carefully analyze the semantic relationship between them, then "
    "provide your binary relevance judgment (0 for not relevant, 1 for relevant).\n"
    "Relevance:<|im_end|>\n<|im_start|>assistant\n\n"
)
CONTEXTUAL_TEMPLATE = (
    "Check whether a given document contains information helpful to answer the query.\n"
    "{% for message in messages %}{% if message.role == 'document' %}\n"
    "<Document> {{ message.content }}\n"
    "{% endif %}{% endfor %}\n"
    "<Query> {{ " + _FIRST % "query" + " }}"
    "{% for message in messages %}{% if message['role'] == \"system\" %}{{ ' ' ~ message.content }}"
    "{% endif %}{% endfor %} ??"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A folder: a checkpoint and what stands beside it."""

    shape: Shape
    template: str | None
    true_token: int | None = None  # None = no LogitScore module
    false_token: int | None = None
    activation: str | None = None
    adds_generation_prompt: bool = False
    prompts: dict[str, str] = field(default_factory=dict[str, str])
    default_prompt: str | None = None
    has_bos: bool = False  # whether the tokenizer puts a first token before a text


QWEN3_ST = Form(
    shape=TINY_QWEN3,
    template=QWEN3_TEMPLATE,
    true_token=261,  # "yes", "no"
    false_token=260,
    activation="torch.nn.modules.linear.Identity",
)
LOGIT_SCORES = {
    "qwen3": QWEN3_ST,
    "r3": replace(
        QWEN3_ST,
        prompts={"skill": "Given a user request, retrieve the agent skill that solves it."},
        default_prompt="skill",
        activation=None,  # so that it is the sigmoid
    ),
    "zerank": Form(
        shape=TINY_QWEN3,
        template=ZERANK_TEMPLATE,
        true_token=59,
        activation="torch.nn.modules.linear.Identity",
        adds_generation_prompt=True,
    ),
    "mxbai": Form(shape=TINY_QWEN2, template=MXBAI_TEMPLATE, true_token=19, false_token=18),
    "contextual": Form(
        shape=replace(TINY_QWEN3, tied=False),
        template=CONTEXTUAL_TEMPLATE,
        true_token=0,
        activation="torch.nn.modules.linear.Identity",
    ),
    "contextual-mistral": Form(
        shape=TINY_MISTRAL,
        template="{{ bos_token }}" + CONTEXTUAL_TEMPLATE,
        true_token=0,
        activation="torch.nn.modules.linear.Identity",
        has_bos=True,
    ),
}
CLASSIFIERS = {
    "qwen3": Form(shape=replace(TINY_QWEN3, labels=1), template=QWEN3_TEMPLATE),
    "qwen2": Form(shape=replace(TINY_QWEN2, labels=1), template=MXBAI_TEMPLATE),
    "qwen2-pair": Form(shape=replace(TINY_QWEN2, labels=2), template=None),
    "qwen3-plain": Form(shape=replace(TINY_QWEN3, labels=1), template=None),
}


# Folders that say nothing of their prompt, by the catalog's name of it.
BARE = {"bge-gemma": TINY_GEMMA, "zerank": TINY_QWEN3, "contextual": TINY_MISTRAL}
NEMOTRON = Shape(  # the temperature and the stretched positions are in its config.json
    family="llama",
    hidden=48,
    layers=3,
    heads=6,
    kv_heads=2,
    head_dim=32,  # not hidden / heads; so many frequencies that some are kept, some divided
    intermediate=80,
    tied=False,
    positions=8192,
    labels=1,
)


def write_bare(folder: Path, name: str, shape: Shape | None = None) -> Path:
    """Write a folder of BARE: "Yes" is one token, and texts have a first one where they should."""
    decoder.write(folder, shape or BARE[name])
    path = folder / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"</think>"', '"Yes"'), encoding="utf-8")
    if name != "zerank":
        _open_texts(folder)
    return folder


def write_nemotron(folder: Path, shape: Shape = NEMOTRON, *, labels: int = 1) -> Path:
    """Write a folder as llama-nemotron-rerank-1b-v2 is."""
    decoder.write(folder, replace(shape, labels=labels))
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["rope_parameters"]
    _save(
        path,
        config
        | {
            "architectures": ["LlamaBidirectionalForSequenceClassification"],
            "model_type": "llama_bidirec",
            "auto_map": {"AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel"},
            "head_dim": shape.head_dim,
            "pooling": "avg",
            "temperature": 0.8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 32.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": shape.positions // 16,  # 8192 of 131072
            },
        },
    )
    _open_texts(folder)
    return folder


def write(folder: Path, form: Form) -> Path:
    """Write a folder."""
    decoder.write(folder, form.shape)
    module = "sentence_transformers.base.modules.transformer.Transformer"
    modules = [{"idx": 0, "name": "0", "path": "", "type": module}]
    if form.true_token is not None:
        kind = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
        modules.append({"idx": 1, "name": "1", "path": "1_LogitScore", "type": kind})
        (folder / "1_LogitScore").mkdir()
        _save(
            folder / "1_LogitScore" / "config.json",
            {"true_token_id": form.true_token, "false_token_id": form.false_token},
        )
    _save(folder / "sentence_bert_config.json", _reader(form))
    _save(folder / "modules.json", modules)
    if form.template is not None:
        (folder / "chat_template.jinja").write_text(form.template, encoding="utf-8")
    settings: dict[str, object] = {
        "model_type": "CrossEncoder",
        "prompts": form.prompts,
        "default_prompt_name": form.default_prompt,
    }
    if form.activation is not None:
        settings["activation_fn"] = form.activation
    _save(folder / "config_sentence_transformers.json", settings)
    if form.has_bos:
        _open_texts(folder)
    return folder


def _reader(form: Form) -> dict[str, object]:
    """sentence_bert_config.json as zerank-2 has it."""
    way = {"method": "forward", "method_output_name": "logits"}
    more = {"processing_kwargs": {"chat_template": {"add_generation_prompt": True}}}
    message = {} if form.template is None else {"message": {**way, "format": "flat"}}
    return {
        "transformer_task": "sequence-classification" if form.shape.labels else "text-generation",
        "modality_config": {"text": way, **message},
        "module_output_name": "scores" if form.shape.labels else "causal_logits",
        **(more if form.adds_generation_prompt else {}),
    }


def _open_texts(folder: Path) -> None:
    """The tokenizer puts <|endoftext|> before every text, and calls it its first token."""
    path = folder / "tokenizer.json"
    tokenizer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    first = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, texts[0]],
        "pair": [first, *texts],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    _save(path, json.loads(path.read_text(encoding="utf-8")) | {"bos_token": "<|endoftext|>"})


def _save(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
