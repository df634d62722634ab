"""The page of a study of generators: one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossrec.ablation.synthesis.plots import space_plots
from crossrec.ablation.synthesis.tables import COLUMNS, REAL, figure
from crossrec.augment.synthesis.log import Line
from crossrec.evaluation.report.render import render
from crossrec.runtime.files import write_text

NEAR_ONE, ENOUGH = (0.8, 1.25), 0.8
"""Density that counts as near 1, and coverage that counts as enough."""


def write_page(
    path: Path,
    found: Mapping[str, Any],
    logs: Mapping[str, Mapping[str, Sequence[Line]]],
    grids: Mapping[str, bytes],
    config_text: str,
) -> None:
    """Writes the page, which needs neither a network nor JavaScript.

    Args:
        path: of the file.
        found: content of ``quality.json``.
        logs: space -> generator -> its log.
        grids: heading -> PNG.
        config_text: the resolved configuration.
    """
    content = {
        "found": found,
        "columns": list(COLUMNS.values()),
        "spaces": [_space(space, logs[space["name"]]) for space in found["spaces"]],
        "grids": [
            {"title": title, "data": base64.b64encode(data).decode("ascii")} for title, data in grids.items()
        ],
        "config_text": config_text,
    }
    write_text(path, render("crossrec.ablation.synthesis", "template.html", content))


def learned(row: Mapping[str, Any]) -> bool:
    """Whether a generator's samples cover the real ones at the density of real ones."""
    return bool(row["coverage"] > ENOUGH and NEAR_ONE[0] <= row["density"] <= NEAR_ONE[1])


def _space(space: Mapping[str, Any], logs: Mapping[str, Sequence[Line]]) -> dict[str, Any]:
    rows = [
        {"name": REAL, "cells": [figure(space["real"].get(c)) for c in COLUMNS], "note": "", "best": False}
    ]
    for row in space["generators"]:
        report = row["report"]
        collapsed = (
            f"{report['collapsed']:.0f} of {len(report['kl_terms'])} code dimensions unused" if report else ""
        )
        notes = [*row["warnings"], *([collapsed] if collapsed else [])]
        rows.append(
            {
                "name": row["type"],
                "cells": [figure(row.get(name)) for name in COLUMNS],
                "note": "; ".join(notes),
                "best": learned(row),
            }
        )
    first = space["generators"][0]
    return {
        "name": space["name"],
        "about": f"{first['n_train']:,} training samples, {first['n_held_back']:,} held back, "
        f"{space['classes']} classes, shape {space['shape']}",
        "rows": rows,
        "plots": space_plots(space, logs),
    }
