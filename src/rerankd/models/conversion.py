"""How a folder of another form becomes one that is read: one command, as a sentence around it.

A command is shown with the folder in it and is never run here. `python` is one with the libraries
that the sentence names; rerankd itself needs none of them.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from rerankd.models.folder_file import INDEX, SINGLE

# What transformers can make tokenizer.json of; of nothing, it makes a tokenizer of five tokens.
_VOCABULARIES: Final = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)
_PEFT_CLASSES: Final = {  # by the adapter's task_type
    "SEQ_CLS": "SequenceClassification",
    "CAUSAL_LM": "CausalLM",
    "FEATURE_EXTRACTION": "FeatureExtraction",
}
_BASE: Final = "m.peft_config['default'].base_model_name_or_path"
# Adapters that are no change of the weights, so that nothing can be merged.
_UNMERGEABLE: Final = (
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT"),
    "ADAPTION_PROMPT",
)


def how_to_convert(folder: Path, sentence_class: str | None = None) -> str:
    """Weights and tokenizer in the form that is read.

    Args:
        folder: of the model.
        sentence_class: that of sentence-transformers which reads a folder of several modules.
    """
    if sentence_class is not None:
        code = f"import sentence_transformers as s; {_both(folder, 'converted')}"
        code += f"s.{sentence_class}(a, device='cpu').save_pretrained(b)"
        return f"With sentence-transformers: {_python(code)}"
    code = (
        f"import transformers as t; {_both(folder, 'converted')}"
        "getattr(t, t.AutoConfig.from_pretrained(a).architectures[0]).from_pretrained(a)"
        ".save_pretrained(b); t.AutoTokenizer.from_pretrained(a).save_pretrained(b)"
    )
    if _has_vocabulary(folder):
        return f"With transformers and torch: {_python(code)}"
    return (
        "First put the publisher's tokenizer files there: the folder has none "
        f"({', '.join(_VOCABULARIES)}). Then, with transformers and torch: {_python(code)}"
    )


def how_to_convert_state(folder: Path, name: str) -> str:
    """The tensors of a training loop's own file, under the names that they have there."""
    code = (
        "import torch; from safetensors.torch import save_file; "
        f"a = {str(folder)!r}; "
        f"d = torch.load(a + {f'/{name}'!r}, map_location='cpu', weights_only=True); "
        "d = d.get('state_dict', d.get('model', d)); "
        "save_file({k: v.contiguous().clone() for k, v in d.items()}, "
        f"a + '/{SINGLE}', {{'format': 'pt'}})"
    )
    return f"With torch: {_python(code)}"


def how_to_merge(folder: Path, adapter: str, task: str | None, labels: int | None) -> str:
    """An adapter and the model that it changes, as one model.

    Args:
        folder: of the adapter.
        adapter: its kind, as PEFT calls it: "LORA".
        task: of the model, as PEFT calls it: "SEQ_CLS".
        labels: of its head, where the adapter has one.
    """
    if adapter in _UNMERGEABLE:
        return "It cannot be merged into the model's weights, and is not served."
    head = _PEFT_CLASSES.get(task or "", "SequenceClassification")
    asked = f", num_labels={labels}" if labels is not None and task == "SEQ_CLS" else ""
    code = (
        f"import peft, transformers as t; {_both(folder, 'merged')}"
        f"m = peft.AutoPeftModelFor{head}.from_pretrained(a{asked}); "
        "m.merge_and_unload().save_pretrained(b); "
        f"t.AutoTokenizer.from_pretrained({'a' if _has_vocabulary(folder) else _BASE})"
        ".save_pretrained(b)"
    )
    return f"Merge the adapter, with peft, transformers and torch: {_python(code)}"


def how_to_strip(folder: Path, prefix: str) -> str:
    """Tensors without what a wrapper put before their names."""
    code = (
        "import glob, os, shutil; from safetensors.torch import load_file, save_file; "
        f"{_both(folder, 'stripped')}shutil.copytree(a, b); "
        f"[save_file({{k.removeprefix({prefix!r}): v for k, v in load_file(f).items()}}, "
        "os.path.join(b, os.path.basename(f)), {'format': 'pt'}) "
        "for f in glob.glob(a + '/*.safetensors')]"
    )
    if (folder / INDEX).is_file():
        code += f"; {_index_code('b')}"
    return f"With torch: {_python(code)}"


def how_to_index(folder: Path) -> str:
    """The index of weights that lie in several files."""
    code = f"a = {str(folder)!r}; " + _index_code("a")
    return f"Write it: {_python(code)}"


def how_to_link(folder: Path, there: str, wanted: str) -> str:
    """A file under the name that is looked for."""
    return f"Give it that name: ln -s {shlex.quote(there)} {shlex.quote(str(folder / wanted))}"


def how_to_download(repository: str | None, why: str = "") -> str:
    """The model's own weights, as its publisher has them."""
    if repository is None:
        return f"Get the checkpoint{why}: rerankd pull OWNER/NAME"
    return f"Get the checkpoint{why}, by its README.md: rerankd pull {repository}"


def how_to_serve(folder: Path) -> str:
    """The folder that was meant."""
    return f"Serve that: rerankd serve --model {shlex.quote(str(folder))}"


def _index_code(at: str) -> str:
    """Python that writes the index of the folder whose path is in a variable."""
    return (
        "import glob, json, os; from safetensors import safe_open; "
        f"w = {{k: os.path.basename(f) for f in glob.glob({at} + '/*-of-*.safetensors') "
        "for k in safe_open(f, 'np').keys()}; "
        f"open({at} + '/{INDEX}', 'w').write(json.dumps({{'metadata': {{}}, 'weight_map': w}}))"
    )


def _both(folder: Path, suffix: str) -> str:
    """The folder, and the one that is written beside it."""
    return f"a = {str(folder)!r}; b = {f'{folder}-{suffix}'!r}; "


def _has_vocabulary(folder: Path) -> bool:
    return any((folder / name).exists() for name in _VOCABULARIES)


def _python(code: str) -> str:
    plain = not any(char in code for char in '"$`\\!')
    return f'python -c "{code}"' if plain else f"python -c {shlex.quote(code)}"
