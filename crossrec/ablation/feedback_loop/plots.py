"""The curves of a study: each measure over rounds, and the differences from a policy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossrec.ablation.feedback_loop.config import FeedbackLoopConfig
from crossrec.ablation.feedback_loop.summary import MEASURES, over_seeds
from crossrec.evaluation.report.figures import INK, Plot, canvas, colour, marker, short

Values = Mapping[tuple[str, str], np.ndarray]

DIFFERENCES = ("click_rate", "entropy_list", "homogeneity")
"""What is drawn as differences, to see where a bubble closes."""


def curves(config: FeedbackLoopConfig, values: Values) -> list[Plot]:
    """Each measure over rounds."""
    known = [name for name in MEASURES if not all(np.isnan(values[p, name]).all() for p in config.policies)]
    return [_curve(config, values, name) for name in known]


def differences(config: FeedbackLoopConfig, values: Values, other: str) -> list[Plot]:
    """Differences of all other policies from one, over rounds."""
    return [_difference(config, values, name, other) for name in DIFFERENCES]


def _curve(config: FeedbackLoopConfig, values: Values, name: str) -> Plot:
    measure, told = MEASURES[name], []
    places = np.arange(1, config.rounds + 1)
    with canvas(f"curve-{name}", height=3.6) as (axes, drawn):
        for index, policy in enumerate(config.policies):
            mean_R, low_R, high_R = _band(values[policy, name])
            _line(axes, places, (mean_R, low_R, high_R), index, policy)
            told.append(f"{policy} from {mean_R[0]:.3f} to {mean_R[-1]:.3f}")
        axes.set(xlabel="simulated round", ylabel=measure.title)
        axes.legend(fontsize=8.5)
    return Plot(
        measure.title,
        f"{measure.meaning} Lines: means over seeds; bands: 95 % intervals over seeds.",
        f"Line chart of {measure.title} over {config.rounds} simulated rounds: {'; '.join(told)}.",
        drawn[0],
    )


def _difference(config: FeedbackLoopConfig, values: Values, name: str, other: str) -> Plot:
    measure, told = MEASURES[name], []
    places = np.arange(1, config.rounds + 1)
    number = list(config.policies).index(other)
    with canvas(f"difference-{name}-{number}", height=3.4) as (axes, drawn):
        for index, policy in enumerate(config.policies):
            if policy == other:
                continue
            band = _band(values[policy, name] - values[other, name])
            _line(axes, places, band, index, policy)
            told.append(f"{policy} {band[0][0]:+.3f} in the first round, {band[0][-1]:+.3f} in the last")
        axes.axhline(0, color=INK, linewidth=1)
        axes.set(xlabel="simulated round", ylabel=f"{measure.title}, difference")
        axes.legend(fontsize=8.5)
    return Plot(
        f"{measure.title} less that of {short(other)}",
        "Paired by seed. Where a band leaves out 0, the difference is settled in that round; bands are "
        "pointwise, so that about one round in twenty leaves out 0 by chance alone.",
        f"Differences in {measure.title} from {other}: {'; '.join(told)}.",
        drawn[0],
    )


def _line(
    axes: object, places: np.ndarray, band: tuple[np.ndarray, np.ndarray, np.ndarray], index: int, name: str
) -> None:
    from matplotlib.axes import Axes
    from matplotlib.ticker import MaxNLocator

    assert isinstance(axes, Axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    every = max(1, len(places) // 8)
    axes.plot(
        places,
        band[0],
        marker=marker(index),
        markevery=every,
        color=colour(index),
        markersize=5,
        label=short(name),
    )
    axes.fill_between(places, band[1], band[2], color=colour(index), alpha=0.15, linewidth=0)


def _band(values_SR: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    spreads = [over_seeds(column) for column in values_SR.T]
    return (
        np.asarray([s.value for s in spreads]),
        np.asarray([s.low for s in spreads]),
        np.asarray([s.high for s in spreads]),
    )
