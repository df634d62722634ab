"""Views of items: made once from training items alone, drawn in training alone, repeated by a seed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from crossrec.augment.image.config import ImageViewsConfig
from crossrec.augment.schedule import Schedule
from crossrec.augment.text.config import TextViewsConfig
from crossrec.augment.views import view_draws
from crossrec.data.catalog import Catalog
from crossrec.encoders.config import ImageEncoderConfig, Precision, TextEncoderConfig, Training
from crossrec.encoders.image import ImageEncoder
from crossrec.model.build import Content, build_network
from crossrec.model.config import ModelConfig
from crossrec.model.modalities import FrozenFeatures
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.view_plan import TrainingViews
from crossrec.model.views import ViewChoice, ViewedEncoder, ViewedFeatures, ViewVectors
from crossrec.sequence.config import SASRecConfig
from crossrec.types import InputError, Sequences

N = 14
PLAIN, BROKEN, MISSING, COLD = 3, 5, 7, 9
"""Items whose picture no flip changes, can't be read, is missing; an item without a training click."""
COUNTS = np.where(np.arange(N) == COLD, 0, 4)
VIEWS = 3
ENCODER = ImageEncoderConfig(model="test_resnet", weights="random", image_size=32, precision=Precision.FP32)


@dataclass(frozen=True)
class Augment:
    """What an experiment's augmentation says of texts and pictures."""

    image: ImageViewsConfig | None = None
    text: TextViewsConfig | None = None


def image_views(share: float = 0.5, **settings: object) -> ImageViewsConfig:
    augmenters = [{"type": "crop", "probability": 1}, {"type": "flip"}]
    fields = {"augmenters": augmenters, "views": VIEWS, "share": share, **settings}
    return ImageViewsConfig.model_validate(fields)


def text_views(share: float = 0.5, **settings: object) -> TextViewsConfig:
    augmenters = [{"type": "character_noise", "rate": 0.3}]
    return TextViewsConfig.model_validate(
        {"augmenters": augmenters, "views": VIEWS, "share": share, **settings}
    )


def picture(row: int) -> Image.Image:
    rng = np.random.default_rng(row)
    return Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).resize((40, 48))


def as_bytes(shown: Image.Image) -> bytes:
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


def catalogue() -> Catalog:
    pictures: list[bytes | None] = [as_bytes(picture(row)) for row in range(N)]
    pictures[PLAIN] = as_bytes(Image.new("RGB", (40, 48), "teal"))
    pictures[BROKEN] = b"no picture"
    pictures[MISSING] = None
    texts: list[str | None] = [f"a wide lamp of brass and glass number {row}" for row in range(N)]
    texts[PLAIN], texts[MISSING] = "12 34", None
    return Catalog.from_columns(
        {
            "item_id": [f"i{row}" for row in range(N)],
            "text": texts,
            "image_bytes": pictures,
            "categories": [["lamp"]] * N,
        }
    )


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(catalogue(), tmp_path)


def model(**settings: object) -> ModelConfig:
    fields = {"text": None, "image": ENCODER, "width": 8, "sequence": SASRecConfig(max_length=4), **settings}
    return ModelConfig.model_validate({**fields, "whiten": 4, "item_dropout": 0})


def network(
    content: Content, augment: Augment | None, config: ModelConfig | None = None
) -> SequentialNetwork:
    return build_network(config or model(), content, COUNTS, 0, augment)


def at_each_progress(modality: ViewedFeatures | ViewedEncoder, items: Tensor, steps: int) -> Iterator[Tensor]:
    """What lookups give in the steps of a training."""
    for step in range(steps):
        modality.choice.set_progress(step / steps)
        yield modality(items)


def pictures_of(content: Content, config: ImageViewsConfig) -> ViewedFeatures:
    plan = TrainingViews(Augment(config), COUNTS > 0, 0)
    found = content.image(ENCODER, 4, plan)
    assert isinstance(found, ViewedFeatures)
    return found


# --- what is drawn ---


def a_choice(share: float, seed: int = 0, stream: str = "image") -> ViewChoice:
    return ViewChoice(share, Schedule(), seed, stream)


def test_share_and_each_view_alike() -> None:
    items, counts = torch.arange(120_000), torch.tensor([0, 1, 4]).repeat(40_000)
    chosen = a_choice(0.4)(items, counts).view(-1, 3)
    assert (chosen[:, 0] == -1).all()
    for column, views in ((1, 1), (2, 4)):
        taken = chosen[:, column]
        assert (taken >= 0).float().mean() == pytest.approx(0.4, abs=0.01)
        shares = torch.bincount(taken[taken >= 0], minlength=views) / (taken >= 0).sum()
        assert len(shares) == views
        assert (shares - 1 / views).abs().max() < 0.015


def test_draws_are_those_of_splitmix64() -> None:
    choice = a_choice(0.5, seed=7)
    choice.set_progress(0.3)
    salt, whole = int(choice.salt) % 2**64, 2**64
    items, counts = torch.arange(500), torch.full((500,), 9)

    def uniform(item: int, salt: int) -> float:
        mixed = (item * 0x9E3779B97F4A7C15 + salt) % whole
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % whole
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % whole
        return ((mixed ^ (mixed >> 31)) >> 40) / 2**24

    expected = [int(uniform(i, salt + 1) * 9) if uniform(i, salt) < 0.5 else -1 for i in range(500)]
    assert choice(items, counts).tolist() == expected


@given(counts=st.lists(st.integers(0, 9), max_size=30), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_a_choice_exists(counts: list[int], share: float, seed: int) -> None:
    counts_K = torch.tensor(counts, dtype=torch.long)
    chosen_K = a_choice(share, seed)(torch.arange(len(counts)), counts_K)
    assert ((chosen_K >= -1) & (chosen_K < counts_K.clamp(min=0) + (counts_K == 0))).all()


def test_draws_depend_on_item_progress_seed_and_stream_alone() -> None:
    items, counts = torch.arange(200), torch.full((200,), 5)
    choice = a_choice(0.5)
    choice.set_progress(0.25)
    chosen = choice(items, counts)
    torch.manual_seed(99)  # what PyTorch drew before makes no difference, nor do order and company
    some = torch.randperm(200)[:70].repeat(2)
    assert torch.equal(choice(some, counts[some]), chosen[some])
    resumed = a_choice(0.5)
    resumed.set_progress(0.25)
    assert torch.equal(resumed(items, counts), chosen)
    others = [a_choice(0.5, seed=1), a_choice(0.5, stream="text"), a_choice(0.5)]
    for other in others:
        other.set_progress(0.25)
    others[-1].set_progress(0.5)
    assert all(0.4 < (other(items, counts) != chosen).float().mean() < 0.9 for other in others)


def test_progress_reaches_every_choice(content: Content) -> None:
    schedule = Schedule(start=0.2, stop=0.8, ramp=0.2)
    augment = Augment(image_views(share=0.5, schedule=schedule))
    trained = network(content, augment)
    found = [module for module in trained.modules() if isinstance(module, ViewChoice)]
    assert len(found) == 1
    chances = []
    for progress in (0.0, 0.3, 0.5, 0.9):
        trained.set_progress(progress)
        chances.append(float(found[0].chance))
    assert chances == pytest.approx([0, 0.25, 0.5, 0])
    trained.train()
    rows = torch.arange(N)
    torch.testing.assert_close(
        trained.items.modalities["image"](rows),
        trained.eval().items.modalities["image"](rows),
        rtol=0,
        atol=0,
    )


# --- frozen pictures ---


def test_evaluation_is_that_of_a_network_without_views(content: Content) -> None:
    histories = Sequences.from_lists([[0, 1, 2], [PLAIN, COLD], [BROKEN, MISSING, 4]])
    plain, viewed = network(content, None), network(content, Augment(image_views(share=1.0)))
    assert plain.state_dict().keys() == viewed.state_dict().keys()
    viewed.set_progress(0.5)
    scores = [NeuralRecommender(net).score(histories) for net in (plain, viewed)]
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0)
    rows = torch.arange(N)
    viewed.train()
    assert not torch.equal(viewed.item_vectors(rows), plain.item_vectors(rows))


def test_views_are_what_the_encoder_makes_of_augmented_pictures(content: Content) -> None:
    config = image_views(share=1.0)
    modality = pictures_of(content, config).train()
    encoder, maker, catalog = ENCODER.build(content.cache_dir), config.build(), content.catalog
    keys = content.image_keys()
    looked_up = torch.stack(list(at_each_progress(modality, torch.arange(N), 60)))
    original = modality.eval()(torch.arange(N))
    for item in range(N):
        lookups = looked_up[:, item]
        if item in (PLAIN, BROKEN, MISSING, COLD):
            assert (lookups == original[item]).all()
            continue
        key = str(keys[item])
        shown = catalog.image(item)
        assert shown is not None
        made = [maker.view([shown], [key], 0, view).samples[0] for view in range(VIEWS)]
        expected = modality.transform(torch.from_numpy(encoder.encode(made)).half())
        nearest = torch.cdist(lookups, expected).min(1)
        assert nearest.values.max() < 0.02 < torch.cdist(expected, original[item : item + 1]).min()
        assert set(nearest.indices.tolist()) == set(range(VIEWS))


def test_share_of_lookups(content: Content) -> None:
    modality = pictures_of(content, image_views(share=0.3))
    items = torch.tensor([0, 1, 2])
    original = modality.eval()(items)
    looked_up = torch.stack(list(at_each_progress(modality.train(), items, 1500)))
    assert (looked_up != original).any(2).float().mean(0) == pytest.approx([0.3] * 3, abs=0.04)


def test_lookups_of_a_step_see_the_same_in_any_order_and_company(content: Content) -> None:
    modality = pictures_of(content, image_views(share=0.5)).train()
    modality.choice.set_progress(0.5)
    together = modality(torch.arange(N))
    order = torch.tensor([8, 2, 2, 0, 12, 1])
    assert torch.equal(modality(order), together[order])
    original = modality.eval()(torch.arange(N))
    assert 0 < (together != original).any(1).sum() < N - 4


def test_features_on_disk_give_what_resident_ones_give(
    content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = pictures_of(content, image_views())
    monkeypatch.setattr("crossrec.model.views.RESIDENT_BYTES", 0)
    monkeypatch.setattr("crossrec.model.modalities.RESIDENT_BYTES", 0)
    mapped = pictures_of(content, image_views())
    assert "view_vectors" in dict(resident.named_buffers())
    assert "view_vectors" not in dict(mapped.named_buffers())
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, N, 200))
    for training in (True, False):
        found = [modality.train(training)(rows) for modality in (resident, mapped)]
        torch.testing.assert_close(found[0], found[1])


def test_views_are_whitened_by_the_originals() -> None:
    rng = np.random.default_rng(0)
    vectors, present = rng.normal(size=(20, 6)).astype(np.float32), np.arange(20) % 4 > 0
    views = ViewVectors(rng.normal(5, 9, size=(10, 6)).astype(np.float32), np.repeat(np.arange(5), 2))
    choice = a_choice(1.0)
    viewed = ViewedFeatures(vectors, present, views, choice, components=3)
    plain = FrozenFeatures(vectors, present, components=3)
    assert torch.equal(viewed.basis, plain.basis)
    assert torch.equal(viewed.mean, plain.mean)
    found = viewed.train()(torch.arange(5))
    possible = plain.transform(torch.from_numpy(views.vectors_TW)).view(5, 2, 3)
    assert torch.isclose(found[:, None], possible).all(2).any(1).all()


def test_rows_of_zeros_are_no_view() -> None:
    vectors, present = np.eye(4, dtype=np.float32), np.ones(4, bool)
    table = np.asarray([[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    views = ViewVectors(table, np.asarray([0, 0, 2, 2]))
    viewed = ViewedFeatures(vectors, present, views, a_choice(1.0), components=None).train()
    original = viewed.eval()(torch.arange(4))
    found = viewed.train()(torch.arange(4))
    assert torch.equal(found[1:], original[1:])
    assert torch.equal(found[:1], viewed.transform(torch.tensor([[1, 2, 3, 4]])))
    none = ViewVectors(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    bare = ViewedFeatures(vectors, present, none, a_choice(1.0), components=None).train()
    assert torch.equal(bare(torch.arange(4)), original)


def test_a_view_is_made_and_encoded_once(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = ImageEncoder.encode

    def counted(self: ImageEncoder, images: list[Image.Image]) -> np.ndarray:
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    usable = N - 4
    first = pictures_of(content, image_views())
    assert sum(encoded) == (N - 2) + usable * VIEWS
    encoded.clear()
    again = pictures_of(Content(catalogue(), content.cache_dir), image_views(share=0.9))
    assert sum(encoded) == 0
    assert torch.equal(again.get_buffer("view_vectors"), first.get_buffer("view_vectors"))
    pictures_of(content, image_views(views=VIEWS + 1))
    assert sum(encoded) == usable
    encoded.clear()
    rows = np.arange(N)[::-1].copy()
    turned = Content(content.catalog.select(rows), content.cache_dir)
    plan = TrainingViews(Augment(image_views()), (COUNTS > 0)[rows], 0)
    back = turned.image(ENCODER, 4, plan)
    assert sum(encoded) == 0
    assert torch.equal(back.get_buffer("counts"), first.counts.flip(0))
    content.image(ENCODER, 4, TrainingViews(Augment(image_views()), COUNTS > 0, 1))
    assert sum(encoded) == usable * VIEWS


def test_what_has_no_view_is_counted(content: Content, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="crossrec.model.view_plan"):
        modality = pictures_of(content, image_views())
    assert modality.counts.tolist() == [
        0 if item in (PLAIN, BROKEN, MISSING, COLD) else VIEWS for item in range(N)
    ]
    (line,) = [r.getMessage() for r in caplog.records if r.name == "crossrec.model.view_plan"]
    assert "views of the picture: 10 of 13 training items have 3.0 views" in line
    assert "2 have no readable picture, 1 came back unchanged in every view" in line
    assert "crop/kept 30, crop/looks the same 3" in line


def test_pictures_are_hashed_once(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []
    image_bytes = Catalog.image_bytes

    def noted(self: Catalog, row: int) -> bytes | None:
        hashed.append(int(row))
        return image_bytes(self, row)

    monkeypatch.setattr(Catalog, "image_bytes", noted)
    keys = content.image_keys()
    assert hashed == [row for row in range(N) if row != MISSING]
    assert content.image_keys() == keys
    assert len(hashed) == N - 1


def test_mixing_takes_training_pictures_alone(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    image = Catalog.image

    def noted(self: Catalog, row: int) -> Image.Image | None:
        opened.append(int(row))
        return image(self, row)

    content.image_features(ENCODER)
    monkeypatch.setattr(Catalog, "image", noted)
    config = image_views(augmenters=[{"type": "cutmix", "probability": 1}])
    assert pictures_of(content, config).counts.sum() > 0
    assert not {COLD, BROKEN, MISSING} & set(opened)


# --- encoders inside the training step ---


@pytest.mark.parametrize("training", [Training.FINETUNE, Training.LORA])
def test_a_trained_encoder_sees_views_in_training(content: Content, training: Training) -> None:
    config = image_views(share=1.0)
    settings = ENCODER.model_copy(update={"training": training})
    modality = content.image(settings, None, TrainingViews(Augment(config), COUNTS > 0, 0))
    assert isinstance(modality, ViewedEncoder)
    keys, maker = content.image_keys(), config.build()
    encoder = modality.encoder
    rows = torch.tensor([0, 1, PLAIN, COLD])
    shown = [content.catalog.image(int(row)) for row in rows]
    assert isinstance(encoder, ImageEncoder)
    originals = torch.stack([encoder.preprocess(p) for p in shown if p is not None])
    assert torch.equal(modality.eval().inputs(rows)["pixels"], originals)
    pixels = modality.train().inputs(rows)["pixels"]
    assert torch.equal(modality.inputs(rows)["pixels"], pixels)
    assert torch.equal(pixels[2:], originals[2:])
    for row in range(2):
        first = shown[row]
        assert first is not None
        made = [maker.view([first], [str(keys[row])], 0, view).samples[0] for view in range(VIEWS)]
        assert any(torch.equal(pixels[row], encoder.preprocess(view)) for view in made)
        assert not torch.equal(pixels[row], originals[row])
    vectors = modality(torch.arange(N))
    assert vectors.shape == (N, encoder.width)
    assert (vectors[[BROKEN, MISSING]] == 0).all()


class Letters(nn.Module):
    """Counts letters; stands in for a text encoder."""

    identity, width = "letters", 26

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(26))

    def encode(self, texts: list[str]) -> np.ndarray:
        return self.tokenize(texts)["counts"].numpy()

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        letters = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return {"counts": torch.tensor(letters, dtype=torch.float32).reshape(-1, 26)}

    def forward(self, counts: Tensor) -> Tensor:
        return counts * self.scale


@pytest.mark.parametrize("training", list(Training))
def test_texts(content: Content, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextEncoderConfig, "build", lambda self, cache_dir: Letters())
    config = model(image=None, text=TextEncoderConfig(training=training))
    config = config.model_copy(update={"whiten": None})
    plain, viewed = (
        network(content, augment, config).items.modalities["text"]
        for augment in (None, Augment(text=text_views(share=1.0)))
    )
    known = torch.tensor([row for row in range(N) if row != MISSING])
    assert torch.equal(viewed.eval()(known), plain(known))
    assert isinstance(viewed, ViewedFeatures | ViewedEncoder)
    shown = at_each_progress(viewed.train(), known, 8)
    different = torch.stack([(vectors != plain(known)).any(1) for vectors in shown]).any(0)
    assert known[~different].tolist() == [PLAIN, COLD]


def test_views_without_an_encoder_are_refused(content: Content) -> None:
    with pytest.raises(InputError, match=r"augment\.text asks for views, but model\.text is null"):
        network(content, Augment(text=text_views()))
    no_image = model(image=None, item_id=True)
    with pytest.raises(InputError, match=r"augment\.image=null"):
        network(content, Augment(image_views()), no_image)
    network(content, Augment(), no_image)


def test_draws_of_a_view_do_not_depend_on_the_others() -> None:
    first = view_draws(0, 1, ["a", "b"]).of(1).random()
    assert view_draws(0, 1, ["b"]).of(0).random() == first
    assert view_draws(0, 2, ["b"]).of(0).random() != first
