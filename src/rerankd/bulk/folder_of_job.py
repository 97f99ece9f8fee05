"""A job's folder at its beginning and at its end."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from rerankd.bulk.manifest import Manifest, moved, read_manifest
from rerankd.bulk.output import OutputFolder
from rerankd.core.errors import StartError


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
    done = replace(
        manifest,
        state="complete",
        counts=folder.progress.counts,
        parts=tuple(path.name for path in folder.parts()),
    )
    done.write(folder)
    return done
