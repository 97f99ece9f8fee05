"""Where files of the store may be: not on another machine, where locks cannot be trusted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre"),
        *("beegfs", "orangefs", "pvfs2", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"),
        *("fuse.rclone", "fuse.gcsfuse", "fuse.cephfs", "fuse.juicefs", "fuse.goofys"),
        *("fuse.mount-s3", "fuse.blobfuse2", "fuse.davfs2", "fuse.smbnetfs", "fuse.curlftpfs"),
    }
)
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")  # a blank in a mount's path is \040


def network_type(folder: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of network file system that a folder is on; "" = a local one, or not known.

    Args:
        folder: it, or its parents, may not be there yet.
        mounts: the kernel's list; only Linux has one.
    """
    try:
        text = mounts.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    path, best, kind = folder.resolve(), -1, ""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        point = Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), left.split()[4]))
        depth = len(point.parts)
        if depth >= best and path.is_relative_to(point):  # a later mount hides an earlier one
            best, kind = depth, right.split()[0]
    return kind if kind in _NETWORK else ""


def made_for_owner(file: Path) -> None:
    """Make a file that only its owner may read, if it is not there. Raises OSError."""
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
