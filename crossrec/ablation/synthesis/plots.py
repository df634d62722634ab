"""The plots of a study of generators: how coverage and density came about, losses, KL terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crossrec.augment.synthesis.log import Line
from crossrec.evaluation.report.figures import Plot, canvas, colour, marker, thin

MAX_POINTS = 200
SHOWN_LOSSES = {"distance", "critic", "generator", "reconstruction", "kl"}


def space_plots(space: Mapping[str, Any], logs: Mapping[str, Sequence[Line]]) -> list[Plot]:
    """All plots of one space."""
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
    caption = "Of the averaged generator against the training samples. Dashed: 1."
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
        axes.set(xlabel="dimension of the code, by size", ylabel="KL term, nats")
    alt = f"Bar chart: {len(values)} terms from {max(values):.3f} down to {min(values):.3f} nats."
    return Plot(f"{space}: KL terms of {generator}", "Terms near 0 say nothing of the sample.", alt, drawn[0])
