"""To the Hugging Face hub and from it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec.serving.pretrained.tables import Pictures
from crossrec.serving.pretrained.write import save_folder
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.serving.loaded import LoadedRecommender

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TIMEOUT_SECONDS = 10.0


def upload(
    shop: LoadedRecommender,
    repo_id: str,
    *,
    private: bool,
    token: str | None,
    message: str,
    with_users: bool,
    pictures: Pictures,
    license: str | None,
) -> str:
    """Writes a folder and uploads it; the repository is made where it does not exist.

    Returns:
        Address of the commit.

    Raises:
        InputError: the name is none, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if NAME.fullmatch(repo_id) is None:
        raise InputError(f"'{repo_id}' is no name on the hub: it is of the form user/name")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / repo_id.partition("/")[2]
        save_folder(shop, folder, with_users=with_users, pictures=pictures, license=license)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
        except HfHubHTTPError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"the hub did not take '{repo_id}': {reason}; log in with `hf auth login`"
            ) from error
    return str(commit.commit_url)


def download(name: str, revision: str | None = None) -> Path:
    """The folder of a recommender on the hub, fetched once and kept in the hub's cache.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit; the newest when None.

    Raises:
        InputError: it is not there, or the hub can't be reached and nothing was fetched earlier.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, etag_timeout=TIMEOUT_SECONDS))
    except (HFValidationError, RepositoryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"'{name}' is no folder here and no model on the hub: {reason}") from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"'{name}' is no folder here, and the hub can't be reached, nor was it fetched from there earlier"
        ) from error
