"""The generated storefront: determinism, what shows where, and the log."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from crossrec.data.sources.base import RawData
from crossrec.data.sources.demo import source as storefront
from crossrec.data.sources.demo import texts
from crossrec.data.sources.demo.pictures import Painter
from crossrec.data.sources.demo.shoppers import DAY, FIRST_SECOND
from crossrec.data.sources.demo.source import DemoSource
from crossrec.data.sources.demo.truth import DemoTruth
from crossrec.data.sources.demo.vocabulary import (
    CATEGORIES,
    COLOURS,
    MATERIALS,
    OCCASIONS,
    PATTERNS,
)

SMALL = DemoSource.Options(n_products=240, n_shoppers=200, image_size=48)
COLOUR_WORDS = {
    *COLOURS,
    *("crimson", "scarlet", "maroon", "gold", "golden", "lime", "olive", "mint", "cyan", "turquoise", "navy"),
    *("azure", "indigo", "violet", "lilac", "magenta", "rose", "beige", "tan", "cream", "ivory", "white"),
    *("black", "grey", "gray", "silver", "anthracite"),
}
PATTERN_WORDS = {
    *PATTERNS,
    *("stripe", "striped", "dot", "dotted", "spots", "spotted", "check", "checked", "checkered", "plaid"),
    *("tartan", "gingham", "chevron", "flower", "floral", "flowery", "patterned", "pattern", "printed"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def raw(cache: Path) -> RawData:
    return SMALL.build(None, cache).load()


@pytest.fixture(scope="module")
def truth(cache: Path, raw: RawData) -> DemoTruth:
    return DemoTruth.load(SMALL.folder(cache))


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z][a-z-]*", text.lower()))


# --- files -----------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    raw: RawData, cache: Path, tmp_path: Path
) -> None:
    first = _hashes(SMALL.folder(cache))
    SMALL.build(None, tmp_path).load()
    assert _hashes(SMALL.folder(tmp_path)) == first
    other = SMALL.model_copy(update={"seed": 1})
    other.build(None, tmp_path).load()
    different = _hashes(other.folder(tmp_path))
    for name in ("items.arrow", "interactions.arrow", "truth/tastes.npy"):
        assert different[name] != first[name]


def test_a_finished_storefront_is_read_and_not_made_again(
    raw: RawData, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: DemoSource.Options, folder: Path) -> None:
        raise AssertionError("generated again")

    monkeypatch.setattr(storefront, "_write", fail)
    again = SMALL.build(None, cache).load()
    assert again.interactions.frame.equals(raw.interactions.frame)


def test_the_second_of_two_processes_keeps_the_first_ones_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SMALL.folder(tmp_path)

    def overtaken(config: DemoSource.Options, temporary: Path) -> None:
        (temporary / "mine").touch()
        folder.mkdir(parents=True)
        (folder / "theirs").touch()

    monkeypatch.setattr(storefront, "_write", overtaken)
    assert storefront.ensure(SMALL, folder) == folder
    assert [path.name for path in tmp_path.rglob("*")] == [folder.name, "theirs"]


def test_a_failed_generation_leaves_nothing_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(config: DemoSource.Options, temporary: Path) -> None:
        (temporary / "half").touch()
        raise OSError("no space left on device")

    monkeypatch.setattr(storefront, "_write", full)
    with pytest.raises(OSError, match="no space left"):
        SMALL.build(None, tmp_path).load()
    assert list(tmp_path.iterdir()) == []


def test_picture_size_does_not_change_clicks_or_texts(raw: RawData, tmp_path: Path) -> None:
    larger = SMALL.model_copy(update={"image_size": 64}).build(None, tmp_path).load()
    assert larger.interactions.frame.equals(raw.interactions.frame)
    assert larger.catalog.dataset["text"][:] == raw.catalog.dataset["text"][:]


# --- catalogue -------------------------------------------------------------------------------------


def test_catalogue_columns_tell_no_hidden_attribute(raw: RawData) -> None:
    assert set(raw.catalog.dataset.column_names) == {
        *("item_id", "title", "text", "image_path", "categories", "price", "image_bytes", "launched_at")
    }
    assert raw.note == "generated storefront, not real shoppers"


def test_shares_of_what_is_missing(raw: RawData) -> None:
    assert (~raw.catalog.has_image).sum() == round(SMALL.missing_image_share * SMALL.n_products)
    assert (~raw.catalog.has_text).sum() == round(SMALL.missing_text_share * SMALL.n_products)
    assert (raw.catalog.has_image | raw.catalog.has_text).all()


def test_text_names_category_material_and_occasion_but_nothing_that_only_the_picture_shows(
    raw: RawData, truth: DemoTruth
) -> None:
    occasions = list(OCCASIONS.values())
    for i, (title, text) in enumerate(
        zip(raw.catalog.dataset["title"], raw.catalog.dataset["text"], strict=True)
    ):
        level = {name: int(values[i]) for name, values in truth.levels.items()}
        category = CATEGORIES[level["category"]]
        assert any(noun.lower() in title.lower() for noun in category.nouns)
        assert not _words(title) & (set(MATERIALS) | COLOUR_WORDS | PATTERN_WORDS)
        if text is None:
            continue
        assert any(noun in text for noun in category.nouns)
        assert _words(text) & set(MATERIALS) == {MATERIALS[level["material"]]}
        named = [k for k, values in enumerate(occasions) if any(phrase in text for phrase in values)]
        assert named == [level["occasion"]]
        assert not _words(text) & (COLOUR_WORDS | PATTERN_WORDS)
        assert "{" not in text
        assert len(re.findall(r"[.?!](?: |$)", text)) >= 3


def test_no_phrase_gives_a_hidden_attribute_away() -> None:
    sentences = [*texts.OPENERS, *texts.CLOSERS, *texts.BRANDS, *texts.TITLES]
    sentences += [*texts.MATERIAL_SENTENCES, *texts.OCCASION_SENTENCES]
    sentences += [text for group in (texts.FEATURES, texts.VIRTUES) for row in group.values() for text in row]
    sentences += [start + end for start in texts.NAME_STARTS for end in texts.NAME_ENDS]
    occasions = {word for values in OCCASIONS.values() for phrase in values for word in _words(phrase)}
    common = {"a", "and", "the", "with", "in", "at", "of", "days", "long", "first", "late", "nights", "week"}
    common |= {"flat", "s"}
    forbidden = COLOUR_WORDS | PATTERN_WORDS | set(MATERIALS) | (occasions - common)
    found = {word: text for text in sentences for word in _words(text) & forbidden}
    assert found == {}


def test_texts_vary(raw: RawData) -> None:
    texts = [text for text in raw.catalog.dataset["text"] if text]
    assert len(set(texts)) == len(texts)


def test_a_picture_follows_from_category_colour_and_pattern_alone(raw: RawData, truth: DemoTruth) -> None:
    assert list(inspect.signature(Painter.draw).parameters) == [
        "self",
        "category",
        "colour",
        "pattern",
        "rng",
    ]
    stream = np.random.SeedSequence(SMALL.seed).spawn(len(storefront.STREAMS))[
        storefront.STREAMS.index("pictures")
    ]
    seeds = np.random.default_rng(stream).integers(2**63, size=SMALL.n_products)
    painter = Painter(SMALL.image_size)
    for i in np.flatnonzero(raw.catalog.has_image)[:40]:
        category, colour, pattern = (int(truth.levels[name][i]) for name in ("category", "colour", "pattern"))
        drawn = painter.draw(category, colour, pattern, np.random.default_rng(seeds[i]))
        assert drawn == raw.catalog.image_bytes(int(i))


def test_every_picture_opens_at_its_size(raw: RawData) -> None:
    for i in np.flatnonzero(raw.catalog.has_image):
        picture = raw.catalog.image(int(i))
        assert picture is not None
        assert picture.size == (SMALL.image_size, SMALL.image_size)


def test_colours_can_be_read_off_the_pixels() -> None:
    """A linear classifier on a few mean colours: chance is 0.1."""
    painter, rng = Painter(48), np.random.default_rng(5)
    labels = rng.integers(len(COLOURS), size=600)
    features = np.stack([_mean_colours(painter, int(label), rng) for label in labels])
    features = np.hstack([features, features**2, np.ones((600, 1))])
    targets = np.eye(len(COLOURS))[labels]
    penalty = 1e-3 * np.eye(features.shape[1])
    weights = np.linalg.solve(features[:400].T @ features[:400] + penalty, features[:400].T @ targets[:400])
    accuracy = ((features[400:] @ weights).argmax(1) == labels[400:]).mean()
    assert accuracy > 0.45


def _mean_colours(painter: Painter, colour: int, rng: np.random.Generator) -> np.ndarray:
    import io

    from PIL import Image

    category, pattern = int(rng.integers(len(CATEGORIES))), int(rng.integers(len(PATTERNS)))
    picture = Image.open(io.BytesIO(painter.draw(category, colour, pattern, rng)))
    pixels = np.asarray(picture, dtype=np.float64) / 255
    middle = pixels[12:40, 12:40].reshape(-1, 3)
    vivid = middle - middle.mean(1, keepdims=True)
    return np.concatenate([middle.mean(0), middle.std(0), (vivid * np.abs(vivid)).mean(0) * 10])


# --- log -------------------------------------------------------------------------------------------


def test_log_holds_each_pair_once_and_grows_in_time(raw: RawData) -> None:
    frame = raw.interactions.frame
    assert frame.select("user_id", "item_id").is_unique().all()
    assert frame.select("user_id", "timestamp").is_unique().all()
    assert frame["timestamp"].is_sorted()
    assert set(frame["event"].unique()) == {"click", "purchase"}
    elapsed = (frame["timestamp"].to_numpy() - FIRST_SECOND) / (DAY * SMALL.days)
    assert elapsed.min() >= 0
    assert elapsed.max() <= 1
    assert 15 < len(frame) / SMALL.n_shoppers < 35


def test_nothing_is_clicked_before_its_launch(raw: RawData) -> None:
    launched = dict(zip(raw.catalog.dataset["item_id"], raw.catalog.dataset["launched_at"], strict=True))
    frame = raw.interactions.frame
    assert all(t >= launched[i] for i, t in zip(frame["item_id"], frame["timestamp"], strict=True))


def test_config_rejects_nonsense() -> None:
    with pytest.raises(ValueError, match="n_product"):
        DemoSource.Options.model_validate({"n_prodcts": 5})
