"""The plots of a matched pair: measures over list length, and differences by group of users."""

from __future__ import annotations

from collections.abc import Sequence

from crossrec.ablation.large_model.effect import SIDES, Effect
from crossrec.ablation.large_model.user_groups import EVERYBODY
from crossrec.evaluation.report.figures import INK, MUTED, Plot, canvas, colour, marker
from crossrec.evaluation.report.glossary import format_range, format_value, info


def curve(effects: Sequence[Effect], metric: str) -> Plot:
    """Both models' values of all users over the length of the lists."""
    found = sorted(
        (e for e in effects if e.metric == metric and e.group == EVERYBODY), key=lambda effect: effect.k
    )
    places = range(len(found))
    with canvas(f"curve-{metric}", height=3.0) as (axes, drawn):
        for index, side in enumerate(SIDES):
            values = [getattr(effect, side) for effect in found]
            axes.plot(places, values, marker=marker(index), color=colour(index), label=side)
        axes.set(xlabel="length of the lists", ylabel=metric, xticks=list(places))
        axes.set_xticklabels([str(effect.k) for effect in found])
        axes.margins(x=0.08, y=0.15)
        axes.legend()
    listed = "; ".join(
        f"{format_value(metric, e.small)} and {format_value(metric, e.large)} at {e.k}" for e in found
    )
    return Plot(
        f"{metric} over list length",
        info(metric).meaning,
        f"Line chart of {metric}, small and large model: {listed}.",
        drawn[0],
    )


def by_group(effects: Sequence[Effect], metric: str, k: int) -> Plot:
    """The large model's difference from the small one in each group of users, with 95 % intervals."""
    found = [e for e in effects if e.metric == metric and e.k == k]
    with canvas(f"groups-{metric}", height=0.9 + 0.42 * len(found)) as (axes, drawn):
        for place, effect in enumerate(found):
            shade = colour(1) if effect.settled else MUTED
            axes.plot(effect.ci95, [place, place], color=shade, linewidth=1.8)
            axes.plot(effect.difference, place, "o", color=shade, markersize=7)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set(
            yticks=list(range(len(found))),
            ylim=(len(found) - 0.5, -0.5),
            xlabel=f"{metric}@{k}, large less small",
        )
        axes.set_yticklabels([effect.group for effect in found])
    listed = "; ".join(f"{e.group} {e.difference:+.4f} ({format_range(e.ci95)})" for e in found)
    return Plot(
        f"{metric}@{k} by group of users",
        "Dots: differences; lines: 95 % intervals over users; grey where they hold 0 or seeds disagree.",
        f"Differences of the large model from the small one: {listed}.",
        drawn[0],
    )
