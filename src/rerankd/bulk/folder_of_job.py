"""A job's folder at its beginning and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec.structs import replace

from rerankd.bulk.lines import RankingLine
from rerankd.bulk.manifest import Manifest, moved, read_manifest
from rerankd.bulk.output import OutputFolder
from rerankd.core.errors import StartError
from rerankd.measure.trec import trec_run


def taken_up(
    folder: OutputFolder, now: Manifest, *, restart: bool, say: Callable[[str], None]
) -> Manifest:
    """Make a folder ready for a job: new, or where the same job left it; what is in force.

    Args:
        folder: where it writes.
        now: the job.
        restart: what an earlier one wrote is removed.
        say: told that the machine is another one.

    Raises:
        StartError: the folder holds something else, or another job's rows.
    """
    known = read_manifest(folder.path)
    if restart and known is not None:
        folder.clear()
        known = None
    if known is None:
        if not folder.is_empty():
            raise StartError(
                f"{folder.path} is not empty, and no job of rerankd began in it: it has no "
                "manifest.json. Name an empty or a new folder."
            )
        now.write(folder)
        folder.go_on()
        return now
    if different := known.differences(now):
        raise StartError(
            f"{folder.path} holds the rows of another job. {'; '.join(different)}. Name another "
            "folder, or remove these rows with --restart."
        )
    if known.state == "unfinished" and (other := moved(known, now)):
        say(f"Another machine than before, last digits of scores may differ: {'; '.join(other)}.")
    if known.state == "unfinished":
        folder.go_on()
    return known


def finished(folder: OutputFolder, manifest: Manifest) -> Manifest:
    """All rows are written: the last part gets its name, the manifest says so."""
    folder.finish()
    if manifest.kind in ("run", "collection"):
        tag = manifest.scorer.get("model", "rerankd")
        folder.write("run.trec", lambda file: _write_run(folder.parts(), file, tag))
    done = replace(
        manifest,
        state="complete",
        counts=folder.progress.counts,
        parts=tuple(path.name for path in folder.parts()),
    )
    done.write(folder)
    return done


def _write_run(parts: Sequence[Path], file: IO[bytes], tag: str) -> None:
    """All rankings of the parts in TREC's form. Raises StartError: an id has a blank."""
    decode = msgspec.json.Decoder(RankingLine).decode
    for part in parts:
        with part.open("rb") as lines:
            for line in lines:
                found = decode(line)
                ranked = [(str(each.id), each.relevance_score) for each in found.results]
                file.write(trec_run(str(found.id), ranked, tag).encode())
