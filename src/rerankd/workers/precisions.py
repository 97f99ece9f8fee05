"""One precision for all workers: what the first of them found for `precision = "auto"`.

Each would measure its own cores at its own moment, and scores would depend on who is asked.
"""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from rerankd.core.facts import BackendFacts
from rerankd.core.options import asked_precision
from rerankd.models.load import Spec
from rerankd.service.plan import ServingPlan


class Precisions:
    """What was found, by whom."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Spec, Spec, object]] = {}  # by name: as asked, as found, who

    def is_open(self, plan: ServingPlan) -> bool:
        """Whether a worker has to find one of a plan still."""
        return any(_is_auto(spec) and self._known(spec) is None for spec in plan.specs)

    def note(self, plan: ServingPlan, facts: BackendFacts | None, worker: object) -> None:
        """Take over what a worker has found that was open.

        Args:
            plan: that the worker serves.
            facts: as it tells them.
            worker: its process.
        """
        runs = {} if facts is None else {model.name: model.precision for model in facts.ready}
        for spec in plan.specs:
            if _is_auto(spec) and spec.name in runs and self._known(spec) is None:
                options = replace(spec.options, precision=runs[spec.name], quantization=None)
                found = dataclasses.replace(spec, options=options)
                self._found[spec.name] = (spec, found, worker)

    def plan_for(self, plan: ServingPlan, worker: object) -> ServingPlan:
        """The plan for a worker's process: as it is for who found it, else with what was found."""
        return dataclasses.replace(
            plan, specs=tuple(self._spec_for(spec, worker) for spec in plan.specs)
        )

    def _spec_for(self, spec: Spec, worker: object) -> Spec:
        known = self._known(spec)
        return spec if known is None or known[1] is worker else known[0]

    def _known(self, spec: Spec) -> tuple[Spec, object] | None:
        """As found, and by whom."""
        asked, found, worker = self._found.get(spec.name, (None, spec, None))
        return (found, worker) if asked == spec else None


def _is_auto(spec: Spec) -> bool:
    return asked_precision(spec.options) == "auto"
