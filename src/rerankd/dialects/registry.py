"""All served dialects, found by looking into this folder: a new file is a new dialect.

A module with `DIALECT` (or `DIALECTS`, for a provider with several formats) is one; others help.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from rerankd import dialects
from rerankd.core.errors import StartError
from rerankd.dialects.base import AnyEndpoint, Dialect, Mark, Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path and who may be meant there: the marked ones in order, else the default."""

    path: str
    default: AnyEndpoint
    marked: tuple[tuple[Mark, AnyEndpoint], ...] = ()

    @property
    def served(self) -> tuple[AnyEndpoint, ...]:
        """All, the default first."""
        return tuple(dict.fromkeys((self.default, *(found for _, found in self.marked))))

    def by_headers(self, headers: Mapping[str, str]) -> AnyEndpoint:
        """Who renders what is refused before the body is read."""
        return self._choose(headers, None)

    def by_body(self, headers: Mapping[str, str], raw: bytes) -> AnyEndpoint:
        """Who is meant. A body that two dialects mark as theirs is the default's."""
        if not self.marked:
            return self.default
        try:
            keys = msgspec.json.decode(
                raw.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw]
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.by_headers(headers)  # which says what is wrong with it
        return self._choose(headers, frozenset(keys))

    def _choose(self, headers: Mapping[str, str], keys: frozenset[str] | None) -> AnyEndpoint:
        found = {served.name: served for mark, served in self.marked if mark.holds(headers, keys)}
        return next(iter(found.values())) if len(found) == 1 else self.default


class Registry:
    """Dialects, their routes and their probes.

    Raises:
        StartError: two dialects claim one path or name, or none speaks for the root.
    """

    def __init__(self, served: Iterable[AnyEndpoint]) -> None:
        self.served = tuple(served)
        names = [found.name for found in self.served]
        if len(set(names)) < len(names):
            raise StartError(f"dialects: two have the same name: {', '.join(sorted(names))}.")
        roots = [found for found in self.served if found.prefix is None]
        if len(roots) != 1:
            raise StartError("dialects: exactly one must have prefix None, for the root.")
        self.root = roots[0]
        self.routes = tuple(self._routes())
        self.probes = tuple(
            (path, probe, found)
            for found in self.served
            for probe in found.probes
            for path in _probe_paths(found, probe)
        )
        self._patterns = [(_pattern(route.path), route) for route in self.routes]

    @property
    def prefixes(self) -> Mapping[str, AnyEndpoint]:
        """Prefix -> the first dialect that has it: who speaks for unknown paths below it."""
        found: dict[str, AnyEndpoint] = {}
        for served in self.served:
            if served.prefix is not None:
                found.setdefault(served.prefix, served)
        return found

    def speaker(self, path: str, headers: Mapping[str, str]) -> AnyEndpoint:
        """Who renders an error at a path, known or not, from path and headers alone."""
        for pattern, route in self._patterns:
            if pattern.fullmatch(path.rstrip("/")):
                return route.by_headers(headers)
        return self.prefixes.get(path.strip("/").split("/")[0], self.root)

    def _routes(self) -> Iterable[Route]:
        owners: dict[str, AnyEndpoint] = {}
        for found in self.served:
            for path in found.own_paths():
                if path in owners:
                    raise StartError(
                        f"dialects: {path} is claimed by {owners[path].name} and {found.name}."
                    )
                owners[path] = found
        marks: dict[str, list[tuple[Mark, AnyEndpoint]]] = {}
        for found in self.served:
            for mark in found.marks:
                for path in mark.paths:
                    if path not in owners:
                        raise StartError(f"dialects: nobody has {path}, which {found.name} marks.")
                    marks.setdefault(path, []).append((mark, found))
        for path, owner in owners.items():
            yield Route(path=path, default=owner, marked=tuple(marks.get(path, ())))


def discover() -> Registry:
    """The dialects of this folder, a file's together, in the order of names. Raises StartError."""
    found: list[tuple[AnyEndpoint, ...]] = []
    for module in pkgutil.iter_modules(dialects.__path__):
        if module.name == "registry":
            continue
        loaded = importlib.import_module(f"{dialects.__name__}.{module.name}")
        several: tuple[AnyEndpoint, ...] = getattr(loaded, "DIALECTS", ())
        single: AnyEndpoint | None = getattr(loaded, "DIALECT", None)
        if together := several or ((single,) if single else ()):
            found.append(together)
    return Registry(each for together in sorted(found, key=_first_name) for each in together)


def _first_name(together: tuple[AnyEndpoint, ...]) -> str:
    return together[0].name


def _probe_paths(found: AnyEndpoint, probe: Probe) -> tuple[str, ...]:
    start = "" if found.prefix is None else f"/{found.prefix}"
    return (*(start + path for path in probe.paths), *probe.root)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", path)
    return re.compile(".+".join(re.escape(part) for part in parts))


SERVED = discover()
_SHORT: Mapping[str, str] = {"cohere": "cohere-v2"}  # names that mean the newest of several


def callable_dialects() -> dict[str, Dialect]:
    """Name -> dialect, of all whose provider can be called; those with a short name twice."""
    found = {each.name: each for each in SERVED.served if isinstance(each, Dialect)}
    return dict(sorted((found | {short: found[name] for short, name in _SHORT.items()}).items()))
