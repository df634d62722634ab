"""Report of cleaning: what was dropped, in which step, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Step:
    """One step of cleaning.

    Args:
        name: name of the step.
        unit: unit of the counts.
        before: number of rows before the step.
        dropped: number of dropped rows; 0 if it only counts.
        detail: reason, or what was counted; may be empty.
    """

    name: str
    unit: Literal["clicks", "items"]
    before: int
    dropped: int
    detail: str

    @property
    def remaining(self) -> int:
        """Rows after the step."""
        return self.before - self.dropped


@dataclass(frozen=True)
class CleaningReport:
    """All steps of cleaning, in order.

    Args:
        steps: steps of dropping or counting.
        warnings: doubts about the data as a whole, each with a remedy.
    """

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the steps as plain values, ready for JSON."""
        return {
            "steps": [
                {
                    "name": step.name,
                    "unit": step.unit,
                    "before": step.before,
                    "dropped": step.dropped,
                    "remaining": step.remaining,
                    "detail": step.detail,
                }
                for step in self.steps
            ],
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """Return a plain-text table, header first, one line per step."""
        rows = [("step", "unit", "before", "dropped", "remaining", "detail")]
        rows += [
            (s.name, s.unit, f"{s.before:,}", f"{s.dropped:,}", f"{s.remaining:,}", s.detail)
            for s in self.steps
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        right = {2, 3, 4}
        texts = []
        for row in rows:
            cells = [row[i].rjust(w) if i in right else row[i].ljust(w) for i, w in enumerate(widths)]
            texts.append("  ".join([*cells, row[5]]).rstrip())
        return texts

    def worst(self) -> Step:
        """Return the step that dropped the most clicks."""
        return max((step for step in self.steps if step.unit == "clicks"), key=lambda step: step.dropped)
