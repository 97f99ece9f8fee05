"""Which published prompt a folder's chat template is: compared as a whole, never run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import msgspec

from rerankd.core.errors import StartError
from rerankd.core.options import PromptName
from rerankd.models.folder_file import read_bytes, read_json, text_fault
from rerankd.models.prompt_recipes import RECIPES, Recipe
from rerankd.models.template_expression import (
    MAX_CHARACTERS,
    Form,
    Piece,
    Role,
    TextSlot,
    Unknown,
    merged,
)
from rerankd.models.template_form import template_forms

TEMPLATE: Final = "chat_template.jinja"
_MARKS: Final = {role: f"\0{role}\0" for role in ("system", "query", "document")}


def recipe_forms(recipe: Recipe) -> tuple[Form, Form]:
    """The same of a recipe, whose default instruction is fixed text of the first."""

    def written(instruction: str | None) -> Form:
        before, body, after = recipe.texts(_MARKS["query"], instruction)
        text = "".join((*before, body, _MARKS["document"], *after))
        pieces: list[Piece] = []
        for part in re.split(r"\0(system|query|document)\0", text):
            is_slot = len(pieces) % 2 == 1
            pieces.append(TextSlot(cast("Role", part)) if is_slot else part)
        return merged(tuple(pieces))

    return written(None), written(_MARKS["system"])


def known_prompt(
    source: str, *, adds_generation_prompt: bool = False
) -> tuple[PromptName, Recipe] | None:
    """The recipe, and its name, whose text a template makes of a pair; None = none of them.

    It is tokenised as a rendered template is: as one string, with no special token that the
    template does not write. A template that leaves the instruction out is that recipe's too.
    """
    try:
        forms = template_forms(source, adds_generation_prompt=adds_generation_prompt)
    except Unknown:
        return None
    has_bos = forms[0][:1] == (TextSlot("bos"),)
    plain, instructed = (form[1:] if form[:1] == (TextSlot("bos"),) else form for form in forms)
    for name, recipe in RECIPES.items():
        ours, with_instruction = recipe_forms(recipe)
        if ours == plain and instructed in (with_instruction, plain) and name != "plain":
            return name, replace(recipe.joined(), has_bos=has_bos)
    return None


class _TokenizerConfig(msgspec.Struct):
    chat_template: str | list[object] | None = None


def read_chat_template(folder: Path) -> tuple[str, str] | None:
    """A folder's chat template and the file that holds it; None = it has none.

    chat_template.jinja wins over tokenizer_config.json, as in transformers 5.

    Raises:
        StartError: a file is there and cannot be read.
    """
    path = folder / TEMPLATE
    if path.exists():
        data = read_bytes(path, 4 * MAX_CHARACTERS)
        fault = text_fault(data)
        if fault is not None:
            raise StartError(f"{path} {fault}; it is a text, as the model's publisher has it.")
        return data.decode("utf-8"), TEMPLATE
    path = folder / "tokenizer_config.json"
    found = read_json(path, _TokenizerConfig).chat_template if path.exists() else None
    return (found, path.name) if isinstance(found, str) else None
