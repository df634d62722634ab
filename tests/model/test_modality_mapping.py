"""The open mapping of modalities, and the shorthand that stands for its entries."""

from __future__ import annotations

from typing import Any

import pytest

from crossrec.config import merge, parse_overrides, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import describe_model
from crossrec.experiment.run_folder import _differences
from crossrec.model.config import ModelConfig
from crossrec.model.modalities.image import Image
from crossrec.model.modalities.item_id import ItemId
from crossrec.model.modalities.text import Text
from crossrec.types import ConfigError


def model(content: dict[str, Any], *overrides: str) -> ModelConfig:
    return validate(ModelConfig, merge(content, parse_overrides(overrides)), "test")


LISTED: dict[str, Any] = {
    "modalities": {
        "title": {"type": "text", "column": "title", "max_tokens": 32},
        "poster": {"type": "image", "image_size": 64},
        "sku": {"type": "id"},
    }
}


def test_a_model_has_a_text_and_an_image_unless_told_otherwise() -> None:
    assert model({}).modalities == {"text": Text.Options(), "image": Image.Options()}
    assert list(model({"image": None, "item_id": True}).modalities) == ["text", "id"]
    full = model({"item_group": True, "item_id": True, "image": {}, "text": {}})
    assert list(full.build_modalities()) == ["text", "image", "id", "group"]


@pytest.mark.parametrize(
    ("shorthand", "entries"),
    [
        ({"text": {"type": "transformer", "max_tokens": 9}}, {"text": Text.Options(max_tokens=9)}),
        ({"image": {"type": "timm", "image_size": 32}}, {"image": Image.Options(image_size=32)}),
        ({"item_id": True}, {"id": ItemId.Options()}),
        (
            {"item_id": True, "smoothing": {"neighbours": 3}},
            {"id": ItemId.Options.model_validate({"smoothing": {"neighbours": 3}})},
        ),
    ],
)
def test_shorthand_stands_for_entries(shorthand: dict[str, Any], entries: dict[str, Any]) -> None:
    usual = {"text": Text.Options(), "image": Image.Options()}
    assert model(shorthand).modalities == {**usual, **entries}


def test_a_saved_configuration_writes_the_mapping_and_differs_from_none_in_shorthand() -> None:
    short = model({"text": {"max_tokens": 9}, "image": None, "item_id": True})
    saved = short.model_dump(mode="json")
    assert not {"text", "image", "item_id", "smoothing", "item_group"} & set(saved)
    nothing = dict.fromkeys(("smoothing", "start", "std", "bound"))
    assert saved["modalities"]["id"] == {"type": "id", **nothing}
    assert _differences(saved, model(saved).model_dump(mode="json")) == []


@pytest.mark.parametrize("content", [{"item_id": True}, model({"item_id": True}).model_dump(mode="json")])
def test_overrides_in_shorthand_change_both_forms(content: dict[str, Any]) -> None:
    assert model(content, "text.max_tokens=16").modalities["text"] == Text.Options(max_tokens=16)
    assert list(model(content, "image=null").modalities) == ["text", "id"]
    assert list(model(content, "item_id=false").modalities) == ["text", "image"]
    smoothed = model(content, "smoothing.neighbours=2")
    assert smoothed.smoothing is not None
    assert smoothed.smoothing.neighbours == 2
    bare = model(content, "image=null").model_dump(mode="json")
    assert [*model(bare, "image={image_size: 32}").build_modalities()] == ["text", "image", "id"]


def test_shorthand_means_the_only_modality_of_its_type() -> None:
    assert model(LISTED, "text.max_tokens=16").modalities["title"] == Text.Options(
        column="title", max_tokens=16
    )
    assert list(model(LISTED, "image=null").modalities) == ["title", "sku"]
    assert list(model(LISTED, "modalities.poster=null").modalities) == ["title", "sku"]
    assert list(model(LISTED, "item_id=false").modalities) == ["title", "poster"]
    two = merge(LISTED, {"modalities": {"plot": {"type": "text"}}})
    with pytest.raises(ConfigError, match=r"text: stands for one modality of type text.*title, plot"):
        model(two, "text.max_tokens=16")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"text": {"max_tokenz": 3}}, r"text.*unknown key 'max_tokenz'; did you mean 'max_tokens'"),
        ({"text": 3}, "text: needs a mapping"),
        ({"text": {"type": "bag"}}, "text.type: unknown type 'bag'"),
        ({"item_id": "yes"}, "item_id: needs true or false"),
        ({"text": None, "image": None, "item_group": True}, "a model needs at least one of them"),
        ({"smoothing": {}}, "set item_id: true, or smoothing: null"),
        ({"modalities": {"a": {"type": "sound"}}}, "modalities.a.*unknown type 'sound'"),
        ({"modalities": {"a-b": {"type": "text"}}}, "modalities.a-b: a name is made of"),
        ({"modalities": {"values": {"type": "text"}}}, "this name is reserved"),
        ({"modalities": {"a": {"type": "id"}, "b": {"type": "id"}}}, "a and b are both of type id"),
        ({"modalities": ["text"]}, "modalities"),
    ],
)
def test_what_fits_nothing_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model(content)


def test_the_network_has_one_order_however_the_mapping_is_written() -> None:
    """Fusions number the modalities, and tools sort the keys of a file."""
    turned = {"modalities": dict(reversed(LISTED["modalities"].items()))}
    assert (
        [*model(turned).build_modalities()]
        == [*model(LISTED).build_modalities()]
        == ["title", "poster", "sku"]
    )
    two = model({"modalities": {"b": {"type": "text"}, "i": {"type": "id"}, "a": {"type": "text"}}})
    assert [*two.build_modalities()] == ["a", "b", "i"]
    assert [*model({"item_id": True, "item_group": True}).build_modalities()] == [
        "text",
        "image",
        "id",
        "group",
    ]


def test_names_are_shown() -> None:
    assert (
        describe_model(ExperimentConfig.model_validate({"model": LISTED}))
        == "sasrec (sku+title+poster, gated)"
    )
