"""From a run folder to a recommender that is ready to recommend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment, describe_model
from crossrec.experiment.run_folder import read_run
from crossrec.model.growth import remember_encoded
from crossrec.runtime.device import AUTO, pick_device
from crossrec.serving.about import About, measured
from crossrec.serving.items import ServedItems
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.model import ServedModel
from crossrec.serving.pretrained.hub import NAME, download
from crossrec.serving.pretrained.layout import is_pretrained
from crossrec.serving.pretrained.read import open_pretrained
from crossrec.serving.spaces import Spaces
from crossrec.serving.users import Users
from crossrec.types import InputError


def open_recommender(
    source: str | Path, *, overrides: Sequence[str] = (), device: str = AUTO, trust_code: bool = False
) -> LoadedRecommender:
    """What :func:`crossrec.load` does; see there."""
    folder, where = Path(source).expanduser(), pick_device(device)
    if not folder.is_dir():
        if NAME.fullmatch(str(source)) is None:
            raise InputError(
                f"'{source}' is no folder, and no name on the hub, which is of the form user/name"
            )
        folder = download(str(source))
    if not is_pretrained(folder):
        return open_run(folder, overrides, where, trust_code=trust_code)
    if overrides:
        raise InputError(f"{folder} holds a shared recommender, whose configuration can't be overridden")
    return open_pretrained(folder, where, trust_code=trust_code)


def open_run(
    folder: Path, overrides: Sequence[str], device: torch.device, *, trust_code: bool = False
) -> LoadedRecommender:
    """The best weights of a run, with its data.

    Args:
        folder: of the run.
        overrides: laid on its configuration.
        device: where the network runs.
        trust_code: import classes outside the project that the folder names.

    Raises:
        ConfigError: the folder holds no run, or an override doesn't fit.
        InputError: the run has no weights yet, or its data can't be had.
    """
    config = read_run(folder, list(overrides), trust_code=trust_code)
    setting = PreparedExperiment.of(config)
    recommender = load_recommender(setting, measured=False)
    recommender.network.to(device)
    remember_encoded(recommender.network)
    data = setting.data
    model = ServedModel(recommender, config.model, setting.content)
    spaces = Spaces.of_catalog(config.spaces, model.contents)
    return LoadedRecommender(
        config,
        model,
        ServedItems(data.catalog, data.split.train_counts, spaces, recommender),
        Users(data.clicks),
        About(
            data.name,
            data.note,
            data.split.protocol,
            describe_model(config),
            data.summary(),
            measured(config.run_folder),
        ),
    )
