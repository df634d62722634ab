"""Plots, tables and page of a study of generators."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from crossrec.augment.generators.loop import Line
from crossrec.evaluation.report.figures import Plot, canvas, colour, marker, thin
from crossrec.studies.folder import write_page

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
    """Return a table of a space's generators and their figures."""
    shape = " x ".join(str(size) for size in space["shape"])
    first = space["generators"][0]
    table = Table(
        title=f"{space['name']} ({shape}): synthetic samples against {first['n_train']:,} training samples, "
        f"{first['n_held_back']:,} held out, {space['classes']} classes",
        caption="k = 5 neighbors; density and coverage of real samples are about 1 and 0.97. Copy ratio: "
        "about 1 or more for new samples, far below 1 for copies.",
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
    """Return a value with three decimals; empty if missing."""
    return "" if value is None else f"{value:.3f}"


MAX_POINTS = 200
SHOWN_LOSSES = {"distance", "critic", "generator", "reconstruction", "kl"}


def space_plots(space: Mapping[str, Any], logs: Mapping[str, Sequence[Line]]) -> list[Plot]:
    """Return all plots of one space."""
    plots = []
    checked = {name: [line for line in log if line["kind"] == "check"] for name, log in logs.items()}
    checked = {name: lines for name, lines in checked.items() if len(lines) > 1}
    if checked:
        plots += [_course(space["name"], figure, checked) for figure in ("coverage", "density")]
    plots += [_losses(space["name"], name, log) for name, log in logs.items()]
    terms = {row["type"]: row["report"]["kl_terms"] for row in space["generators"] if row["report"]}
    return [*plots, *(_terms(space["name"], name, values) for name, values in terms.items())]


def _course(space: str, figure: str, checked: Mapping[str, Sequence[Line]]) -> Plot:
    told = []
    with canvas(f"{space}-{figure}", height=3.2) as (axes, drawn):
        for place, (name, lines) in enumerate(checked.items()):
            at, values = ([float(line[key]) for line in lines] for key in ("step", figure))
            axes.plot(at, values, marker=marker(place), markersize=4, color=colour(place), label=name)
            told.append(f"{name} ends at {values[-1]:.3f}")
        axes.axhline(1.0, color=colour(7), linestyle="--", linewidth=1)
        axes.set(xlabel="step", ylabel=figure)
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    caption = "Averaged generator, compared with the training samples. Dashed: 1."
    return Plot(f"{space}: {figure}", caption, f"Line chart of {figure}: {'; '.join(told)}.", drawn[0])


def _losses(space: str, generator: str, log: Sequence[Line]) -> Plot:
    told = []
    with canvas(f"{space}-{generator}-losses", height=3.2) as (axes, drawn):
        names = [name for name in dict.fromkeys(key for line in log for key in line) if name in SHOWN_LOSSES]
        for place, name in enumerate(names):
            lines = [line for line in log if name in line]
            at, values = (np.asarray([float(line[key]) for line in lines]) for key in ("step", name))
            axes.plot(
                thin(at, MAX_POINTS), thin(values, MAX_POINTS), color=colour(place), linewidth=1.2, label=name
            )
            told.append(f"{name} ends at {values[-1]:.3g}")
        axes.set(xlabel="step", ylabel="loss")
        axes.legend(loc="best")
    return Plot(f"{space}: losses of {generator}", "As logged.", f"Line chart: {'; '.join(told)}.", drawn[0])


def _terms(space: str, generator: str, values: Sequence[float]) -> Plot:
    with canvas(f"{space}-{generator}-kl", height=3.2) as (axes, drawn):
        axes.bar(range(len(values)), values, color=colour(0))
        axes.set(xlabel="latent dimension, sorted by KL term", ylabel="KL term, nats")
    alt = f"Bar chart: {len(values)} terms from {max(values):.3f} down to {min(values):.3f} nats."
    return Plot(
        f"{space}: KL terms of {generator}",
        "Dimensions with terms near 0 carry no information.",
        alt,
        drawn[0],
    )


NEAR_ONE, ENOUGH = (0.8, 1.25), 0.8
"""Density that counts as near 1, and coverage that counts as enough."""


def write_report(
    path: Path,
    found: Mapping[str, Any],
    logs: Mapping[str, Mapping[str, Sequence[Line]]],
    grids: Mapping[str, bytes],
    config_text: str,
) -> None:
    """Write the study's page.

    Args:
        path: path of the file.
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
    write_page(path, "synthesis", content)


def learned(row: Mapping[str, Any]) -> bool:
    """Return whether a generator's samples cover the real ones at the density of real ones."""
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
