"""What the system says of memory, in files as Linux writes them; elsewhere nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.core.facts import Memory
from rerankd.engines.memory import MemoryMeter, memory, rounded

GB = 1_000_000_000


def system(folder: Path, *, limit: str | None = None, used: int = 0, droppable: int = 0) -> Memory:
    """Of a machine with 2 GB to give, and a container."""
    proc, cgroup = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    cgroup.mkdir()
    (proc / "self" / "statm").write_text("5000 1000 300 1 0 900 0\n")
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1953125 kB\nCached: 7 kB\n")
    if limit is not None:
        (cgroup / "memory.max").write_text(f"{limit}\n")
        (cgroup / "memory.current").write_text(f"{used}\n")
        (cgroup / "memory.stat").write_text(f"anon 5\ninactive_file {droppable}\nfile 3\n")
    return memory(proc, cgroup)


def test_a_machine_without_a_limit(tmp_path: Path) -> None:
    found = system(tmp_path, limit="max")
    assert found.available_bytes == 2 * GB
    assert found.resident_bytes is not None
    assert found.resident_bytes % 1000 == 0


@pytest.mark.parametrize(
    ("used", "droppable", "left"),
    [(GB // 2, 0, GB // 2), (GB, GB // 4, GB // 4), (GB + 5, 0, 0)],
    ids=str,
)
def test_a_container_has_what_is_left_of_its_limit(
    used: int, droppable: int, left: int, tmp_path: Path
) -> None:
    found = system(tmp_path, limit=str(GB), used=used, droppable=droppable)
    assert found.available_bytes == left


def test_a_limit_above_what_the_machine_has_is_none(tmp_path: Path) -> None:
    assert system(tmp_path, limit=str(9 * GB)).available_bytes == 2 * GB


def test_elsewhere_nothing_is_known(tmp_path: Path) -> None:
    assert memory(tmp_path, tmp_path) == Memory()


def test_rounded_it_stays_the_same_while_little_changes() -> None:
    found = rounded(Memory(resident_bytes=123_456_789, available_bytes=4_567_890_123))
    assert found == Memory(resident_bytes=120_000_000, available_bytes=4_600_000_000)
    assert rounded(Memory()) == Memory()


def test_memory_that_is_given_back_is_seen() -> None:
    held = bytearray(b"x") * 100_000_000
    meter = MemoryMeter()
    del held
    found = meter.end()
    assert found is not None
    assert 90_000_000 < found.before_bytes - found.after_bytes < 200_000_000
