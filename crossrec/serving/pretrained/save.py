"""Write a loaded recommender to a folder that can be shared, and upload it to the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from crossrec.data.identity import DataIdentity
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.text_scorer import SCORER_FILE, save_text_scorer
from crossrec.runtime.files import CHECKSUMS, atomic_path, write_checksums
from crossrec.serving.pretrained.card import model_card
from crossrec.serving.pretrained.files import (
    CARD_FILE,
    CHECKED,
    CONFIG_FILE,
    FEATURES_FILE,
    ITEMS_FILE,
    REPO_ID,
    USERS_FILE,
    Pictures,
    PretrainedConfig,
    anonymous,
    gather_features,
    is_pretrained,
    write_features,
    write_items,
    write_users,
)
from crossrec.serving.state import RecommenderState
from crossrec.training.checkpoint import save_weights
from crossrec.types import InputError
from crossrec.version import __version__

WRITTEN = {CARD_FILE, CHECKSUMS, CONFIG_FILE, METRICS_FILE, *CHECKED}
ADAPTER = "adapter"
"""Prefix of the folders of LoRA adapters that :func:`save_weights` writes."""


def save_folder(
    state: RecommenderState, folder: Path, *, with_users: bool, pictures: Pictures, license: str | None
) -> None:
    """Write all files that :func:`~crossrec.serving.opening.open_pretrained` reads, and a card.

    Raises:
        InputError: if the folder contains anything but an earlier version, or ``with_users`` is set without
            a log.
    """
    _check_place(folder)
    if with_users and state.users.clicks is None:
        raise InputError("with_users: this recommender came without its users' log")
    description = PretrainedConfig(
        anonymous(state.config),
        state.about,
        len(state.model.contents[0].catalog),
        state.items.spaces.single,
        __version__,
    )
    with atomic_path(folder) as temporary:
        trained = DataIdentity(state.items.catalog.item_ids[: description.n_trained], {})
        save_weights(state.model.recommender.network, temporary, trained)
        if state.model.text_scorer is not None:
            save_text_scorer(state.model.text_scorer, temporary / SCORER_FILE, trained)
        write_features(gather_features(state.model, state.items), temporary / FEATURES_FILE)
        hidden = state.config.model.picture_columns
        write_items(state.items.catalog, pictures, temporary / ITEMS_FILE, hidden)
        if with_users and state.users.clicks is not None:
            write_users(state.users.clicks, temporary / USERS_FILE)
        if state.about.metrics:
            text = json.dumps(state.about.metrics, indent=2, allow_nan=False)
            (temporary / METRICS_FILE).write_text(text + "\n", encoding="utf-8")
        (temporary / CONFIG_FILE).write_text(description.to_json(), encoding="utf-8")
        card = model_card(state, with_users=with_users, pictures=pictures, license=license)
        (temporary / CARD_FILE).write_text(card, encoding="utf-8")
        write_checksums(temporary, CHECKED)
        if folder.exists():
            shutil.rmtree(folder)


def _check_place(folder: Path) -> None:
    """Check that all files of a folder were written by an earlier version of the recommender."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    other = [name for name in names if name not in WRITTEN and not name.startswith(ADAPTER)]
    if names and (other or not is_pretrained(folder)):
        raise InputError(
            f"{folder} has another file ({(other or names)[0]}), which would be lost: choose a new folder"
        )


def upload(
    state: RecommenderState,
    repo_id: str,
    *,
    private: bool,
    token: str | None,
    message: str,
    with_users: bool,
    pictures: Pictures,
    license: str | None,
) -> str:
    """Write a folder and upload it; the repository is created if it does not exist.

    Returns:
        URL of the commit.

    Raises:
        InputError: if the name is invalid, or the hub rejects the upload.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if REPO_ID.fullmatch(repo_id) is None:
        raise InputError(f"'{repo_id}' is not a valid name on the hub: use the form user/name")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / repo_id.partition("/")[2]
        save_folder(state, folder, with_users=with_users, pictures=pictures, license=license)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
        except HfHubHTTPError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"the hub rejected '{repo_id}': {reason}; log in with `hf auth login`"
            ) from error
    return str(commit.commit_url)
