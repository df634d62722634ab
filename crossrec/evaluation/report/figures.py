"""Drawing with matplotlib: style, colours, and SVG for embedding in an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1c2330", "#566072", "#dfe4ec"
COLOURS = (
    "#2451d6",
    "#c8500a",
    "#00805c",
    "#a8327f",
    "#7a5c00",
    "#00749e",
    "#6b4fc8",
    "#5b6472",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LONGEST_NAME = 30

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crossrec",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": "#9aa4b5",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "lines.linewidth": 2.0,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 9.5,
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Args:
        title: heading.
        caption: explanation of the plot.
        alt: description in words, for readers who can't see it.
        svg: an ``<svg>`` element.
    """

    title: str
    caption: str
    alt: str
    svg: str


@contextmanager
def canvas(name: str, width: float = 4.7, height: float = 3.4) -> Iterator[tuple[Axes, list[str]]]:
    """Yield axes, and a list that contains the finished SVG after the block.

    Args:
        name: prefix of the SVG's element ids, unique on the page.
        width: inches.
        height: inches.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn: list[str] = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot(), drawn
        drawn.append(_svg(figure, name))


def _svg(figure: Figure, name: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<style.*?</style>", "", text, count=1, flags=re.DOTALL)
    # Several drawings share a page: element ids must not clash.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)


def colour(index: int) -> str:
    """Return the colour of a recommender, the same in every plot."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Return the marker of a recommender, so that nothing depends on colour alone."""
    return MARKERS[index % len(MARKERS)]


def short(name: str) -> str:
    """Return a name that fits beside a point, shortened in its middle: variants differ in their ends."""
    if len(name) <= LONGEST_NAME:
        return name
    kept = LONGEST_NAME - 1
    return f"{name[: kept - kept // 2].rstrip()}…{name[len(name) - kept // 2 :].lstrip()}"


def spread(positions: Sequence[float] | np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Move label positions apart to at least ``gap``, in their order, inside ``[low, high]`` if they fit."""
    moved = np.asarray(positions, dtype=float)
    order = np.argsort(moved, kind="stable")
    placed = np.clip(moved[order], low, high)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    overflow = placed[-1] - high if len(placed) else 0.0
    if overflow > 0:
        placed[-1] = high
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    result = np.empty_like(placed)
    result[order] = placed
    return result


def thin(values: np.ndarray, most: int) -> np.ndarray:
    """Return means of consecutive groups, at most ``most`` of them."""
    if len(values) <= most:
        return np.asarray(values, dtype=float)
    return np.asarray([part.mean() for part in np.array_split(np.asarray(values, dtype=float), most)])
