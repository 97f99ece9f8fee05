"""Getting weights: the Hugging Face hub and its local cache, through the official client.

HF_ENDPOINT (mirrors), HF_TOKEN, HF_HOME and HF_HUB_OFFLINE are the client's own and are honoured.
Only configuration, tokenizer and safetensors are fetched: never a pickle, never code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rerankd.core.errors import StartError

_WANTED = (
    "config.json",
    "tokenizer*.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "modules.json",  # what sentence-transformers writes about scoring
    "*sentence*.json",
    "[0-9]*_*/config.json",  # its modules
    "chat_template.jinja",  # compared with known ones, never run
    "artifact.metadata",  # of ColBERT's first form
    "adapter_config.json",  # says that the weights are no whole model
    "README.md",  # names what a quantised one was made from
)
_UNWANTED = ("[!0-9]*/*", "*/*/*")  # exports for other runtimes live in sub-folders
_KINDS = ("config.json", "modules.json", "adapter_config.json")  # one of which each model has
_REPOSITORY = re.compile(r"(?!\.)[\w.-]+/[\w.-]+")  # ./x and ../x are folders


def looks_like_repository(name: str) -> bool:
    """Whether a name has the form owner/name."""
    return _REPOSITORY.fullmatch(name) is not None


def has_folder_for(repository: str) -> bool:
    """Whether the local cache has anything of a repository; quick, and no promise that all is."""
    from huggingface_hub import constants  # here: 0.2 s to import

    return Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}").is_dir()


def cached_folder(repository: str) -> Path:
    """The folder of a repository in the local cache; no network.

    Raises:
        StartError: it is not there; the message has the command that gets it.
    """
    import huggingface_hub  # here: 0.2 s to import
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = huggingface_hub.snapshot_download(  # pyright: ignore[reportUnknownMemberType] - tqdm has no types
            repository,
            local_files_only=True,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
        )
        folder = Path(found)
    except (LocalEntryNotFoundError, HFValidationError):
        folder = None
    if folder is None or not any((folder / name).is_file() for name in _KINDS):
        raise StartError(
            f"The weights of {repository} are not on this machine. "
            f"`rerankd pull {repository}` gets them; or give a folder: "
            f"`rerankd serve --model /path/to/{repository.partition('/')[2]}`."
        )
    return folder


Step = Callable[[int, int], None]  # told of what comes: bytes that are here, of how many


def pull(repository: str, step: Step = lambda _, __: None) -> Path:
    """Download a repository into the local cache; resumes, checks sums.

    Args:
        repository: owner/name.
        step: told how far it is, from several threads; what was here before counts too.

    Raises:
        StartError: no such repository, no access, or no network; the message says which.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not looks_like_repository(repository):
        raise StartError(f"{repository!r} is not a repository name: owner/name is expected.")
    try:
        path = huggingface_hub.snapshot_download(  # pyright: ignore[reportUnknownMemberType] - as above
            repository,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
            tqdm_class=_reporting(step),
        )
    except HFValidationError as error:
        raise StartError(f"{repository} is not a repository name: {error}") from None
    except LocalEntryNotFoundError as error:
        raise StartError(
            f"Cannot reach the hub for {repository}: {error}. Set HF_ENDPOINT for a mirror, or "
            "copy the folder here by hand and serve it with --model FOLDER."
        ) from None
    except HfHubHTTPError as error:
        raise StartError(f"The hub refused {repository}: {error}") from None
    return Path(path)


def _reporting(step: Step) -> Any:
    """A class of bars that draw nothing, not into pipes either, and report bytes."""
    from tqdm.auto import tqdm  # pyright: ignore[reportMissingModuleSource] - comes with the client

    class Reporting(tqdm):  # pyright: ignore[reportUnknownVariableType,reportMissingTypeArgument] - no types
        def __init__(self, *args: Any, **values: Any) -> None:
            # On the disk; of what comes over the wire the client has another, which is a guess.
            on_the_wire = str(values.get("desc")).startswith("Downloading")
            self.counts_bytes = values.get("unit") == "B" and not on_the_wire
            super().__init__(*args, **(values | {"disable": True}))  # pyright: ignore[reportUnknownMemberType]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self.counts_bytes and self.total:
                step(int(self.n), int(self.total))

    return Reporting  # pyright: ignore[reportUnknownVariableType]
