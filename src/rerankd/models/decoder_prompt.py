"""Which prompt a decoder's pairs are read with, and which of its outputs score: never guessed.

In this order: a name (the catalog's, or the operator's `prompt`), the folder's chat template, and
for a bare language model of an architecture with one known reranker, that one's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rerankd.core.errors import StartError
from rerankd.core.options import PromptName
from rerankd.models.chat_templates import known_prompt, read_chat_template
from rerankd.models.folder_file import shown
from rerankd.models.folder_word import MODULES, TRANSFORMER, FolderWord
from rerankd.models.logit_score import READER, Answers, Reading, read_answers, read_reading
from rerankd.models.prompt_recipes import BY_ARCHITECTURE, RECIPES, Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from rerankd.models.decoder_checkpoint import DecoderCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptWord:
    """What is said about a folder's prompt beside its chat template."""

    recipe: PromptName | None = None  # its name, by the catalog or the operator
    logit_score: Path | None = None  # the LogitScore module's folder, if modules.json has one
    default_instruction: str | None = None  # that the folder's settings put before every query


NOTHING_SAID = PromptWord()


def prompt_word(word: FolderWord, recipe: PromptName | None, *, follows_folder: bool) -> PromptWord:
    """What is said of a folder.

    Args:
        word: its own files.
        recipe: a prompt's name, by the catalog or the operator.
        follows_folder: whether its LogitScore and default prompt count; a catalog name has its
            card's.

    Raises:
        StartError: modules.json has other modules than a Transformer and a LogitScore.
    """
    path = word.folder / MODULES
    heads = [module for module in word.modules if module.kind != TRANSFORMER]
    kinds = [module.kind for module in word.modules]
    if heads and kinds != [TRANSFORMER, "LogitScore"]:
        names = shown(", ".join(kinds))[1:-1]
        raise StartError(
            f"{path}: a decoder of the modules {names}; rerankd serves Transformer and LogitScore."
        )
    parts = PurePosixPath(heads[0].path).parts if heads else ()
    if heads and (len(parts) != 1 or parts[0] in ("/", "..") or "\\" in heads[0].path):
        raise StartError(f"{path}: {shown(heads[0].path)} is not a folder beside it.")
    return PromptWord(
        recipe=recipe,
        logit_score=word.folder / parts[0] if parts and follows_folder else None,
        default_instruction=word.settings.default_prompt if follows_folder else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPrompt:
    """How one folder's pairs become rows and a logit."""

    name: PromptName  # of the recipe
    recipe: Recipe
    answers: Answers  # rows of the head
    logit: str  # what it is, in words
    window_tokens: int | None  # that the folder's own reader is limited to


def decoder_prompt(checkpoint: DecoderCheckpoint, said: PromptWord) -> DecoderPrompt:
    """Decide.

    Raises:
        StartError: the folder does not say it, or says what the recipe does not.
    """
    folder, config = checkpoint.folder, checkpoint.config
    reading = read_reading(folder)
    name, recipe = _recipe(checkpoint, said, reading)
    if said.default_instruction is not None:
        recipe = replace(recipe, default_instruction=said.default_instruction)
    logit = RECIPES["plain"].logit
    if config.labels:
        relevant = checkpoint.relevant if config.labels > 1 else 0
        answers = Answers(relevant, 1 - relevant if config.labels > 1 else None)
    else:
        check_specials(checkpoint.tokenizer, recipe, folder)
        answers, logit = _answers(checkpoint, name, recipe, said.logit_score)
    return DecoderPrompt(
        name=name,
        recipe=recipe,
        answers=answers,
        logit=logit,
        window_tokens=reading.window_tokens,
    )


def _recipe(
    checkpoint: DecoderCheckpoint, said: PromptWord, reading: Reading
) -> tuple[PromptName, Recipe]:
    folder, config = checkpoint.folder, checkpoint.config
    if said.recipe is not None:
        return said.recipe, RECIPES[said.recipe]
    template = read_chat_template(folder)
    if template is not None and reading.takes_template:
        text, _ = template
        known = known_prompt(text, adds_generation_prompt=reading.adds_generation_prompt)
        if known is not None:
            return known
    by_architecture = BY_ARCHITECTURE.get(config.architecture)
    is_bare = said.logit_score is None and (not config.labels or config.architecture == "llama")
    if is_bare and by_architecture is not None:
        return by_architecture, RECIPES[by_architecture]
    raise StartError(_unknown_prompt(checkpoint, template, reading))


def _unknown_prompt(
    checkpoint: DecoderCheckpoint, template: tuple[str, str] | None, reading: Reading
) -> str:
    """What to do with a folder that does not say with which prompt its pairs are read."""
    folder = checkpoint.folder
    if template is None:
        why = f"{folder} has no chat_template.jinja"
    elif not reading.takes_template:
        why = f"{folder / READER}: modality_config has no message, so that no template is used"
    else:
        why = f"{folder / template[1]}: the chat template makes none of the prompts known here"
    return (
        f"{why}, and under another prompt than it was trained with a decoder's scores mean "
        "nothing. Serve a model of the catalog under its published name (--model "
        'OWNER/NAME=FOLDER), or say the prompt: [model."NAME"] prompt = one of '
        f'{", ".join(RECIPES)} ("plain": the document '
        "behind the query, as sentence-transformers reads a classifier without a template)."
    )


def _answers(
    checkpoint: DecoderCheckpoint, name: PromptName, recipe: Recipe, logit_score: Path | None
) -> tuple[Answers, str]:
    """Token ids of the folder's LogitScore, else of the recipe; and what the logit is, in words.

    Raises:
        StartError: nobody says them, or an answer is not one token.
    """
    folder, tokenizer = checkpoint.folder, checkpoint.tokenizer
    if logit_score is not None:
        said = read_answers(logit_score, checkpoint.config.vocab)
        less = "" if said.no is None else f" minus that of token {said.no}"
        return said, f"the logit of token {said.yes}{less}"
    if recipe.yes is None:
        raise StartError(
            f"{folder}: the prompt {name!r} has no answer of its own, and no LogitScore module "
            "says which tokens score. Use the prompt that the model was trained with."
        )
    yes = answer_id(tokenizer, recipe.yes, folder)
    no = None if recipe.no is None else answer_id(tokenizer, recipe.no, folder)
    return Answers(yes, no), recipe.logit


def answer_id(tokenizer: Tokenizer, answer: str | int, folder: Path) -> int:
    """The id of an answer, which may be one already.

    Raises:
        StartError: it is not a single token.
    """
    if isinstance(answer, int):
        return answer
    ids = tokenizer.encode(answer, add_special_tokens=False).ids
    if len(ids) != 1:
        raise StartError(
            f"{folder}/tokenizer.json makes {len(ids)} tokens of {answer!r}, which a yes-or-no "
            "reranker answers with; the tokenizer belongs to another model."
        )
    return ids[0]


def check_specials(tokenizer: Tokenizer, recipe: Recipe, folder: Path) -> None:
    """The template's special tokens are tokens of their own, not text.

    Raises:
        StartError: one is not.
    """
    for special in recipe.specials:
        if len(tokenizer.encode(special, add_special_tokens=False).ids) != 1:
            raise StartError(
                f"{folder}/tokenizer.json has no token {special}, which the model's template is "
                "made of; the tokenizer belongs to another model."
            )
