"""The teacher of a run: opened, checked against the run's data, and its lists for the training clicks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from crossrec.data.identity import TRAIN
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import CONFIG_FILE, read_run
from crossrec.experiment.text_scorer import check_no_text_scorer
from crossrec.training.checkpoint import WEIGHTS, saved_identity
from crossrec.training.config import DistillationConfig
from crossrec.training.teacher import TeacherLists, lists_key
from crossrec.types import InputError, Recommender, Sequences

FOLDER = "teacher"
"""Folder of the teacher's lists in a run folder."""
PROBES = 32
"""Histories whose lists stand for a teacher that comes without a file of weights."""


def check_teacher(config: DistillationConfig | None, *, given: bool = False) -> None:
    """Check that there is a teacher, before anything is loaded.

    Args:
        config: section ``distil``; None without distillation.
        given: whether a recommender is given as the teacher.

    Raises:
        InputError: if there is none, or there are two.
    """
    if config is None:
        if given:
            raise InputError("a teacher is given, but the model has no option distil=Distillation(...)")
        return
    if given == (config.teacher is not None):
        problem = "names a run, and another teacher is given to fit()" if given else "is missing"
        raise InputError(
            f"distil.teacher {problem}: name a run folder, or pass a fitted recommender to fit(teacher=...)"
        )
    if config.teacher is not None:
        for path in (config.teacher / CONFIG_FILE, _weights(config.teacher)):
            if not path.exists():
                raise InputError(
                    f"distil.teacher: {config.teacher} is no trained run ({path} does not exist); train the "
                    "teacher first"
                )


def teacher_lists(
    prepared: PreparedExperiment, train: Sequences, device: torch.device, teacher: Recommender | None = None
) -> TeacherLists | None:
    """Compute the teacher's lists for the training clicks, or find them in the run folder.

    Every process must call this.

    Args:
        prepared: experiment of the student.
        train: training clicks.
        device: device of a teacher that is opened here.
        teacher: fitted recommender; the run that the configuration names when None.

    Returns:
        The lists; None without distillation.

    Raises:
        InputError: if the teacher has other items, or was trained on other clicks.
    """
    config = prepared.config.distil
    if config is None:
        return None
    digest = _digest_of_run(config.teacher) if config.teacher is not None else _digest_of(teacher, train)
    exclude_seen = prepared.config.evaluation.exclude_seen
    named = f"{digest}|{prepared.data.identity.key}"
    key = lists_key(named, train, config.k, exclude_seen=exclude_seen)
    folder = prepared.config.run_folder / FOLDER / key
    lists = TeacherLists(folder, train, config.k, exclude_seen=exclude_seen)

    def open_teacher() -> Recommender:
        return _open(prepared, config.teacher, device) if config.teacher is not None else _given(teacher)

    lists.compute(open_teacher)
    return lists


def check_teacher_data(prepared: PreparedExperiment, teacher: Recommender | None) -> None:
    """Check that the teacher has the items and the training clicks of the student's data.

    Raises:
        InputError: if it doesn't.
    """
    config = prepared.config.distil
    if config is None:
        return
    if teacher is not None:
        if teacher.n_items != prepared.data.split.n_items:
            raise InputError(
                f"the teacher has {teacher.n_items:,} items, the data {prepared.data.split.n_items:,}: fit "
                "the teacher to the same data"
            )
        return
    folder = config.teacher
    assert folder is not None
    check_no_text_scorer(read_run(folder, [], trust_code=False), "distil.teacher")
    identity = saved_identity(folder / "checkpoints")
    if identity is None:
        raise InputError(
            f"distil.teacher: {folder} was saved without the ids of its items, so that they can't be "
            "aligned: train it again"
        )
    changes = identity.differences(prepared.data.identity, (TRAIN,))
    if changes:
        raise InputError(
            f"distil.teacher: {folder} was trained on other data than this run: {'; '.join(changes)}. A "
            "teacher needs the same items, and other clicks may include this run's targets: train it on the "
            "same data"
        )


def _open(prepared: PreparedExperiment, folder: Path, device: torch.device) -> Recommender:
    """Open the teacher's run on the student's data, in the order of the student's items.

    Its neighbours don't count: the similarities of items contain the later clicks of the user whose history
    is read, so that lists for training clicks would give them away.
    """
    config = read_run(folder, [], trust_code=False)
    recommender = load_recommender(PreparedExperiment(config, prepared.data, prepared.content))
    recommender.network.to(device)
    recommender.mixed = False
    return recommender


def _given(teacher: Recommender | None) -> Recommender:
    if teacher is None:
        raise InputError("distil.teacher is missing: name a run folder")
    return teacher


def _weights(folder: Path) -> Path:
    return folder / "checkpoints" / "best" / WEIGHTS


def _digest_of_run(folder: Path) -> str:
    """Return a digest of all that the scores of a run depend on, apart from the catalogue."""
    config = read_run(folder, [], trust_code=False).model_dump(mode="json")
    digest = hashlib.blake2b(json.dumps(config["model"], sort_keys=True).encode(), digest_size=16)
    with _weights(folder).open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _digest_of(teacher: Recommender | None, train: Sequences) -> str:
    """Return a digest of a teacher without files: of its lists for some histories."""
    rows = torch.arange(len(train))[torch.from_numpy(train.lengths > 0)][:PROBES].numpy()
    found = _given(teacher).recommend(train.take(rows), 10)
    digest = hashlib.blake2b(found.ids.tobytes(), digest_size=16)
    digest.update(found.scores.tobytes())
    return digest.hexdigest()
