"""The page of a study: one self-contained HTML file with fronts, picked points and hypervolumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossrec.ablation.tradeoff.config import TradeoffConfig
from crossrec.ablation.tradeoff.outcome import Chosen
from crossrec.ablation.tradeoff.plots import front_plots
from crossrec.ablation.tradeoff.sweep import Table
from crossrec.ablation.tradeoff.tables import number, percent, range_text, with_spread
from crossrec.evaluation.report.glossary import arrow, info
from crossrec.evaluation.report.render import render
from crossrec.runtime.files import write_text


def write_page(
    path: Path,
    config: TradeoffConfig,
    found: Mapping[str, Any],
    valid: Table,
    test: Table,
    chosen: Chosen,
    methods: Mapping[str, Sequence[int]],
    config_text: str,
) -> None:
    """Writes the page, which needs neither a network nor JavaScript.

    Args:
        path: of the file.
        config: of the study.
        found: content of ``picked.json``.
        valid: all points on validation.
        test: the chosen points on test.
        chosen: fronts and picks.
        methods: name -> its points.
        config_text: the resolved configuration.
    """
    content = {
        "found": found,
        "plots": front_plots(config, valid, test, chosen, methods),
        "goals": [_goal(found, goal) for goal in found["goals"]],
        "columns": [
            {
                "name": f"{m}@{found['k']}",
                "meaning": info(m).meaning,
                "arrow": arrow(m),
            }
            for m in test.values
        ],
        "fronts": _by_measure(found),
        "config_text": config_text,
    }
    write_text(path, render("crossrec.ablation.tradeoff", "template.html", content))


def _goal(found: Mapping[str, Any], goal: Mapping[str, Any]) -> dict[str, Any]:
    k = found["k"]
    wanted = " and ".join(f"{gain:.0%} more {m}@{k}" for m, gain in goal["wanted"].items())
    reference = found["reference"]
    rows = [_row("reference", reference, best=False, of_reference=True)]
    for name, point in goal["picks"].items():
        best = name == goal["best_method"]
        if point is None:
            rows.append({"name": name, "point": "no point within the budget", "best": best, "cells": []})
        else:
            rows.append(_row(name, point, best=best, of_reference=False))
    return {
        "title": goal["goal"],
        "wanted": f"{wanted}, for at most {goal['budget']:.1%} of {found['accuracy']}@{k}",
        "verdict": _verdict(found, goal),
        "rows": rows,
    }


def _row(name: str, point: Mapping[str, Any], *, best: bool, of_reference: bool) -> dict[str, Any]:
    cells = []
    for entry in point["test"].values():
        low, high = entry["ci95_users"] if of_reference else entry["gain_ci95_users"]
        bounds = range_text([low, high]) if of_reference else _percents(low, high)
        cells.append(
            {
                "text": with_spread(entry),
                "gain": "" if of_reference else percent(entry["gain"]),
                "interval": bounds,
            }
        )
    return {"name": name, "point": point["label"], "best": best, "cells": cells}


def _percents(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:+.1%} to {high:+.1%}"


def _verdict(found: Mapping[str, Any], goal: Mapping[str, Any]) -> str:
    """One sentence on what the point that validation chose comes to on test."""
    name = goal["best_method"]
    if name is None:
        return "No method has a point within the budget on validation."
    test = goal["picks"][name]["test"]
    changes = [f"{percent(test[m]['gain'])} {m}@{found['k']}" for m in [found["accuracy"], *goal["wanted"]]]
    missed = [m for m, kept in goal["picks"][name]["kept_on_test"].items() if not kept]
    ending = f"; on test it misses what was wanted of {', '.join(missed)}" if missed else ", as wanted"
    return f"{goal['picks'][name]['label']} was picked on validation. On test: {', '.join(changes)}{ending}."


def _by_measure(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for front in found["fronts"]:
        differences = [
            d
            for d in found["differences"]
            if d["measure"] == front["measure"] and d["other"] == front["method"]
        ]
        test, gap = front["hypervolume_test"], differences[0]["test"] if differences else None
        groups.setdefault(front["measure"], []).append(
            {
                "method": front["method"],
                "best": gap is None,
                "valid": with_spread(front["hypervolume_valid"]),
                "test": with_spread(test),
                "interval": range_text(test["ci95_users"]),
                "gap": "" if gap is None else number(gap["value"]),
                "gap_users": "" if gap is None else range_text(gap["ci95_users"]),
                "gap_seeds": "" if gap is None else range_text(gap["ci95_seeds"]),
            }
        )
    return [{"measure": f"{m}@{found['k']}", "rows": rows} for m, rows in groups.items()]
