"""The chain of text augmenters and its configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crossrec.augment.text.config import TextViewsConfig
from crossrec.config import ConfigError, validate

TEXTS = ["A dog barks when it rains.", "", "1984", "They're late, and she won't wait.", "医生来到了村庄。"]
KEYS = ["a", "b", "c", "d", "e"]
NOISE = {"type": "character_noise", "rate": 0.2}


def config(*augmenters: dict[str, object], **fields: object) -> TextViewsConfig:
    return validate(TextViewsConfig, {"augmenters": augmenters, **fields}, "test")


def test_views_differ_and_repeat(tmp_path: Path) -> None:
    chain = config(NOISE, {"type": "transform"}, views=3).build(tmp_path)
    views = chain.views(TEXTS, KEYS, 0)
    assert len(views) == 3
    assert len({view.samples[0] for view in views}) == 3
    assert [v.samples for v in chain.views(TEXTS, KEYS, 0)] == [v.samples for v in views]
    assert [v.samples for v in chain.views(TEXTS, KEYS, 1)] != [v.samples for v in views]
    for view in views:
        assert view.samples[1:3] == TEXTS[1:3]
        assert view.changed.tolist() == [new != old for new, old in zip(view.samples, TEXTS, strict=True)]
        assert view.counts["character_noise/empty"] == 1
        assert sum(n for key, n in view.counts.items() if key.startswith("transform/")) == len(TEXTS)


def test_a_view_depends_on_key_and_content_alone(tmp_path: Path) -> None:
    chain = config(NOISE).build(tmp_path)
    whole = chain.views(TEXTS, KEYS, 0)[1].samples
    assert chain.views(TEXTS[::-1], KEYS[::-1], 0)[1].samples == whole[::-1]
    assert chain.views(TEXTS[3:4], KEYS[3:4], 0)[1].samples == whole[3:4]


def test_probability(tmp_path: Path) -> None:
    never = config({**NOISE, "probability": 0}).build(tmp_path).views(TEXTS, KEYS, 0)[0]
    assert never.samples == TEXTS
    assert never.counts == {"character_noise/not_drawn": len(TEXTS)}
    many = ["a dog barks"] * 400
    half = config({**NOISE, "probability": 0.5}).build(tmp_path).views(many, range(400), 0)[0]
    assert abs(int(half.changed.sum()) - 200) < 50


def test_an_augmenter_twice_is_counted_by_place(tmp_path: Path) -> None:
    view = config(NOISE, NOISE).build(tmp_path).views(TEXTS, KEYS, 0)[0]
    assert {"character_noise.0/kept", "character_noise.1/kept"} <= view.counts.keys()


def test_config_round_trip_and_errors() -> None:
    made = config(NOISE, {"type": "paraphrase", "filters": {"min_similarity": 0.9}}, share=0.25)
    assert validate(TextViewsConfig, made.model_dump(mode="json"), "again") == made
    with pytest.raises(ConfigError, match="did you mean 'synonyms'"):
        config({"type": "synonym"})
    with pytest.raises(ConfigError, match="augmenters"):
        config()


def test_config_loads_nothing_heavy() -> None:
    code = "import sys, crossrec.augment.text.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
