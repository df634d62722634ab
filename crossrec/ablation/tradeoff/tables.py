"""What the command line shows of a study."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from crossrec.experiment.tables import console


def show_picks(found: dict[str, Any]) -> None:
    """Prints a table a goal: every method's picked point on test beside the reference; then hypervolumes."""
    out = console()
    for goal in found["goals"]:
        out.print(_goal(found, goal))
        if goal["best_method"] is not None:
            out.print(_how_to_apply(found, goal["picks"][goal["best_method"]]), highlight=False, markup=False)
    out.print(_hypervolumes(found))


def _how_to_apply(found: dict[str, Any], point: dict[str, Any]) -> str:
    """The command that measures a run with the picked rerankers."""
    runs = " or ".join(found["runs"][point["model"]])
    overrides = " ".join(f"'{override}'" for override in point["overrides"])
    return f"To apply {point['label']}: evaluate.py RUN {overrides}".rstrip() + f"\n  where RUN is {runs}"


def _goal(found: dict[str, Any], goal: dict[str, Any]) -> Table:
    accuracy, k = found["accuracy"], found["k"]
    shown = list(dict.fromkeys([accuracy, *goal["wanted"], *found["reference"]["test"]]))
    wanted = ", ".join(f"{m}@{k} +{gain:.0%}" for m, gain in goal["wanted"].items())
    table = Table(
        title=f"{goal['goal']}: wanted {wanted} at a loss of at most {goal['budget']:.1%} of {accuracy}@{k}",
        caption="Test values of points picked on validation, means over seeds; relative gain below, with its "
        "95 % interval over users. * picked on validation among all methods.",
        show_lines=True,
    )
    table.add_column("method")
    for metric in shown:
        table.add_column(f"{metric}@{k}", justify="right")
    reference = found["reference"]
    table.add_row(reference["label"], *(f"{number(reference['test'][m]['value'])}" for m in shown))
    for name, point in goal["picks"].items():
        star = "* " if name == goal["best_method"] else ""
        if point is None:
            table.add_row(f"{star}{name}", "none within the budget", *[""] * (len(shown) - 1))
            continue
        cells = [f"{number(point['test'][m]['value'])}\n{gain_text(point['test'][m])}" for m in shown]
        table.add_row(f"{star}{name}\n{point['label']}", *cells)
    return table


def _hypervolumes(found: dict[str, Any]) -> Table:
    table = Table(
        title=f"Hypervolume: mean relative gain over losses of {found['accuracy']}@{found['k']} "
        f"from 0 to {found['hypervolume_loss']:.0%}",
        caption="Mean over seeds ± standard deviation; 95 % interval over users.",
    )
    for heading in ("measure", "method", "validation", "test", "interval"):
        table.add_column(heading, justify="left" if heading in ("measure", "method") else "right")
    for front in found["fronts"]:
        valid, test = front["hypervolume_valid"], front["hypervolume_test"]
        table.add_row(
            f"{front['measure']}@{found['k']}",
            front["method"],
            with_spread(valid),
            with_spread(test),
            range_text(test["ci95_users"]),
        )
    return table


def number(value: float | None) -> str:
    """Four decimals, or a word where there is no value."""
    return "none" if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """A relative gain, signed."""
    return "none" if value is None else f"{value:+.1%}"


def gain_text(entry: dict[str, Any]) -> str:
    """A relative gain with its interval over users."""
    low, high = entry["gain_ci95_users"]
    if low is None or entry["gain"] is None:
        return percent(entry["gain"])
    return f"{percent(entry['gain'])} [{low:+.1%}, {high:+.1%}]"


def with_spread(entry: dict[str, Any]) -> str:
    """A mean over seeds with its standard deviation, where there are several seeds."""
    return number(entry["value"]) if entry["sd"] is None else f"{number(entry['value'])} ± {entry['sd']:.4f}"


def range_text(bounds: list[float | None]) -> str:
    """An interval, empty where there is none."""
    low, high = bounds
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"
