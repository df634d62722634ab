"""The films of ``docs/your_data.md``: texts, posters, scenes, sound and facts from one configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from PIL import Image

import crossrec
from crossrec.config import merge, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.training import run_training
from crossrec.types import InputError

PAGE = Path(__file__).parents[2] / "docs" / "your_data.md"
N = 40
CLUSTER = np.arange(N) % 4
COLOURS = ("red", "green", "blue", "white")
WORDS = ("a dog and puppy", "tax law", "red shirt of linen", "blue shoe for winter")
SILENT, BARE = 5, 6
"""A film without sound, and one without scenes and facts."""


def documented() -> dict[str, Any]:
    (found,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S) if "audio:" in block
    )
    return yaml.safe_load(found)


def write_films(folder: Path) -> None:
    (folder / "posters").mkdir(parents=True)
    (folder / "scenes").mkdir()
    rng = np.random.default_rng(0)
    for row, cluster in enumerate(CLUSTER):
        shade = Image.new("RGB", (32, 32), COLOURS[cluster])
        shade.putpixel((row % 32, row // 32), (0, 0, 0))
        shade.save(folder / "posters" / f"f{row}.png")
        for scene in range(0 if row == BARE else row % 6):
            shade.save(folder / "scenes" / f"f{row}_{scene}.jpg")
    (folder / "scenes" / "f0_0.jpg").write_bytes(b"no picture")
    pl.DataFrame(
        {
            "item_id": [f"f{row}" for row in range(N)],
            "title": [f"{WORDS[(cluster + 1) % 4]} {row}" for row, cluster in enumerate(CLUSTER)],
            "plot": [WORDS[cluster] for cluster in CLUSTER],
            "year": [None if row == BARE else 1980 + row for row in range(N)],
            "budget": [None if row == BARE else 10.0**cluster for row, cluster in enumerate(CLUSTER)],
            "studio": [None if row == BARE else f"studio {cluster}" for row, cluster in enumerate(CLUSTER)],
            "categories": [
                None if row == BARE else ["film", f"kind {cluster}"] for row, cluster in enumerate(CLUSTER)
            ],
        }
    ).write_parquet(folder / "films.parquet")
    sounding = rng.permutation([row for row in range(N) if row != SILENT])
    np.save(
        folder / "audio.npy",
        np.eye(4, 8, dtype=np.float32)[CLUSTER[sounding]] + 0.1 * rng.normal(size=(N - 1, 8)),
    )
    (folder / "audio_ids.txt").write_text("".join(f"f{row}\n" for row in sounding))
    views = [
        (f"u{user}", f"f{item}", 1_700_000_000 + 100 * step)
        for user in range(40)
        for step, item in enumerate(rng.permutation(np.flatnonzero(user % 4 == CLUSTER))[:8])
    ]
    pl.DataFrame(views, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "views.csv"
    )


@pytest.fixture(scope="module")
def config(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    folder = tmp_path_factory.mktemp("films")
    write_films(folder / "films")
    text = {"weights": str(tiny_bert), "max_tokens": 16}
    image = {"model": "test_resnet", "weights": "random", "image_size": 32}
    small = {
        "runs_dir": str(folder / "runs"),
        "data": {"root": str(folder / "films"), "cache_dir": str(folder / "cache")},
        "model": {
            "modalities": {"title": text, "plot": text, "poster": image, "scenes": image},
            "width": 16,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 3, "batch_size": 16, "lr": 0.01},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 20},
    }
    config = validate(ExperimentConfig, merge(documented(), small), "docs/your_data.md")
    run_training(config, report=False)
    return config


@pytest.fixture(scope="module")
def films(config: ExperimentConfig) -> LoadedRecommender:
    return crossrec.load(config.run_folder, device="cpu")


def test_every_modality_is_read_where_there_is_one(films: LoadedRecommender) -> None:
    modalities = films.recommender.network.items.modalities
    assert list(modalities) == ["plot", "title", "poster", "scenes", "audio", "facts", "id"]
    lacking = {
        name: [int(row) for row in (~modality.get_buffer("present")).nonzero()]
        for name, modality in modalities.items()
    }
    ids = {name: {films.item_ids[row] for row in rows} for name, rows in lacking.items()}
    assert ids["audio"] == {f"f{SILENT}"}
    assert ids["facts"] == {f"f{BARE}"}
    # Every sixth film has no scene, nor do the one whose scene is unreadable and the one without.
    assert ids["scenes"] == {f"f{row}" for row in range(N) if row % 6 == 0}
    assert not ids["title"] | ids["plot"] | ids["poster"]
    assert films.about.model == "sasrec (id+plot+title+poster+scenes+audio+facts, weighted)"


def test_lists_may_be_made_from_some_of_them(films: LoadedRecommender) -> None:
    history = ["f1", "f5", "f9"]
    every, sound = (films.recommend(history, k=5, modalities=names) for names in (None, ["audio"]))
    assert every.scores != sound.scores


def test_the_shared_folder_is_complete_without_the_files(
    films: LoadedRecommender, tmp_path: Path, config: ExperimentConfig
) -> None:
    films.save_pretrained(tmp_path / "shared", pictures="none")
    assert str(config.data.root) not in (tmp_path / "shared" / "config.json").read_text()
    shared = crossrec.load(tmp_path / "shared", device="cpu")
    ours, theirs = (found.recommend(["f1", "f5"], k=10) for found in (films, shared))
    assert ours.item_ids == theirs.item_ids
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)
    fresh = {
        "item_id": "new",
        "plot": WORDS[1],
        "year": 2001,
        "studio": "unheard of",
        "audio": [0, 1, *[0] * 6],
    }
    shared.add_items([fresh])
    row = torch.tensor([shared.index("new")])
    network = shared.recommender.network.items
    assert network.mask(row)[0].tolist() == [
        name in ("plot", "audio", "facts") for name in network.modalities
    ]
    with pytest.raises(
        InputError, match=r"the vectors of .* have 3 numbers, those that the model was trained with 8"
    ):
        shared.add_items([{**fresh, "item_id": "short", "audio": [0.0, 1.0, 2.0]}])


def test_explanations_name_every_text_and_picture(films: LoadedRecommender) -> None:
    found = films.explain(["f1", "f5"], "f9", methods=["words", "picture"])
    assert found.words is not None
    assert found.picture is not None
    assert [found.words.modality, *(words.modality for words in found.further_words)] == ["plot", "title"]
    assert found.words.text == WORDS[1]
    assert found.picture.modality == "poster"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": {"column": "titel"}}, r"column 'titel', but .*did you mean 'title'"),
        (
            {"plot": {"column": "year"}},
            r"column 'year' of the item table holds int64; texts are read from strings",
        ),
        ({"poster": {"column": "year"}}, "pictures are read from a column of paths"),
        ({"scenes": {"pattern": "none/{item_id}.jpg"}}, "no item has any in none"),
        ({"audio": {"file": "sound.npy"}}, r"sound\.npy does not exist; 'file' is relative to data\.root"),
        ({"audio": {"ids": None}}, r"39 rows and no ids, but the item table has 40 items"),
        (
            {"facts": {"numbers": ["studio"], "log": [], "categories": []}},
            "column 'studio' holds .*not numbers; name it in categories",
        ),
    ],
)
def test_what_can_not_be_read_is_refused_before_training(
    config: ExperimentConfig, change: dict[str, Any], message: str
) -> None:
    content = merge(config.model_dump(mode="json"), {"model": {"modalities": change}})
    with pytest.raises(InputError, match=message):
        PreparedExperiment.of(ExperimentConfig.model_validate(content)).network()
