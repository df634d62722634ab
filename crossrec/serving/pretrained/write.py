"""From a loaded recommender to a folder that can be shared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import crossrec
from crossrec.data.identity import DataIdentity
from crossrec.evaluation.results import METRICS_FILE
from crossrec.runtime.checksums import CHECKSUMS, write_checksums
from crossrec.runtime.files import atomic_path
from crossrec.serving.pretrained.card import model_card
from crossrec.serving.pretrained.features import gather, write
from crossrec.serving.pretrained.layout import (
    CARD_FILE,
    CHECKED,
    CONFIG_FILE,
    FEATURES_FILE,
    ITEMS_FILE,
    USERS_FILE,
    Description,
    anonymous,
    is_pretrained,
)
from crossrec.serving.pretrained.tables import Pictures, write_items, write_users
from crossrec.training.checkpoint import save_weights
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.serving.loaded import LoadedRecommender

WRITTEN = {CARD_FILE, CHECKSUMS, CONFIG_FILE, METRICS_FILE, *CHECKED}
ADAPTER = "adapter"
"""Begins the names of folders that :func:`save_weights` gives LoRA adapters."""


def save_folder(
    shop: LoadedRecommender, folder: Path, *, with_users: bool, pictures: Pictures, license: str | None
) -> None:
    """Writes everything that :func:`~crossrec.serving.pretrained.read.open_pretrained` reads, and a card.

    Raises:
        InputError: the folder holds something else than an earlier version of this, or users are asked for
            that there are not.
    """
    _check_place(folder)
    if with_users and shop.users.clicks is None:
        raise InputError("with_users: this recommender came without its users' log")
    description = Description(
        anonymous(shop.config),
        shop.about,
        len(shop.model.contents[0].catalog),
        shop.items.spaces.single,
        crossrec.__version__,
    )
    with atomic_path(folder) as temporary:
        trained = DataIdentity(shop.catalog.item_ids[: description.n_trained], {})
        save_weights(shop.recommender.network, temporary, trained)
        write(gather(shop.model, shop.items), temporary / FEATURES_FILE)
        write_items(shop.catalog, pictures, temporary / ITEMS_FILE)
        if with_users and shop.users.clicks is not None:
            write_users(shop.users.clicks, temporary / USERS_FILE)
        if shop.about.metrics:
            text = json.dumps(shop.about.metrics, indent=2, allow_nan=False)
            (temporary / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
        (temporary / CONFIG_FILE).write_text(description.to_json(), encoding="utf-8")
        card = model_card(shop, with_users=with_users, pictures=pictures, license=license)
        (temporary / CARD_FILE).write_text(card, encoding="utf-8")
        write_checksums(temporary, CHECKED)
        if folder.exists():
            shutil.rmtree(folder)


def _check_place(folder: Path) -> None:
    """Refuses a folder with anything in it that an earlier version of this has not written."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    other = [name for name in names if name not in WRITTEN and not name.startswith(ADAPTER)]
    if names and (other or not is_pretrained(folder)):
        raise InputError(
            f"{folder} holds something else ({(other or names)[0]}), which would be lost: choose a new folder"
        )
