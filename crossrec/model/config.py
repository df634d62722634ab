"""Configuration of the cross-modal model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from torch import nn

from crossrec.config import Config, UnusableValue, merge
from crossrec.model.fusion import FusionOptions
from crossrec.model.fusion.gated import GatedFusion
from crossrec.model.modalities import MODALITIES, ModalityOptions
from crossrec.model.modalities.base import ItemModality
from crossrec.model.modalities.image import Image
from crossrec.model.modalities.item_id import ItemId, SmoothingConfig
from crossrec.model.modalities.text import Text
from crossrec.model.sequence import SequenceOptions
from crossrec.model.sequence.sasrec import SASRec

SHORTHAND = ("text", "image", "item_id", "smoothing", "item_group")
"""Keys beside ``modalities`` that stand for its entries ``text``, ``image``, ``id`` and ``group``."""

LEGACY_TYPES = {"text": "transformer", "image": "timm"}
"""The ``type`` that earlier versions wrote into the shorthand."""


class ModelConfig(Config):
    """Configuration of the model: modalities, fusion and sequence model.

    A mapping may name modalities in shorthand: ``text: {…}``, ``image: {…}``, ``item_id: true``, ``smoothing:
    {…}`` and ``item_group: true``. See :func:`expanded`.
    """

    modalities: dict[str, ModalityOptions] = Field(
        {"text": Text.Options(), "image": Image.Options()},
        description="name -> modality; any number of each type, but one id and one group",
    )
    fusion: FusionOptions = Field(default=GatedFusion.Options(), description="not used with ids alone")
    sequence: SequenceOptions = SASRec.Options()
    width: int = Field(64, ge=1, le=65_536, description="D of item vectors and hidden states")
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = Field(0.07, gt=0, le=10_000, description="divisor of the cosine; ignored by dot")
    item_dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the projected features")
    modality_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that training hides a modality of an item (never all)"
    )
    whiten: Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] | None = Field(
        "auto",
        description="dimensions that frozen features are PCA-whitened to; auto chooses by the number of "
        "items and their variance, null leaves the features as they are",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return expanded(value) if isinstance(value, Mapping) else value

    @field_validator("modalities")
    @classmethod
    def _usable_names(cls, modalities: dict[str, ModalityOptions]) -> dict[str, ModalityOptions]:
        for name in modalities:
            if not name.isidentifier() or not name.isascii():
                raise UnusableValue((name,), "a name is made of letters, digits and _, such as back_photo")
            if hasattr(nn.ModuleDict, name) or hasattr(nn.ModuleDict(), name):
                raise UnusableValue((name,), f"this name is reserved; call it '{name}_' or otherwise")
        return modalities

    @model_validator(mode="after")
    def _some_modality(self) -> Self:
        if not set(self.modalities) - set(self.of_type("group")):
            raise ValueError(
                "modalities: text, image, item_id and all others are off: a model needs at least one of them"
            )
        for name, options in self.of_type("id").items():
            start = getattr(options, "start", None)
            if start is not None and start not in self.modalities:
                raise ValueError(
                    f"modalities.{name}.start: there is no modality '{start}'; there are "
                    f"{', '.join(self.modalities)}"
                )
        for kind in ("id", "group"):
            if len(found := list(self.of_type(kind))) > 1:
                raise ValueError(f"modalities: {' and '.join(found)} are both of type {kind}; keep one")
        return self

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the options of the modalities of one type, by name."""
        return {
            name: self.modalities[name]
            for name in self._ordered()
            if MODALITIES.name_of(self.modalities[name]) == kind
        }

    def build_modalities(self) -> dict[str, ItemModality]:
        """Return the modalities by name in the network's order: content first, then learned embeddings.

        Within these, they are in the order of the family and then of their names: fusions number them, and a
        mapping may be written in any order.
        """
        made: dict[str, ItemModality] = {name: self.modalities[name].build(name) for name in self._ordered()}
        return dict(sorted(made.items(), key=lambda entry: entry[1].learned))

    def _ordered(self) -> list[str]:
        kinds = list(MODALITIES)

        def place(name: str) -> tuple[int, str]:
            kind = MODALITIES.name_of(self.modalities[name])
            return kinds.index(kind) if kind in kinds else len(kinds), name

        return sorted(self.modalities, key=place)

    @property
    def picture_columns(self) -> list[str]:
        """Further columns of the item table that hold pictures, or paths of them."""
        shown = [*self.of_type("image").values(), *self.of_type("frames").values()]
        return sorted({options.column for options in shown if options.column is not None})

    @property
    def id_name(self) -> str | None:
        """Name of the modality of item ids; None if the model has none."""
        return next(iter(self.of_type("id")), None)

    @property
    def group_name(self) -> str | None:
        """Name of the modality of item groups; None if the model has none."""
        return next(iter(self.of_type("group")), None)

    @property
    def smoothing(self) -> SmoothingConfig | None:
        """Smoothing of the id embeddings; None for none."""
        options = self.of_type("id").values()
        return next((found.smoothing for found in options if isinstance(found, ItemId.Options)), None)


def expanded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's raw mapping with the shorthand turned into entries of ``modalities``.

    Without ``modalities``, a model has a text and an image unless the shorthand changes them. Beside
    ``modalities``, ``text`` and ``image`` change the entry of that name, or the only one of that type; null
    removes it, and a new one is added. In ``modalities``, null removes an entry.

    Args:
        value: configuration of the model as read.

    Raises:
        UnusableValue: if the shorthand fits no entry, or is of the wrong kind.
    """
    given = {key: value[key] for key in SHORTHAND if key in value}
    rest = {key: content for key, content in value.items() if key not in SHORTHAND}
    listed = rest.get("modalities")
    if "modalities" in rest and not isinstance(listed, Mapping):
        return rest  # which the field rejects
    if not given and listed is None:
        return rest
    start = {"text": {"type": "text"}, "image": {"type": "image"}} if listed is None else listed
    entries: dict[str, Any] = {name: options for name, options in start.items() if options is not None}
    for kind, key in (("text", "text"), ("image", "image")):
        if key in given:
            _lay(entries, kind, _encoder(key, given[key]), key)
    for kind, key in (("id", "item_id"), ("group", "item_group")):
        if key in given:
            _lay(entries, kind, {} if _switch(key, given[key]) else None, key)
    if "smoothing" in given:
        smoothing = given["smoothing"]
        if _name(entries, "id", "smoothing") in entries:
            _lay(entries, "id", {"smoothing": smoothing}, "smoothing")
        elif smoothing is not None:
            raise UnusableValue(
                ("smoothing",), "smoothing mixes id embeddings: set item_id: true, or smoothing: null"
            )
    return {"modalities": entries, **{key: content for key, content in rest.items() if key != "modalities"}}


def _lay(entries: dict[str, Any], kind: str, options: Mapping[str, Any] | None, key: str) -> None:
    """Change, add or remove the entry that a key of the shorthand stands for."""
    name = _name(entries, kind, key)
    if options is None:
        entries.pop(name, None)
    elif name in entries:
        there = entries[name]
        base = there if isinstance(there, Mapping) else MODALITIES.dump(there)
        entries[name] = merge(base, {key: value for key, value in options.items() if key != "type"})
    else:
        entries[name] = {**options, "type": kind}


def _name(entries: Mapping[str, Any], kind: str, key: str) -> str:
    """Return the name of the entry that a key of the shorthand stands for.

    Raises:
        UnusableValue: if several could be meant.
    """
    if kind in entries:
        return kind
    found = [name for name, options in entries.items() if _kind(options) == kind]
    if len(found) > 1:
        raise UnusableValue(
            (key,),
            f"stands for one modality of type {kind}, and there are {', '.join(found)}: name one as "
            f"modalities.{found[0]}",
        )
    return found[0] if found else kind


def _kind(options: Any) -> str | None:
    if isinstance(options, Config):
        return MODALITIES.name_of(options)
    return options.get("type") if isinstance(options, Mapping) else None


def _encoder(key: str, options: Any) -> Mapping[str, Any] | None:
    """Return the shorthand of a text or an image as a mapping without the ``type`` of earlier versions."""
    if isinstance(options, Config):
        return options.model_dump()
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise UnusableValue((key,), f"needs a mapping of the {key} encoder's options, or null")
    legacy = LEGACY_TYPES[key]
    if options.get("type", legacy) not in (legacy, key):
        raise UnusableValue((key, "type"), f"unknown type '{options['type']}'; leave it out")
    return {name: value for name, value in options.items() if name != "type"}


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnusableValue((key,), f"needs true or false, not {value!r}")
    return value
