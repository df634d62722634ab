"""The final table of a study of generators."""

from __future__ import annotations

from typing import Any

from rich.table import Table

COLUMNS = {
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "held_back_density": "density, held back",
    "held_back_coverage": "coverage, held back",
    "copy_ratio": "copy ratio",
    "copied_share": "copied share",
    "spread_within": "spread in class",
}
"""Figure -> heading."""
REAL = "real, half against half"


def quality_table(space: dict[str, Any]) -> Table:
    """A space's generators by figures."""
    shape = " x ".join(str(size) for size in space["shape"])
    first = space["generators"][0]
    table = Table(
        title=f"{space['name']} ({shape}): synthetic samples against {first['n_train']:,} training samples, "
        f"{first['n_held_back']:,} held back, {space['classes']} classes",
        caption="k = 5 neighbours; density and coverage of real samples are about 1 and .97. Copy ratio: "
        "about 1 or more is new, far below 1 is copied.",
    )
    table.add_column("generator")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    table.add_column("warnings")
    table.add_row(REAL, *(figure(space["real"].get(name)) for name in COLUMNS), "")
    for row in space["generators"]:
        table.add_row(
            row["type"], *(figure(row.get(name)) for name in COLUMNS), "\n".join(row["warnings"]) or "none"
        )
    return table


def figure(value: float | None) -> str:
    """Three decimals, or nothing where there is no value."""
    return "" if value is None else f"{value:.3f}"
