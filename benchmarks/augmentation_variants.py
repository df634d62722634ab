"""The variants of benchmarks/augmentation.py: name to overrides, each augmenter alone first, then mixes."""

from __future__ import annotations


def _text(augmenters: str, views: int) -> list[str]:
    return [f"augment.text.augmenters={augmenters}", f"augment.text.views={views}", "augment.text.share=0.3"]


def _image(augmenters: str, views: int) -> list[str]:
    return [
        f"augment.image.augmenters={augmenters}",
        f"augment.image.views={views}",
        "augment.image.share=0.3",
    ]


def _sequence(augmenters: str, copies: float = 0.5) -> list[str]:
    return [f"augment.sequence.augmenters={augmenters}", f"augment.sequence.copies={copies}"]


def _contrastive(name: str, kind: str, weight: float) -> list[str]:
    term = f"contrastive.terms.{name}"
    return [f"{term}.type={kind}", f"{term}.weight={weight}"]


SYNONYMS = "{type: synonyms, probability: 1.0}"
NOISE = "{type: word_noise, probability: 1.0}"
IMAGES = "[{type: crop, probability: 1.0}, {type: flip}, {type: colour}]"
ORDER = "[{type: crop}, {type: mask}, {type: reorder}]"
SIMILAR = "[{type: substitute, similarity: both}, {type: insert, similarity: both}]"
AGREEMENT = _contrastive("views", "sequence_views", 0.1)
VIEWS = [*_sequence(ORDER, 0), *AGREEMENT]
CROSS_MODAL = _contrastive("modalities", "cross_modal", 0.1)
ITEMS = ["augment.synthesis.items.ratio=3"]
CATEGORY, POPULARITY = ["augment.resample.category=0.5"], ["augment.resample.popularity=0.5"]


def _users(max_clicks: int) -> list[str]:
    return [f"augment.synthesis.users.max_clicks={max_clicks}"]


def _variants(max_clicks: int, longer: int, views: int) -> dict[str, list[str]]:
    """All variants; few clicks mean something else in another log, and so does an epoch.

    Args:
        max_clicks: of the users that synthetic ones are made after.
        longer: epochs of ``none-longer``.
        views: of each text and picture.
    """
    users = _users(max_clicks)
    images = _image(IMAGES, views)
    content = [*_text(f"[{SYNONYMS}, {NOISE}]", views), *images]
    balance = ["objective.balance.type=inverse_propensity"]
    mild = [*balance, "objective.balance.power=0.25"]
    return {
        "none": [],
        "none-longer": [f"trainer.epochs={longer}"],
        "text-synonyms": _text(f"[{SYNONYMS}]", views),
        "text-character_noise": _text("[{type: character_noise, probability: 1.0}]", views),
        "text-word_noise": _text(f"[{NOISE}]", views),
        "text-reorder": _text("[{type: reorder, probability: 1.0}]", views),
        "text-transform": _text("[{type: transform, probability: 1.0}]", views),
        "text-paraphrase": _text("[{type: paraphrase, probability: 1.0, max_sentences: 1}]", 1),
        "image-views": images,
        "image-randaugment": _image("[{type: randaugment, probability: 1.0}]", views),
        "image-mix": _image("[{type: mixup}, {type: cutmix}]", views),
        "sequence-order": _sequence(ORDER),
        "sequence-similar": _sequence(SIMILAR),
        "sequence-contrastive": VIEWS,
        "cross_modal-contrastive": CROSS_MODAL,
        "synthesis-items": ITEMS,
        "synthesis-items-wgan": [*ITEMS, "augment.synthesis.items.generator.type=wgan_gp"],
        "synthesis-users": users,
        "resample-category": CATEGORY,
        "resample-popularity": POPULARITY,
        "resample-activity": ["augment.resample.activity=0.5"],
        "loss-inverse_propensity": balance,
        "loss-mild_inverse_propensity": mild,
        "loss-class_balanced": ["objective.balance.type=class_balanced"],
        "loss-category_balanced": ["objective.balance.type=category_balanced"],
        "mix-image-balance": [*images, *balance],
        "mix-image-mild_balance": [*images, *mild],
        "mix-sequence-balance": [*_sequence(ORDER), *balance],
        "mix-contrastive-mild_balance": [*VIEWS, *mild],
        "mix-sequence-contrastive-balance": [*_sequence(ORDER), *AGREEMENT, *balance],
        "mix-sequence-contrastive-mild_balance": [*_sequence(ORDER), *AGREEMENT, *mild],
        "mix-similar-mild_balance": [*_sequence(SIMILAR), *mild],
        "mix-similar-cross_modal": [*_sequence(SIMILAR), *CROSS_MODAL],
        "mix-similar-cross_modal-mild_balance": [*_sequence(SIMILAR), *CROSS_MODAL, *mild],
        "mix-content": content,
        "mix-content-synthesis": [*content, *ITEMS],
        "mix-content-cross_modal": [*content, *CROSS_MODAL],
        "mix-rare": [*POPULARITY, *ITEMS, *balance],
        "mix-all": [*content, *_sequence(SIMILAR), *CROSS_MODAL, *ITEMS, *POPULARITY],
    }


VARIANTS = {"demo": _variants(5, 14, views=3), "movielens": _variants(20, 17, views=1)}
SLOW = ("text-paraphrase",)
"""They take hours on a CPU, but for the demo's few texts."""
