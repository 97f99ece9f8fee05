"""Chat templates as fixed text and slots: what is read, what is known, what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.models.chat_templates import known_prompt, read_chat_template, recipe_forms
from rerankd.models.prompt_recipes import RECIPES
from rerankd.models.template_expression import MAX_CHARACTERS, TextSlot, Unknown
from rerankd.models.template_form import template_forms
from tests.checkpoints.logit_score import (
    CONTEXTUAL_TEMPLATE,
    MXBAI_TEMPLATE,
    QWEN3_TEMPLATE,
    ZERANK_TEMPLATE,
)

QUERY = "messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first"
DOCUMENT = "messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first"
ZERANK = (
    f"<|im_start|>system\n{{{{ {QUERY} }}}}<|im_end|>\n"
    f"<|im_start|>user\n{{{{ {DOCUMENT} }}}}<|im_end|>\n<|im_start|>assistant\n\n"
)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (QWEN3_TEMPLATE, "qwen3-reranker"),
        (ZERANK_TEMPLATE, "zerank"),
        (ZERANK, "zerank"),
        (MXBAI_TEMPLATE, "mxbai-v2"),
        (CONTEXTUAL_TEMPLATE, "contextual"),
        ("{{ bos_token }}" + CONTEXTUAL_TEMPLATE, "contextual"),
    ],
)
def test_a_published_prompt_is_known_however_it_is_written(template: str, name: str) -> None:
    known = known_prompt(template, adds_generation_prompt=True)
    assert known is not None
    assert known[0] == name
    assert known[1].is_joined
    assert known[1].has_bos is template.startswith("{{ bos_token }}")


@pytest.mark.parametrize(
    "template",
    [
        ZERANK.replace("system", "System"),
        ZERANK.replace("<|im_end|>\n<|im_start|>user", "<|im_end|><|im_start|>user"),
        ZERANK.removesuffix("\n"),  # a template's last newline is not written
        ZERANK.replace("'query'", "'question'"),
        ZERANK.replace("| first", "| last"),
        ZERANK.replace("| first", "| first | upper"),
        ZERANK.replace(QUERY, f"{QUERY} | trim"),
        ZERANK.replace(QUERY, "messages[0].content"),
        ZERANK + "{{ eos_token }}",
        ZERANK + "{% include 'x' %}",
        ZERANK + "{% if tools %}",
        "{% for message in messages %}{{ message.content }}{% endfor %}",
        "{% macro x() %}{% endmacro %}" + ZERANK,
        "{{ cycler.__init__.__globals__ }}" + ZERANK,
        ZERANK_TEMPLATE,  # without its generation prompt the answer has no place
        "plain text",
        "",
    ],
)
def test_anything_else_is_unknown(template: str) -> None:
    assert known_prompt(template) is None


def test_an_instruction_has_its_place_or_is_left_out() -> None:
    plain, instructed = template_forms(MXBAI_TEMPLATE)
    assert (plain, instructed) == recipe_forms(RECIPES["mxbai-v2"])
    assert TextSlot("system") in instructed
    assert TextSlot("system") not in plain
    assert template_forms(ZERANK)[0] == template_forms(ZERANK)[1]


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 3000 + "'a'" + ")" * 3000 + " }}",
        "{{ " + "not " * 3000 + "x }}",
        "{% if x %}" * 3000,
        "{% for a in messages %}" * 12 + "x" + "{% endfor %}" * 12,
        "{% set x = 'a' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
        "x" * (MAX_CHARACTERS + 1),
        "{{" * (MAX_CHARACTERS // 2),  # half a minute, were each searched to the end
    ],
    ids=["parentheses", "nots", "ifs", "loops", "doubled", "long", "no-ends"],
)
def test_no_template_takes_long(template: str) -> None:
    with pytest.raises(Unknown):
        template_forms(template)


def test_a_folders_template_is_its_own_file_before_its_tokenizers(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "b"}')
    assert read_chat_template(tmp_path) == ("b", "tokenizer_config.json")
    (tmp_path / "chat_template.jinja").write_text("a")
    assert read_chat_template(tmp_path) == ("a", "chat_template.jinja")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\x00\x01")
    with pytest.raises(StartError, match=r"chat_template\.jinja is not UTF-8"):
        read_chat_template(tmp_path)
