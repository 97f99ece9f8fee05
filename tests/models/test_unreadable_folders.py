"""What cannot be read is never called damaged; whatever a library raises ends a load in words."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.engines.fake import FakeEngine
from rerankd.models import load as loading
from rerankd.models.load import Spec, load, resolve
from rerankd.models.mini import read_config
from tests.checkpoints import bert, decoder
from tests.kit.support import BytesModel

WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": partial(bert.write, shape=bert.TINY_BERT),
    "qwen2": partial(decoder.write, shape=decoder.TINY_QWEN2),
    "qwen3": partial(decoder.write, shape=decoder.TINY_QWEN3),
}
NOBODY = 65534
FAILS = Path("/proc/self/mem")  # a regular file whose first byte is EIO, for every user


@contextlib.contextmanager
def not_as_root() -> Generator[None]:
    """Root reads everything: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(params=["bert", "qwen2", "qwen3"])
def folder(request: pytest.FixtureRequest) -> Generator[Path]:
    """A good folder that everybody may enter, loaded once: all imports are done."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        made = WRITERS[request.param](Path(parent) / "model")
        load(Spec(name="good", folder=made)).model.engine.close()
        yield made
        made.chmod(0o755)


def refused(folder: Path, who: contextlib.AbstractContextManager[None] | None = None) -> str:
    with who or not_as_root(), pytest.raises(StartError) as error:
        load(Spec(name="mine", folder=folder))
    said = str(error.value)
    assert "damaged" not in said
    assert "ownload" not in said
    return said


def read_files(folder: Path) -> list[Path]:
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "*.safetensors", "*.index.*"]
    return sorted({path for name in names for path in folder.glob(name)})


def test_a_file_of_another_user_is_named_with_the_permission_it_lacks(folder: Path) -> None:
    files = read_files(folder)
    assert len(files) >= 4
    for path in files:
        path.chmod(0)
        said = refused(folder)
        assert f"{path} cannot be read: permission denied" in said
        assert "chmod" in said
        path.chmod(0o644)


def test_a_folder_that_may_not_be_entered_is_named(folder: Path) -> None:
    folder.chmod(0)
    said = refused(folder)
    assert str(folder) in said
    assert "permission denied" in said


def test_a_device_that_fails_is_named(folder: Path) -> None:
    for path in read_files(folder):
        kept = path.rename(path.with_suffix(".kept"))
        path.symlink_to(FAILS)
        assert f"{path} cannot be read: Input/output error" in refused(
            folder, contextlib.nullcontext()
        )
        path.unlink()
        kept.rename(path)


def test_a_model_below_a_closed_folder_is_refused_in_words(folder: Path) -> None:
    folder.parent.chmod(0)
    try:
        with not_as_root(), pytest.raises(StartError, match=r"--model .*permission denied"):
            resolve(str(folder))
    finally:
        folder.parent.chmod(0o755)


class RustPanic(BaseException):
    """As pyo3's PanicException: no Exception."""


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (MemoryError(), "not enough memory"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (
            PermissionError(13, "Permission denied", "/x/y"),
            "/x/y cannot be read: permission denied",
        ),
        (OSError("cannot load libfoo.so"), "OSError: cannot load libfoo.so"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (RustPanic("index out of bounds"), "RustPanic: index out of bounds"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError("hidden"), r"KeyError: 'hidden' \(test_unreadable_folders.py:\d+\)"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("when", ["while it is opened", "while it is checked"])
def test_whatever_is_raised_becomes_a_cause(
    raised: BaseException, says: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(max_length=None)

    def raising(*_: object) -> None:
        raise raised

    def opened(*_: object) -> BytesModel:
        return BytesModel("mine", engine)

    if when == "while it is checked":
        monkeypatch.setattr(loading, "_open", opened)
        monkeypatch.setattr(loading, "self_check", raising)
    else:
        monkeypatch.setattr(loading, "_open", raising)
    with pytest.raises(StartError, match=f"Model mine cannot be loaded: .*{says}"):
        load(Spec(name="mine"))
    assert engine.closed == (when == "while it is checked")


def test_ctrl_c_stays_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "_open", raising)
    with pytest.raises(KeyboardInterrupt):
        load(Spec(name="mine"))


def test_what_ships_inside_is_installed_again_only_when_it_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="install rerankd again"):
        read_config(tmp_path)
    (tmp_path / "config.json").symlink_to(FAILS)
    with pytest.raises(StartError, match="Input/output error"):
        read_config(tmp_path)
