"""Where a store may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.store.filesystem import network_type

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/far rw shared:9 - nfs4 server:/export rw
31 30 8:2 / /mnt/far/near rw - xfs /dev/sdb rw
32 22 0:41 / /mnt/two\040words rw - cifs //server/share rw
33 22 8:3 / /mnt/hidden rw - nfs server:/x rw
34 33 8:4 / /mnt/hidden rw - ext4 /dev/sdc rw
35 22 0:42 / /mnt/user rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib", ""),
        ("/mnt/far", "nfs4"),
        ("/mnt/far/deep/down", "nfs4"),
        ("/mnt/far/near/x", ""),
        ("/mnt/farther", ""),
        ("/mnt/two words/x", "cifs"),
        ("/mnt/hidden/x", ""),
        ("/mnt/user", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder(folder: str, kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_type(Path(folder), mounts) == kind


def test_where_the_kernel_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert network_type(tmp_path, tmp_path / "none") == ""
