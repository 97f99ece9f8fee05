"""What came of running a model in one precision, beside fp32: plain data, good for a model list."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rerankd.core.options import Precision


class PrecisionTrial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One precision that `auto` tried on this machine; figures where it was tried."""

    precision: Precision
    taken: bool
    pairs: int | None = None  # that were scored
    speed: float | None = None  # times fp32's
    spearman: float | None = None  # with fp32, mean over queries
    top_overlap: float | None = None  # share of fp32's ten best that are among its ten best
    max_difference: float | None = None  # of two logits of one pair
    spread: float | None = None  # standard deviation of fp32's logits
    reason: str | None = None  # why it was not taken

    @property
    def sentence(self) -> str:
        """For the operator, without the full stop."""
        said = f"{self.precision} {'taken' if self.taken else 'not taken'}"
        if self.spearman is not None:
            said += (
                f": {self.speed:.2f} × fp32's speed, Spearman {self.spearman:.4f}, same top 10 "
                f"{self.top_overlap:.3f}, max Δlogit {self.max_difference:.2g} (logits of standard "
                f"deviation {self.spread:.2g}, {self.pairs} pairs)"
            )
        return said if self.reason is None else f"{said}: {self.reason}"


def summary(trials: Sequence[PrecisionTrial]) -> tuple[str, ...]:
    """A sentence for each precision that was tried, the one that was taken first."""
    ordered = sorted(trials, key=lambda trial: not trial.taken)
    return tuple(f"auto: {trial.sentence}" for trial in ordered)
