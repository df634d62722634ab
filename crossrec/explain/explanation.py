"""Results of explanations as named arrays: effects, attention, heat maps, words."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from PIL.Image import Image

from crossrec.runtime.pictures import clean_picture
from crossrec.types import InputError

if TYPE_CHECKING:
    import polars as pl

DIGITS = 6
"""Significant digits: more is noise of float32."""


def plain(value: Any) -> Any:
    """Convert a value to nested lists, dictionaries and numbers.

    Args:
        value: an array, a record, a number, a text or None.
    """
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}")
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(entry) for name, entry in asdict(value).items()}
    return value


MapMethod = Literal["layer_cam", "grad_cam", "attention"]
JSON_SIDE = 64
"""Longer side of the map in JSON, enough for its detail."""


@dataclass(frozen=True)
class HeatMap:
    """Regions of a picture that raise a score.

    Args:
        map_HW: (H, W) float32 in [0, 1] on the picture's pixels, 1 for the largest and 0 for the smallest
            relevance; all 0 if nothing on the picture raises the score.
        input_SS: the same on the encoder's square input.
        grid: rows and columns of the encoder's map.
        method: name of the method.
        modality: name of the modality.
    """

    map_HW: np.ndarray
    input_SS: np.ndarray
    grid: tuple[int, int]
    method: MapMethod
    modality: str = "image"

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON: rows of the map, shrunk if large, and the picture's size."""
        height, width = self.map_HW.shape
        return {
            "modality": self.modality,
            "method": self.method,
            "map": plain(self._shrunk().round(3)),
            "height": height,
            "width": width,
            "grid": list(self.grid),
        }

    def _shrunk(self) -> np.ndarray:
        from PIL import Image

        height, width = self.map_HW.shape
        scale = min(1.0, JSON_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(Image.fromarray(self.map_HW).resize(size, Image.Resampling.BOX))

    def overlay(self, picture: Image, strength: float = 0.6) -> Image:
        """Return the picture with the map on it, from transparent to red and yellow.

        Args:
            picture: picture with (H, W) pixels.
            strength: opacity of the map where it is 1.
        """
        from PIL import Image

        heat = self.map_HW[..., None]
        colour = np.concatenate(
            [np.ones_like(heat), np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=2
        )
        cover = strength * heat
        base = np.asarray(clean_picture(picture), np.float32) / 255
        mixed = base * (1 - cover) + colour * cover
        return Image.fromarray((mixed * 255).round().astype(np.uint8))


Method = Literal[
    "modality_leave_one_out",
    "modality_gradients",
    "click_leave_one_out",
    "click_gradients",
    "attention",
    "picture",
    "words",
]
METHODS: tuple[Method, ...] = get_args(Method)


class Unavailable(InputError):
    """Explanation that is not possible for this model or item; the message says why."""


@dataclass(frozen=True)
class Completeness:
    """Completeness of integrated gradients.

    Args:
        difference: score minus score of the baseline input, which the attributions should sum to.
        gap: sum of the attributions minus that difference, the error of the numerical integration.
    """

    difference: float
    gap: float


@dataclass(frozen=True)
class ModalityEffects:
    """Effect of each modality on a score.

    Args:
        method: name of the method.
        names: names of M modalities.
        item_M: (M,) effect of the scored item's modality, in units of the score.
        history_M: (M,) effect of the modality in all clicks.
        both_M: (M,) effect of the modality in item and clicks.
        completeness: completeness of integrated gradients; None for others.
    """

    method: Method
    names: tuple[str, ...]
    item_M: np.ndarray
    history_M: np.ndarray
    both_M: np.ndarray
    completeness: Completeness | None = None

    @property
    def shares_M(self) -> np.ndarray:
        """(M,) absolute effects as shares of their sum; zeros if all effects are zero."""
        sizes_M = np.abs(self.both_M)
        return sizes_M / total if (total := sizes_M.sum()) > 0 else sizes_M

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON."""
        return {
            "method": self.method,
            "names": list(self.names),
            "item": plain(self.item_M),
            "history": plain(self.history_M),
            "both": plain(self.both_M),
            "shares": plain(self.shares_M),
            "completeness": plain(self.completeness),
        }


@dataclass(frozen=True)
class ClickEffects:
    """Effect of each click of a history on a score.

    Args:
        method: name of the method.
        values_L: (L,) effects in units of the score, in the order of the clicks.
        completeness: completeness of integrated gradients; None for others.
    """

    method: Method
    values_L: np.ndarray
    completeness: Completeness | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON."""
        return {
            "method": self.method,
            "values": plain(self.values_L),
            "completeness": plain(self.completeness),
        }


@dataclass(frozen=True)
class HistoryAttention:
    """Attention of a sequence model when it predicts the next item.

    Args:
        by_head: (layers, heads, L) weights from the query position to each click.
        elsewhere: (layers, heads) weight on other positions: a prompt's tokens, the masked position.
        rollout_L: (L,) attention rollout from the query position to each click.
        rollout_elsewhere: weight of the rollout on other positions.
        softmax: whether the model's own weights add up to one; else they were divided by the sum of their
            sizes.
    """

    by_head: np.ndarray
    elsewhere: np.ndarray
    rollout_L: np.ndarray
    rollout_elsewhere: float
    softmax: bool

    @property
    def last_layer_L(self) -> np.ndarray:
        """(L,) weights of the last layer, mean over the heads."""
        return self.by_head[-1].mean(axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON."""
        return {
            "by_head": plain(self.by_head),
            "elsewhere": plain(self.elsewhere),
            "rollout": plain(self.rollout_L),
            "rollout_elsewhere": self.rollout_elsewhere,
            "softmax": self.softmax,
        }


@dataclass(frozen=True)
class Word:
    """Word of a text and its effect on a score.

    Args:
        text: the word as written.
        start: index of the first character.
        end: index after the last character.
        weight: effect in units of the score.
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class WordWeights:
    """Effects of the words in the scored item's text on its score.

    Args:
        text: the whole text.
        words: words that the encoder reads, in order.
        rest: effect of all tokens outside of words, such as punctuation.
        cut: whether the encoder truncates the text.
        completeness: completeness of the integrated gradients.
        modality: name of the modality.
    """

    text: str
    words: tuple[Word, ...]
    rest: float
    cut: bool
    completeness: Completeness
    modality: str = "text"

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON."""
        return {
            "modality": self.modality,
            "text": self.text,
            "words": [plain(word) for word in self.words],
            "rest": self.rest,
            "cut": self.cut,
            "completeness": plain(self.completeness),
        }


@dataclass(frozen=True, repr=False)
class Explanation:
    """Explanation of the score of an item after a history.

    Args:
        item: catalogue index of the scored item.
        score: explained score.
        neighbours: part of the score that item-kNN and the bonus of cold items add to the network's; 0 for a
            model without. Gradients, attention, pictures and words explain the network's part alone.
        clicks_L: catalogue indices of the clicks that were read, oldest first.
        modalities: effects of modalities, one entry per method.
        clicks: effects of clicks, one entry per method.
        attention: attention over the history.
        picture: heat map on the scored item's picture, the first that the model reads.
        words: effects of words in the scored item's text, the first that the model reads.
        further_pictures: heat maps on the item's other pictures.
        further_words: effects of words in the item's other texts.
        left_out: method -> reason why it is not possible.
        item_ids: catalogue index -> original id of the items above; empty where no catalogue was given.
    """

    item: int
    score: float
    clicks_L: np.ndarray
    modalities: tuple[ModalityEffects, ...] = ()
    clicks: tuple[ClickEffects, ...] = ()
    attention: HistoryAttention | None = None
    picture: HeatMap | None = None
    words: WordWeights | None = None
    further_pictures: tuple[HeatMap, ...] = ()
    further_words: tuple[WordWeights, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    item_ids: Mapping[int, str] = field(default_factory=dict)
    neighbours: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping for JSON of lists, numbers, texts and None."""
        return {
            "item": self.item,
            "item_id": self.item_ids.get(self.item),
            "score": self.score,
            "neighbours": self.neighbours,
            "history": [
                {"item": item, "item_id": self.item_ids.get(item)} for item in self.clicks_L.tolist()
            ],
            "modalities": [effects.to_dict() for effects in self.modalities],
            "clicks": [effects.to_dict() for effects in self.clicks],
            "attention": self.attention.to_dict() if self.attention else None,
            "picture": self.picture.to_dict() if self.picture else None,
            "words": self.words.to_dict() if self.words else None,
            "further_pictures": [picture.to_dict() for picture in self.further_pictures],
            "further_words": [words.to_dict() for words in self.further_words],
            "left_out": dict(self.left_out),
        }

    def effects(self) -> list[tuple[str, str, str, float]]:
        """Return all effects as rows: kind (``modality``, ``click``, ``word``), name, method, effect."""
        rows: list[tuple[str, str, str, float]] = [
            ("modality", name, effects.method, float(value))
            for effects in self.modalities
            for name, value in zip(effects.names, effects.both_M, strict=True)
        ]
        clicks = [self.item_ids.get(item, str(item)) for item in self.clicks_L.tolist()]
        rows += [
            ("click", name, effects.method, float(value))
            for effects in self.clicks
            for name, value in zip(clicks, effects.values_L, strict=True)
        ]
        words = () if self.words is None else self.words.words
        return rows + [("word", word.text, "words", word.weight) for word in words]

    def to_frame(self) -> pl.DataFrame:
        """Return all effects as a data frame.

        Returns:
            ``kind`` (``modality``, ``click`` or ``word``), ``name``, ``method``, and ``effect`` in units of
            the score.
        """
        import polars as pl

        names = ("kind", "name", "method")
        schema = {**dict.fromkeys(names, pl.String), "effect": pl.Float64}
        return pl.DataFrame(self.effects(), schema=schema, orient="row")

    def __repr__(self) -> str:
        name, n_effects = self.item_ids.get(self.item, str(self.item)), len(self.effects())
        return f"score {self.score:.4f} of {name} after {len(self.clicks_L)} clicks, {n_effects} effects"

    def _repr_html_(self) -> str:
        """Return bars of all effects, for notebooks: green raises the score, red lowers it."""
        rows = self.effects()
        most = {kind: max(abs(r[3]) for r in rows if r[0] == kind) or 1.0 for kind in {r[0] for r in rows}}
        lines = [
            f"<tr><td>{kind}</td><td>{html.escape(name)}</td><td>{html.escape(method)}</td>"
            f"<td>{effect:+.3g}</td><td>{_bar(effect / most[kind])}</td></tr>"
            for kind, name, method, effect in rows
        ]
        head = "".join(f"<th>{name}</th>" for name in ("kind", "name", "method", "effect", ""))
        left = "".join(
            f"<br><small>{html.escape(method)}: {html.escape(why)}</small>"
            for method, why in self.left_out.items()
        )
        return f"{html.escape(repr(self))}<table><tr>{head}</tr>{''.join(lines)}</table>{left}"


BAR_PIXELS = 120
"""Length of the longest bar in notebooks."""


def _bar(share: float) -> str:
    color, width = ("#2a7" if share > 0 else "#c44"), abs(share) * BAR_PIXELS
    return f"<div style='background:{color};height:10px;width:{width:.0f}px'></div>"
