"""The names that models are asked for by, and which model answers each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rerankd.core.cascade import Cascade

ANY = "*"  # the alias that answers for every name that nothing else does


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Who answers what; changes only when other models are served."""

    models: tuple[str, ...] = ()  # their own names, default first
    folders: frozenset[str] = frozenset()  # of them: named after the folder they came from
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])  # name -> own name
    # name, or own name -> what stands before its model; None = nothing, whatever the model has
    cascades: Mapping[str, Cascade | None] = field(default_factory=dict[str, Cascade | None])

    def find(self, name: str | None) -> str | None:
        """The own name of the model that answers a requested name; None = nobody does.

        No name is the default. A name that is served, or else PUBLISHER/NAME for a folder that is
        served as NAME: the name of a folder says nothing of who published it. Or else what the
        alias `*` names, if the operator gave it.
        """
        if name is None:
            return self.models[0]
        target = self.aliases.get(name, name)
        if target in self.models:
            return target
        return self._of_any_publisher(name) or self.aliases.get(ANY)

    def is_served(self, name: str) -> bool:
        """Whether a name is one of ours as it stands: a model's, or an alias."""
        return name != ANY and (name in self.aliases or name in self.models)

    def is_stood_in_for(self, name: str | None) -> bool:
        """Whether a requested name is answered by the alias `*` alone."""
        if name is None or self.is_served(name) or ANY not in self.aliases:
            return False
        return self._of_any_publisher(name) is None

    def cascade(self, name: str | None) -> Cascade | None:
        """What stands before the model that answers a name; None = nothing.

        The name's own stages, else those of the model; a name may have none where the model has.
        """
        if name is not None and name in self.cascades:
            return self.cascades[name]
        return self.cascades.get(self.find(name) or "")

    def shown(self) -> dict[str, str]:
        """Every name that a list shows, and the model that answers: models first, then aliases."""
        roots = {name: name for name in self.models} | dict(self.aliases)
        roots.pop(ANY, None)  # answers, but is no name
        return roots

    def _of_any_publisher(self, name: str) -> str | None:
        """The folder whose name a publisher's model has; never another publisher's model."""
        publisher, _, base = name.rpartition("/")
        return base if publisher and "/" not in base and base in self.folders else None
