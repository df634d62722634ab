"""Folders that are shared: the same scores after loading, nothing of the machine or its users, a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import crossrec
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError, Sequences

HISTORY = ["i2", "i6", "i10"]


def scores(shop: LoadedRecommender) -> np.ndarray:
    histories = Sequences.from_lists([[2, 6, 10], [1], [5, 39, 0, 3]])
    return shop.model.view(None).score(histories).numpy()


@pytest.fixture(scope="module")
def folder(shop: LoadedRecommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.save_pretrained(tmp_path_factory.mktemp("shared") / "shop", license="apache-2.0")


@pytest.fixture(scope="module")
def loaded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedRecommender:
    """From a copy elsewhere, as somebody else would have it."""
    there = tmp_path_factory.mktemp("elsewhere") / "downloaded"
    shutil.copytree(folder, there)
    return crossrec.load(there, device="cpu")


def test_the_same_scores_lists_and_neighbours(shop: LoadedRecommender, loaded: LoadedRecommender) -> None:
    np.testing.assert_array_equal(scores(loaded), scores(shop))
    for asked in (
        {},
        {"rerank": "run"},
        {"rerank": {"type": "calibrated"}},
        {"modalities": {"image"}},
        {"filters": [{"column": "brand", "equals": "brand 1"}]},
    ):
        assert loaded.recommend(HISTORY, **asked).item_ids == shop.recommend(HISTORY, **asked).item_ids
    for space in ("model", "text", "image", "content", "behaviour"):
        assert loaded.similar("i8", space=space).item_ids == shop.similar("i8", space=space).item_ids
    assert loaded.popular().item_ids == shop.popular().item_ids


def test_users_stay_at_home_unless_asked_for(
    shop: LoadedRecommender, loaded: LoadedRecommender, tmp_path: Path
) -> None:
    assert list(loaded.user_ids) == []
    with pytest.raises(InputError, match="without its users' log"):
        loaded.recommend(user_id="u1")
    with pytest.raises(InputError, match="without a log"):
        loaded.recommend_batch(tmp_path / "all.parquet")
    with pytest.raises(InputError, match="without its users' log"):
        loaded.save_pretrained(tmp_path / "x", with_users=True)
    again = crossrec.load(shop.save_pretrained(tmp_path / "with-users", with_users=True), device="cpu")
    assert list(again.user_ids) == list(shop.user_ids)
    ours, theirs = (one.users.histories(["u3", "u17"]) for one in (again, shop))
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_array_equal(ours.times, theirs.times)
    assert again.recommend(user_id="u3").item_ids == shop.recommend(user_id="u3").item_ids


def test_nothing_of_the_machine_is_written(folder: Path, shop: LoadedRecommender) -> None:
    root = str(shop.config.data.root)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".json",
        ".md",
        ".parquet",
        ".safetensors",
    }
    for path in folder.rglob("*"):
        if path.is_file():
            assert root.encode() not in path.read_bytes(), path
    items = pq.read_table(folder / "items.parquet")
    assert items["image_path"].null_count == len(items)
    assert "image_bytes" not in items.column_names


@pytest.mark.parametrize("pictures", ["thumbnails", "full"])
def test_pictures_go_along_on_request(shop: LoadedRecommender, tmp_path: Path, pictures: Any) -> None:
    again = crossrec.load(shop.save_pretrained(tmp_path / "shop", pictures=pictures), device="cpu")
    assert again.catalog.image(3) is None
    picture = again.catalog.image(8)
    assert picture is not None
    assert picture.size == (32, 32)
    np.testing.assert_array_equal(scores(again), scores(shop))


def test_the_card_tells_data_protocol_and_metrics(folder: Path, shop: LoadedRecommender) -> None:
    from huggingface_hub import ModelCard

    text = (folder / "README.md").read_text(encoding="utf-8")
    metrics = shop.about.metrics
    card: Any = ModelCard(text)
    assert card.data.library_name == "crossrec"
    assert card.data.license == "apache-2.0"
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found["ndcg@10"] == metrics["ndcg@10"]["value"]
    assert {"coverage@10", "gini@10", "ild@10"} <= set(found)
    low, high = metrics["ndcg@10"]["ci95"]
    assert f"{metrics['ndcg@10']['value']:.4f} [{low:.4f}, {high:.4f}]" in text
    assert metrics["protocol"] in text
    assert "mmr 0.6" in text
    assert "crossrec.load(" in text
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_note_of_generated_data_stands_on_the_card(shop: LoadedRecommender) -> None:
    from dataclasses import replace

    from crossrec.serving.pretrained.card import model_card

    about = replace(shop.about, data_note="generated storefront, not real shoppers", metrics={})
    text = model_card(replace(shop.state, about=about), with_users=False, pictures="none", license=None)
    assert "**Generated storefront, not real shoppers.**" in text
    assert "Nothing was measured" in text
    assert "license" not in yaml.safe_load(text.split("---")[1])


def test_new_items_before_saving_and_after_loading(fresh_shop: LoadedRecommender, tmp_path: Path) -> None:
    new = {"item_id": "a", "text": "red shoe", "categories": ["fresh"], "price": 2.0}
    fresh_shop.add_items([new])
    again = crossrec.load(fresh_shop.save_pretrained(tmp_path / "shop"), device="cpu")
    assert again.n_items == 41
    np.testing.assert_allclose(scores(again), scores(fresh_shop), atol=1e-6)
    np.testing.assert_allclose(
        again.embeddings("content").vectors, fresh_shop.embeddings("content").vectors, atol=1e-6
    )
    for one in (again, fresh_shop):
        one.add_items([{"item_id": "b", "text": "blue wool", "image": fresh_shop.catalog.image(8)}])
    assert again.n_items == 42
    np.testing.assert_allclose(scores(again), scores(fresh_shop), atol=1e-6)
    once_more = crossrec.load(again.save_pretrained(tmp_path / "shop"), device="cpu")
    np.testing.assert_allclose(scores(once_more), scores(again), atol=1e-6)


def test_trained_encoders_and_adapters(trained_encoders: Path, tmp_path: Path) -> None:
    shop = crossrec.load(trained_encoders, device="cpu")
    folder = shop.save_pretrained(tmp_path / "shop")
    assert (folder / "adapter-text" / "adapter_config.json").exists()
    again = crossrec.load(folder, device="cpu")
    np.testing.assert_array_equal(scores(again), scores(shop))
    assert again.recommend(HISTORY, modalities={"text"}).scores == pytest.approx(
        shop.recommend(HISTORY, modalities={"text"}).scores, abs=1e-5
    )
    for one in (again, shop):
        one.add_items([{"item_id": "b", "text": "blue wool", "image": shop.catalog.image(8)}])
    np.testing.assert_allclose(scores(again), scores(shop), atol=1e-5)


def test_other_folders_are_left_alone(shop: LoadedRecommender, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not yours")
    with pytest.raises(InputError, match="has another file"):
        shop.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_somebody_else_put_into_an_earlier_folder_is_not_lost(
    shop: LoadedRecommender, tmp_path: Path
) -> None:
    folder = shop.save_pretrained(tmp_path / "shared")
    shop.save_pretrained(folder)
    (folder / ".git").mkdir()
    with pytest.raises(InputError, match=r"\.git\), which would be lost"):
        shop.save_pretrained(folder)
    assert (folder / ".git").is_dir()


@pytest.mark.parametrize("name", ["model.safetensors", "features.safetensors"])
def test_a_folder_that_is_not_whole(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / name).unlink()
    with pytest.raises(InputError, match=f"{name} does not exist"):
        crossrec.load(tmp_path / "broken")


def test_a_newer_format_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "newer")
    path = tmp_path / "newer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        crossrec.load(tmp_path / "newer")


def test_push_uploads_a_whole_folder(
    shop: LoadedRecommender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    calls: dict[str, Any] = {}

    class FakeApi:
        def __init__(self, token: str | None = None) -> None:
            calls["token"] = token

        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
            calls["repo"] = (repo_id, private, exist_ok)

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
            shutil.copytree(folder_path, tmp_path / "uploaded")
            return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    assert shop.push_to_hub("me/my-shop", token="secret") == "https://hub/me/my-shop/commit/1"
    assert calls == {"token": "secret", "repo": ("me/my-shop", True, True)}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(tmp_path / "uploaded"))
    from_hub = LoadedRecommender.from_pretrained("me/my-shop", device="cpu")
    np.testing.assert_array_equal(scores(from_hub), scores(shop))
    with pytest.raises(InputError, match="user/name"):
        shop.push_to_hub("my-shop")


def test_names_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch, run_folder: Path, folder: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(name: str, **_: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match="no folder here, and the hub can't be reached"):
        crossrec.load("runs/demx")
    with pytest.raises(InputError, match="no name on the hub"):
        crossrec.load("nowhere")
    with pytest.raises(InputError, match="holds no run"):
        crossrec.load(run_folder.parent)
    with pytest.raises(InputError, match="can't be overridden"):
        crossrec.load(folder, overrides=["seed=1"])
    with pytest.raises(InputError, match="can't be used here"):
        crossrec.load(folder, device="tpu9")
