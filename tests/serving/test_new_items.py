"""Items added to a trained recommender: recommendable at once, and nothing else changes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import crossrec
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError

HISTORY = ["i2", "i6", "i10"]


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def like(shop: LoadedRecommender, old: str, **changes: Any) -> dict[str, Any]:
    """A new item with text and picture of one that there is."""
    row = shop.index(old)
    return {
        "item_id": f"new-{old}",
        "title": "A new thing",
        "text": shop.catalog.texts(np.asarray([row]))[0],
        "image": shop.catalog.image_bytes(row),
        **changes,
    }


def all_scores(shop: LoadedRecommender, n: int) -> np.ndarray:
    """Scores of the first n items for all users, as they are served."""
    rows = shop.users.histories(list(shop.user_ids))
    return shop.model.view(None).score(rows)[:, :n].numpy().copy()


def test_old_scores_are_the_same_bit_for_bit(fresh_shop: LoadedRecommender) -> None:
    shop, n = fresh_shop, fresh_shop.n_items
    before, vectors = all_scores(shop, n), shop.recommender.item_vectors().clone()
    traits = shop.items.table.unit("content").clone()
    for number in range(3):
        rows = [like(shop, f"i{8 + number}", item_id=f"n{number}-{part}") for part in range(number + 1)]
        assert shop.add_items(rows) == [row["item_id"] for row in rows]
        np.testing.assert_array_equal(all_scores(shop, n), before)
        assert torch.equal(shop.recommender.item_vectors()[:n], vectors)
        assert torch.equal(shop.items.table.unit("content")[:n], traits)
    assert shop.n_items == shop.recommender.n_items == n + 6 == len(shop.item_ids)
    assert shop.embeddings("image").vectors.shape[0] == n + 6


def test_a_copy_of_an_item_is_known_as_that_item(fresh_shop: LoadedRecommender) -> None:
    shop = fresh_shop
    shop.add_items([like(shop, "i8"), like(shop, "i9", image=None)])
    content = {"text", "image"}
    found = {p.item_id: p.score for p in shop.recommend(HISTORY, k=100, modalities=content)}
    assert found["new-i8"] == pytest.approx(found["i8"], abs=1e-4)
    assert found["new-i9"] != pytest.approx(found["i9"], abs=1e-4)
    by_text = {p.item_id: p.score for p in shop.recommend(HISTORY, k=100, modalities={"text"})}
    assert by_text["new-i9"] == pytest.approx(by_text["i9"], abs=1e-4)
    for space in ("text", "image", "content"):
        nearest = {p.item_id: p.score for p in shop.similar("i8", k=10, space=space)}
        # Some other items have the very same text.
        assert nearest["new-i8"] == pytest.approx(max(nearest.values()), abs=1e-5)
        assert nearest["new-i8"] == pytest.approx(1, abs=1e-3)
    # In a history the new item says what the old one says.
    ours, theirs = (
        shop.recommend(["i2", i], k=5, modalities=content, exclude_seen=False) for i in ("new-i8", "i8")
    )
    assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


def test_filters_and_rerankers_see_new_items(fresh_shop: LoadedRecommender) -> None:
    shop = fresh_shop
    new = like(shop, "i8", categories="fresh|red", price=3.5, brand="brand 1", stock=7)
    shop.add_items([new])
    only = [{"column": "categories", "equals": "fresh"}]
    assert shop.recommend(HISTORY, filters=only).item_ids == ["new-i8"]
    assert shop.recommend(HISTORY, filters=only, rerank="run").item_ids == ["new-i8"]
    assert shop.recommend(HISTORY, context={"brand": "brand 1", "stock": 7}, k=99).item_ids[-1:] == ["new-i8"]
    details = shop.recommend(HISTORY, filters=only).details()[0]
    assert details["categories"] == ["fresh", "red"]
    assert (details["price"], details["brand"], details["stock"]) == (3.5, "brand 1", 7)
    for rerank in ("mmr", "calibrated", "popularity", "run"):
        assert len(shop.recommend(HISTORY, k=shop.n_items, rerank=rerank)) == shop.n_items - len(HISTORY)


def test_a_quota_remembers_what_it_showed_before_an_item_came(fresh_shop: LoadedRecommender) -> None:
    shop, quota = fresh_shop, {"type": "quota", "diversity": 1}
    last = [shop.recommend(HISTORY, k=5, rerank=quota).item_ids[4] for _ in range(3)]
    shop.add_items([like(shop, "i8")])
    last += [shop.recommend(HISTORY, k=5, rerank=quota).item_ids[4] for _ in range(3)]
    assert len(set(last)) == 6


def test_pictures_come_as_path_bytes_or_pillow(fresh_shop: LoadedRecommender, tmp_path: Path) -> None:
    shop = fresh_shop
    picture = Image.new("RGB", (40, 30), (10, 200, 90))
    (tmp_path / "new.png").write_bytes(png(picture))
    forms = {
        "path": tmp_path / "new.png",
        "text": str(tmp_path / "new.png"),
        "bytes": png(picture),
        "pil": picture,
    }
    shop.add_items([{"item_id": name, "image": form} for name, form in forms.items()])
    vectors = shop.embeddings().vectors[-4:]
    np.testing.assert_allclose(vectors, np.tile(vectors[:1], (4, 1)), atol=1e-6)
    (tmp_path / "new.png").unlink()
    assert shop.catalog.image(shop.index("path")) is not None


def test_frames_of_polars_and_pandas(fresh_shop: LoadedRecommender) -> None:
    pandas = pytest.importorskip("pandas")
    rows = {"item_id": ["a", "b"], "text": ["red shoe", "blue wool"], "price": [1.0, None]}
    fresh_shop.add_items(pl.DataFrame(rows))
    fresh_shop.add_items(pandas.DataFrame({**rows, "item_id": ["c", "d"]}))
    vectors = fresh_shop.embeddings().vectors[-4:]
    np.testing.assert_allclose(vectors[:2], vectors[2:], atol=1e-6)
    assert fresh_shop.catalog.column("price").to_pylist()[-4:] == [1.0, None, 1.0, None]
    assert fresh_shop.add_items([]) == []


GOOD = {"item_id": "good", "text": "a red shoe"}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"text": "red"}, "new item 1: item_id is missing"),
        ({"item_id": "i3", "text": "red"}, "'i3' is in the catalogue already"),
        ({"item_id": "good", "text": "red"}, "'good' is repeated among the new items"),
        ({"item_id": "x", "title": "red"}, "'x' has neither text nor image"),
        ({"item_id": "x", "text": "  "}, "'x' has neither text nor image"),
        ({"item_id": "x", "image": b"no picture"}, "'x': its image can't be read"),
        ({"item_id": "x", "image": "/nowhere/x.png"}, "'x': its image can't be read"),
        ({"item_id": "x", "image": "https://example.org/x.png"}, "download it"),
        ({"item_id": "x", "image": 3}, "path, bytes or a Pillow image"),
        ({"item_id": "x", "text": "red", "titel": "X"}, "unknown key 'titel'; did you mean 'title'"),
        ({"item_id": "x", "text": 5}, "text must be a text"),
        ({"item_id": "x", "text": "red", "price": "dear"}, "price must be a number"),
        ({"item_id": "x", "text": "red", "price": -1}, "price must be a number"),
        ({"item_id": "x", "text": "red", "stock": "many"}, "'stock' holds int64"),
        ({"item_id": "x", "text": "red", "categories": [1]}, "categories must be texts"),
    ],
)
def test_bad_rows_are_named_and_change_nothing(
    shop: LoadedRecommender, bad: dict[str, Any], told: str
) -> None:
    before, n = all_scores(shop, shop.n_items), shop.n_items
    with pytest.raises(InputError, match=told):
        shop.add_items([GOOD, bad])
    assert shop.n_items == shop.recommender.n_items == n
    assert "good" not in shop.catalog.index
    np.testing.assert_array_equal(all_scores(shop, n), before)


def test_a_truncated_picture_is_refused(shop: LoadedRecommender) -> None:
    whole = png(Image.effect_noise((64, 64), 50))
    with pytest.raises(InputError, match="can't be read"):
        shop.add_items([{"item_id": "x", "image": whole[: len(whole) // 2]}])


def test_trained_encoders_take_new_items_too(trained_encoders: Path) -> None:
    shop = crossrec.load(trained_encoders, device="cpu")
    n, before = shop.n_items, all_scores(shop, shop.n_items)
    shop.add_items([like(shop, "i8"), like(shop, "i9", text=None)])
    np.testing.assert_array_equal(all_scores(shop, n), before)
    vectors = shop.embeddings().vectors
    np.testing.assert_allclose(vectors[n], vectors[8], atol=1e-5)
    assert np.abs(vectors[n + 1] - vectors[9]).max() > 1e-3
    assert "new-i8" in shop.recommend(HISTORY, k=100).item_ids
    by_text = {p.item_id: p.score for p in shop.recommend(HISTORY, k=100, modalities={"text"})}
    assert by_text["new-i8"] == pytest.approx(by_text["i8"], abs=1e-4)
    assert by_text["new-i9"] == pytest.approx(by_text["i4"], abs=1e-4)  # neither has a text


def test_items_may_be_added_while_everybodys_lists_are_written(
    fresh_shop: LoadedRecommender, tmp_path: Path
) -> None:
    users = list(fresh_shop.user_ids[:3])

    class Adding(list[str]):
        """Users, before the second part of whom an item is added that suits them."""

        def __getitem__(self, some: Any) -> Any:
            if isinstance(some, slice) and some.start == 1:
                fresh_shop.add_items([like(fresh_shop, f"i{number}") for number in (8, 9, 10)])
            return super().__getitem__(some)

    path = fresh_shop.recommend_batch(tmp_path / "all.parquet", user_ids=Adding(users), k=100, batch_size=1)
    listed = pl.read_parquet(path)
    assert listed.filter(pl.col("user_id") == users[0])["item_id"].str.starts_with("new").sum() == 0
    assert listed.filter(pl.col("user_id") == users[2])["item_id"].str.starts_with("new").sum() == 3
