"""The contract of every picture augmenter, and what each does to a picture."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pydantic import TypeAdapter

from crossrec.augment.base import Augmenter, SampleRng
from crossrec.augment.content.image import ImageAugmenterOptions
from crossrec.augment.content.image.base import ImageOutcome, Partners
from crossrec.augment.content.image.photometry import RandomErasing
from crossrec.augment.content.variants import ImageVariantsConfig

TYPES = [
    *("rotate", "scale", "crop", "flip", "colour", "blur", "erasing", "randaugment"),
    *("mixup", "cutmix"),
]
# The default widths of blur hardly show in pictures of 30 pixels.
SHOWS = {name: {"type": name, **({"sigma": (5, 15)} if name == "blur" else {})} for name in TYPES}
MOVES = ["rotate", "scale", "crop", "flip"]
KEYS = [f"picture-{i}" for i in range(6)]


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


PICTURES = [picture(i, (40 + i, 30)) for i in range(6)]


def partners(pictures: list[Image.Image] = PICTURES) -> Partners:
    return Partners(KEYS, [["thing"]] * len(KEYS), lambda place: pictures[place])


def build(name: str, **settings: object) -> Augmenter[list[Image.Image]]:
    config = TypeAdapter(ImageAugmenterOptions).validate_python({**SHOWS[name], **settings})
    return config.build(partners())


def draws(keys: list[str] = KEYS, seed: int = 0, view: int = 0) -> SampleRng:
    return SampleRng(seed, ("view", view), keys)


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.mode == b.mode and a.size == b.size and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", TYPES)
def test_a_picture_depends_on_its_own_draws_alone(name: str) -> None:
    augmenter = build(name)
    together = augmenter.augment(PICTURES, draws()).samples
    torch.manual_seed(99)  # what PyTorch drew before makes no difference
    order = [3, 1, 5, 0]
    apart = augmenter.augment([PICTURES[i] for i in order], draws([KEYS[i] for i in order])).samples
    for position, i in enumerate(order):
        assert same(apart[position], together[i])


@pytest.mark.parametrize("name", TYPES)
def test_another_sample_view_or_seed_draws_otherwise(name: str) -> None:
    # A mirrored picture has only one form, so that it is cut first.
    chain = ImageVariantsConfig.model_validate(
        {"augmenters": [{"type": "crop", "probability": 1 if name == "flip" else 0}, SHOWS[name]]}
    ).build(partners())
    one = [PICTURES[0]] * 6
    views = [
        chain.variant(one, KEYS, seed=0, variant=0).samples,
        chain.variant(one, KEYS, seed=0, variant=1).samples,
    ]
    views.append(chain.variant(one, KEYS, seed=1, variant=0).samples)
    assert len({view.tobytes() for view in views[0]}) > 1
    assert len({b"".join(view.tobytes() for view in found) for found in views}) == 3


@pytest.mark.parametrize("name", TYPES)
def test_generators_and_input_are_left_alone(name: str) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    copies = [p.copy() for p in PICTURES]
    build(name).augment(PICTURES, draws())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index] # noqa: NPY002
    assert all(same(a, b) for a, b in zip(PICTURES, copies, strict=True))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("name", TYPES)
def test_size_and_mode_are_kept(name: str, mode: str) -> None:
    pictures = [p.convert(mode) for p in PICTURES]
    result = build(name).augment(pictures, draws())
    assert [(p.size, p.mode) for p in result.samples] == [(p.size, p.mode) for p in pictures]
    assert result.changed.any()
    for before, after, changed in zip(pictures, result.samples, result.changed, strict=True):
        assert changed or after is before


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (500, 2), (3, 400), (2, 2)])
@pytest.mark.parametrize("name", TYPES)
def test_odd_sizes(name: str, size: tuple[int, int]) -> None:
    pictures = [picture(i, size) for i in range(6)]
    result = build(name).augment(pictures, draws())
    assert [p.size for p in result.samples] == [size] * 6
    assert sum(result.counts.values()) == 6
    assert result.counts.get(ImageOutcome.UNREADABLE, 0) == 0


@pytest.mark.parametrize("name", TYPES)
def test_a_broken_picture_is_counted_and_comes_back(name: str) -> None:
    buffer = io.BytesIO()
    picture(0, (200, 200)).save(buffer, "JPEG")
    broken = Image.open(io.BytesIO(buffer.getvalue()[:1500]))
    result = build(name).augment([PICTURES[1], broken], draws(KEYS[:2]))
    assert result.samples[1] is broken
    assert not result.changed[1]
    assert result.counts[ImageOutcome.UNREADABLE] == 1


def test_a_fault_in_a_change_is_no_broken_picture() -> None:
    wrong = RandomErasing.Options.model_construct(area=(0.02, 2.0), ratio=(0.3, 3.3)).build(None)
    with pytest.raises(ValueError, match="between 0 and 1"):
        wrong.augment(PICTURES[:1], draws(KEYS[:1]))


@pytest.mark.parametrize("name", TYPES)
def test_probability(name: str) -> None:
    def changed(probability: float) -> int:
        chain = ImageVariantsConfig.model_validate(
            {"augmenters": [{**SHOWS[name], "probability": probability}]}
        ).build(partners())
        found = [chain.variant(PICTURES, KEYS, seed=0, variant=view) for view in range(10)]
        if probability == 0:
            assert all(p is q for f in found for p, q in zip(f.samples, PICTURES, strict=True))
        return sum(int(f.changed.sum()) for f in found)

    always, half = changed(1), changed(0.5)
    assert changed(0) == 0
    assert 0.25 * always < half < 0.75 * always
    assert always > 40


@pytest.mark.parametrize("name", TYPES)
def test_no_picture_at_all(name: str) -> None:
    result = build(name).augment([], draws([]))
    assert result.samples == []
    assert result.changed.shape == (0,)


def test_a_plain_picture_looks_the_same_after_any_movement() -> None:
    plain = [Image.new("RGB", (20, 30), "teal")]
    for name in MOVES:
        result = build(name).augment(plain, draws(KEYS[:1]))
        assert result.samples[0] is plain[0], name
        assert result.counts == {ImageOutcome.UNCHANGED: 1}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("name", ["rotate", "scale"])
def test_what_is_laid_bare_has_the_border_colour(name: str, mode: str) -> None:
    shown = Image.new("RGB", (60, 60), "white")
    ImageDraw.Draw(shown).rectangle((20, 20, 39, 39), fill="black")
    for after in build(name).augment([shown.convert(mode)] * 6, draws()).samples:
        corners = [after.convert("RGB").getpixel(at) for at in ((0, 0), (59, 0), (0, 59), (59, 59))]
        assert corners == [(255, 255, 255)] * 4


def test_flips_mirror() -> None:
    from PIL import ImageOps

    for direction, mirror in (("horizontal", ImageOps.mirror), ("vertical", ImageOps.flip)):
        after = build("flip", direction=direction).augment(PICTURES, draws()).samples
        assert all(same(a, mirror(p)) for a, p in zip(after, PICTURES, strict=True))


def test_colour_changes_leave_transparency_and_shape_changes_move_it() -> None:
    cut_out = PICTURES[0].copy()
    alpha = Image.new("L", cut_out.size, 0)
    ImageDraw.Draw(alpha).rectangle((4, 4, 15, 20), fill=255)
    cut_out.putalpha(alpha)
    for name in ("colour", "blur", "erasing"):
        after = build(name).augment([cut_out], draws(KEYS[:1])).samples[0]
        assert same(after.getchannel("A"), alpha), name
    assert not same(build("flip").augment([cut_out], draws(KEYS[:1])).samples[0].getchannel("A"), alpha)


def test_crop_keeps_the_share_asked_for() -> None:
    """A picture of its own coordinates shows which part was kept."""
    x, y = np.meshgrid(np.linspace(0, 255, 256), np.linspace(0, 255, 64))
    chart = Image.fromarray(np.stack([x, y, 0 * x], axis=2).astype(np.uint8))
    for view in range(20):
        after = build("crop", area=(0.5, 0.7)).augment([chart], draws(KEYS[:1], view=view)).samples[0]
        spread = np.asarray(after, dtype=float).max((0, 1)) - np.asarray(after, dtype=float).min((0, 1))
        assert 0.45 < spread[0] * spread[1] / 255**2 < 0.75


def test_erasing_covers_the_share_asked_for_with_the_mean_colour() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    mean = np.asarray(noise).mean((0, 1)).round()
    for view in range(20):
        after = build("erasing", area=(0.1, 0.2)).augment([noise], draws(KEYS[:1], view=view)).samples[0]
        covered = (np.asarray(after) == mean).all(2)
        assert 0.08 < covered.mean() < 0.22
        np.testing.assert_array_equal(np.asarray(after)[~covered], np.asarray(noise)[~covered])


def test_blur_grows_with_the_picture() -> None:
    """Enlarged ten times, a blurred picture is as soft as before, against its size."""
    small = picture(0, (40, 40))
    large = small.resize((400, 400), Image.Resampling.NEAREST)

    def lost(shown: Image.Image) -> float:
        after = build("blur", sigma=(10, 10)).augment([shown], draws(KEYS[:1])).samples[0]
        return float(np.asarray(after).std() / np.asarray(shown).std())

    assert lost(small) == pytest.approx(lost(large), abs=0.05)
    assert lost(small) < 0.98


def test_the_recipe_names_what_decides_a_view() -> None:
    def recipe(pool: Partners | None = None, **settings: object) -> str:
        return ImageVariantsConfig.model_validate(settings).build(pool).recipe

    crop = {"type": "crop"}
    assert (
        recipe(augmenters=[crop])
        == recipe(augmenters=[crop], views=9, share=0.1)
        == recipe(partners(), augmenters=[crop])
    )
    others = [
        recipe(augmenters=[{"type": "flip"}]),
        recipe(augmenters=[{"type": "crop", "probability": 0.9}]),
        recipe(partners(), augmenters=[{"type": "mixup"}]),
        recipe(Partners(KEYS[:2], [["a"]] * 2, lambda p: PICTURES[p]), augmenters=[{"type": "mixup"}]),
    ]
    assert len({recipe(augmenters=[crop]), *others}) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augmenters": [{"type": "crop", "area": [0.9, 0.5]}]}, "0 < low <= high"),
        ({"augmenters": [{"type": "crop", "area": [0.6, 1.2]}]}, "at most 1, got 1.2"),
        ({"augmenters": [{"type": "erasing", "area": [0.02, 2]}]}, "at most 1, got 2"),
        ({"augmenters": [{"type": "rotat"}]}, "did you mean 'rotate'"),
        ({"augmenters": []}, "at least 1 item"),
        ({"share": 1.5}, "less than or equal to 1"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageVariantsConfig.model_validate(settings)


def test_configs_load_nothing_heavy() -> None:
    code = (
        "import sys, crossrec.augment.content.variants; "
        "print([m for m in ('torch', 'torchvision', 'PIL', 'timm') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
