"""Floors: what the reference of a quality report must reach on each set, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from rerankd.core.errors import StartError
from rerankd.measure.evaluation import Report, Table

Percent = Annotated[float, Meta(ge=0, le=100)]


class Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One floor of the report's first measure, in percent: a number, or other systems' result."""

    sets: tuple[str, ...] = ()  # none = every set
    at_least: Percent | None = None
    over: tuple[str, ...] = ()  # the best of these systems
    margin: float = 0.0  # points added to `over`; below 0: so much less will do
    goal: Percent | None = None  # more than the floor: shown, never missed


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    floor: Annotated[tuple[Floor, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One floor on one set, in percent, not rounded."""

    set: str
    floor: Floor
    found: float
    wanted: float

    @property
    def holds(self) -> bool:
        """Whether the set is at the floor or above."""
        return self.found >= self.wanted


def read_floors(path: Path) -> tuple[Floor, ...]:
    """The floors of a TOML file, `[[floor]]` each.

    Raises:
        StartError: it is missing, not TOML, or a floor names both or neither of at_least and over.
    """
    try:
        floors = msgspec.toml.decode(path.read_bytes(), type=_File).floor
    except OSError as error:
        raise StartError(f"--floors {path}: {error.strerror}.") from None
    except msgspec.MsgspecError as error:
        raise StartError(f"--floors {path}: {error}.") from None
    for number, floor in enumerate(floors, 1):
        if (floor.at_least is None) == (not floor.over):
            raise StartError(
                f"--floors {path}: floor {number} needs either at_least or over, not both."
            )
    return floors


def check_systems(floors: Sequence[Floor], systems: Sequence[str]) -> None:
    """Refuse floors over systems that are not measured, before anything works for minutes.

    Raises:
        StartError: it names the system.
    """
    for floor in floors:
        for system in floor.over:
            if system not in systems:
                raise StartError(
                    f"--floors: {system} is not measured. Measured: {', '.join(systems)}."
                )


def verdicts(report: Report, floors: Sequence[Floor]) -> Iterator[Verdict]:
    """Every floor on every measured set that it is of, set by set."""
    for table in report.sets:
        for floor in floors:
            if not floor.sets or table.name in floor.sets:
                wanted = floor.at_least
                if wanted is None:
                    wanted = max(_percent(report, table, name) for name in floor.over)
                    wanted += floor.margin
                found = _percent(report, table, report.reference)
                yield Verdict(set=table.name, floor=floor, found=found, wanted=wanted)


def _percent(report: Report, table: Table, system: str) -> float:
    return 100 * table.systems[system][report.measures[0]].mean
