"""The chain of text augmenters and its configuration."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from crossrec.augment.base import Augmenter
from crossrec.augment.content.text.base import Encode, TextAugmenter
from crossrec.augment.content.variants import TextVariantsConfig
from crossrec.config import Config, validate
from crossrec.types import ConfigError

TEXTS = ["A dog barks when it rains.", "", "1984", "They're late, and she won't wait.", "医生来到了村庄。"]
KEYS = ["a", "b", "c", "d", "e"]
NOISE = {"type": "character_noise", "rate": 0.2}


def config(*augmenters: Mapping[str, object], **fields: object) -> TextVariantsConfig:
    return validate(TextVariantsConfig, {"augmenters": augmenters, **fields}, "test", trust_code=True)


def test_variants_differ_and_repeat(tmp_path: Path) -> None:
    maker = config(NOISE, {"type": "transform"}, views=3).build(tmp_path)
    assert maker.count == 3
    views = [maker.variant(TEXTS, KEYS, 0, number) for number in range(3)]
    assert len({view.samples[0] for view in views}) == 3
    assert [maker.variant(TEXTS, KEYS, 0, n).samples for n in range(3)] == [v.samples for v in views]
    assert [maker.variant(TEXTS, KEYS, 1, n).samples for n in range(3)] != [v.samples for v in views]
    for view in views:
        assert view.samples[1:3] == TEXTS[1:3]
        assert view.changed.tolist() == [new != old for new, old in zip(view.samples, TEXTS, strict=True)]
        assert view.counts["character_noise/empty"] == 1
        assert sum(n for key, n in view.counts.items() if key.startswith("transform/")) == len(TEXTS)


def test_a_variant_depends_on_key_and_content_alone(tmp_path: Path) -> None:
    maker = config(NOISE).build(tmp_path)
    whole = maker.variant(TEXTS, KEYS, 0, 1).samples
    assert maker.variant(TEXTS[::-1], KEYS[::-1], 0, 1).samples == whole[::-1]
    assert maker.variant(TEXTS[3:4], KEYS[3:4], 0, 1).samples == whole[3:4]


def test_what_comes_back_as_it_was_is_not_marked(tmp_path: Path) -> None:
    swap = {"type": "reorder", "unit": "sentences"}
    view = config(swap, swap).build(tmp_path).variant(["One came. Two went."], ["a"], 0, 0)
    assert view.samples == ["One came. Two went."]
    assert view.counts["reorder.0/kept"] == view.counts["reorder.1/kept"] == 1
    assert not view.changed.any()


def test_config_round_trip_and_errors() -> None:
    made = config(NOISE, {"type": "paraphrase", "filters": {"min_similarity": 0.9}}, share=0.25)
    assert validate(TextVariantsConfig, made.model_dump(mode="json"), "again") == made
    with pytest.raises(ConfigError, match="did you mean 'synonyms'"):
        config({"type": "synonym"})
    with pytest.raises(ConfigError, match="augmenters"):
        config()


class Loud(Config):
    """An augmenter from outside the project."""

    def build(self, cache_dir: Path, encode: Encode | None = None) -> Augmenter[list[str]]:
        """The augmenter."""
        return Shout()


class Shout(TextAugmenter):
    """Writes everything large."""

    def rewrite(self, text: str, generator: np.random.Generator) -> str:
        """The text in capitals."""
        return text.upper()


def test_an_augmenter_from_outside_needs_neither_type_nor_probability(tmp_path: Path) -> None:
    outside: dict[str, object] = {"type": f"{__name__}:Loud"}
    made = config(outside).build(tmp_path).variant(["a", ""], ["x", "y"], 0, 0)
    assert made.samples == ["A", ""]
    assert made.counts == {"Loud/kept": 1, "Loud/empty": 1}


def test_lengths_that_nothing_can_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="no paraphrase would pass"):
        config({"type": "paraphrase", "filters": {"min_length_ratio": 2}})


def test_config_loads_nothing_heavy() -> None:
    code = "import sys, crossrec.augment.content.variants; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
