"""The cross-modal sequential recommender for use from Python: build, fit, recommend, save."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crossrec.config import validate
from crossrec.data.fitted import require_split
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.encoders.base import Tuning
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment, describe_model
from crossrec.experiment.text_scorer import first_stage, text_scored
from crossrec.experiment.train import fit_run, open_training
from crossrec.model.config import ModelConfig
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.opening import state_of
from crossrec.serving.pretrained.files import Pictures
from crossrec.training.config import TrainerConfig
from crossrec.training.trainer import TrainingOutcome
from crossrec.types import InputError, Recommender

if TYPE_CHECKING:
    from accelerate import Accelerator

EXPERIMENT = (
    "seed",
    "objective",
    "diversity",
    "contrastive",
    "distil",
    "augment",
    "segments",
    "neighbours",
    "text_scorer",
    "rerank",
    "spaces",
)
"""Keys of an experiment that belong to a model; those of the data and of the trainer come with ``fit``."""


class SequentialRecommender:
    """Cross-modal sequential recommender: item vectors from modalities, read in order by a sequence model.

    Names and options are those of YAML: ``SequentialRecommender(modalities={"title": Text()}, width=64)`` is
    ``model: {modalities: {title: {type: text}}, width: 64}``.

    Args:
        name: name of the model, and of its run folder.
        options: keys of ``model`` in YAML (``modalities``, ``fusion``, ``sequence``, ``width``, …), and
            ``seed``, ``objective``, ``diversity``, ``contrastive``, ``distil``, ``augment``, ``segments``,
            ``neighbours``, ``text_scorer``, ``rerank`` and ``spaces`` of an experiment. Values are components
            (``SASRec(layers=2)``) or mappings as in YAML.

    Raises:
        ConfigError: if there is no such option, or a value does not fit.
    """

    def __init__(self, *, name: str = "crossrec", **options: Any) -> None:
        experiment = {key: options.pop(key) for key in EXPERIMENT if key in options}
        model = validate(ModelConfig, options, type(self).__name__, trust_code=True)
        content = {"name": name, "model": model, "baselines": (), **experiment}
        if "spaces" not in experiment:
            content["spaces"] = _frozen_encoders(model)
        self._start(validate(ExperimentConfig, content, type(self).__name__, trust_code=True))

    @classmethod
    def from_config(cls, config: ExperimentConfig) -> Self:
        """Return the model that an experiment's YAML file describes, with its trainer."""
        model = cls.__new__(cls)
        model._start(config)
        return model

    def _start(self, config: ExperimentConfig) -> None:
        self.config = config
        self._recommender: NeuralRecommender | TextScoredRecommender | None = None
        self._loaded: LoadedRecommender | None = None
        self._prepared: PreparedExperiment | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def name(self) -> str:
        """Sequence model, modalities and fusion, as in tables."""
        return describe_model(self.config)

    @property
    def n_items(self) -> int:
        """N."""
        return self.recommender.n_items

    def fit(
        self,
        data: PreparedData,
        *,
        epochs: int | None = None,
        folder: str | Path | None = None,
        teacher: Any = None,
        **options: Any,
    ) -> Self:
        """Train on the training clicks, with early stopping on the validation queries.

        Args:
            data: cleaned and split data, from :meth:`crossrec.Dataset.split`.
            epochs: maximum number of epochs; 20, or that of the configuration, when None.
            folder: run folder, with checkpoints and log, in which a stopped training is resumed; a temporary
                one when None.
            teacher: recommender fitted to the same data, whose lists the option ``distil`` learns from: a
                model, a baseline, an ensemble; None for the run that ``distil.teacher`` names.
            options: options of the trainer, by their names in YAML, such as ``lr=0.003``, ``batch_size=32``,
                ``patience=3``.

        Raises:
            ConfigError: if there is no such option.
            InputError: if the data lack what the model reads, or the teacher has other items.
        """
        require_split(data)
        given = options if epochs is None else {"epochs": epochs, **options}
        content = {**dict(self.config.trainer), **given}
        trainer = validate(TrainerConfig, content, f"{type(self).__name__}.fit")
        if folder is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="crossrec-")
            folder = Path(self._scratch.name) / self.config.name
        place = Path(folder)
        changes = {"trainer": trainer, "data": data.config, "runs_dir": place.parent, "name": place.name}
        config = self.config.model_copy(update=changes)
        with open_training(config, teacher_given=teacher is not None) as accelerator:
            self.fit_prepared(
                PreparedExperiment.on(data, config), accelerator, getattr(teacher, "recommender", teacher)
            )
        # Here rather than on first use, since reference encoders encode in all processes at once.
        self._loaded = self.loaded
        return self

    def fit_prepared(
        self, prepared: PreparedExperiment, accelerator: Accelerator, teacher: Recommender | None = None
    ) -> TrainingOutcome:
        """Train on a prepared experiment, in a run folder that :func:`open_training` holds."""
        recommender, outcome = fit_run(prepared, accelerator, teacher)
        self._prepared, self._loaded = prepared, None
        self._recommender = text_scored(prepared, recommender)
        return outcome

    @property
    def loaded(self) -> LoadedRecommender:
        """The trained model in use, as :func:`crossrec.load` returns it.

        Raises:
            InputError: if the model has not been fitted.
        """
        if self._loaded is None:
            self._loaded = LoadedRecommender(state_of(self._fitted(), self.recommender))
        return self._loaded

    @property
    def recommender(self) -> NeuralRecommender | TextScoredRecommender:
        """The model over catalogue indices, with its text scorer."""
        if self._recommender is None:
            raise InputError("this model has not been fitted: call fit(data) first")
        return self._recommender

    @property
    def items(self) -> ItemTable:
        """Features of the items: training clicks, categories, columns, and vectors of frozen encoders."""
        return self._fitted().items_of(first_stage(self.recommender))

    def _fitted(self) -> PreparedExperiment:
        if self._prepared is None:
            raise InputError("this model has not been fitted: call fit(data) first")
        return self._prepared

    def recommend(
        self,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | None = None,
        **options: Any,
    ) -> Any:
        """Return ranked lists as a data frame.

        Args:
            users: ids of users of the data; all users when neither users nor histories are given.
            histories: lists of item ids, oldest first, in place of users.
            options: ``times`` of the histories, ``k``, ``rerank``, ``explore``, ``seed``, ``filters``,
                ``context``, ``exclude_seen`` and ``modalities``, as in :meth:`LoadedRecommender.recommend`.

        Returns:
            ``user_id``, ``item_id``, ``rank`` (from 1) and ``score``, one row per recommendation; with
            ``explore``, also ``propensity`` and ``inclusion``.
        """
        if users is not None and histories is not None:
            raise InputError("give users or histories, not both")
        if histories is not None:
            return self.loaded.recommend(histories=histories, **options)
        return self.loaded.recommend(users=self.loaded.user_ids if users is None else users, **options)

    def show(self, user: str | None = None, history: Sequence[str] | None = None, **options: Any) -> Any:
        """Return one user's list with titles and pictures, which notebooks display as cards.

        Args:
            user: id of a user of the data.
            history: item ids, oldest first, in place of a user.
            options: as in :meth:`recommend`.
        """
        return self.loaded.recommend(history, user_id=user, **options)

    def explain(self, history: Sequence[str], item_id: str, **options: Any) -> Any:
        """Explain an item's score after a history; see :meth:`LoadedRecommender.explain`."""
        return self.loaded.explain(history, item_id, **options)

    def save(self, folder: str | Path, *, with_users: bool = True, pictures: Pictures = "thumbnails") -> Path:
        """Write a folder that :func:`crossrec.load` reads, without the data and the run.

        Args:
            folder: new folder, or one with an earlier version, which is replaced.
            with_users: whether to include the users' clicks, so that their ids can be used; they are private.
            pictures: ``none``, ``thumbnails`` or ``full``.
        """
        return self.loaded.save_pretrained(folder, with_users=with_users, pictures=pictures)

    def __repr__(self) -> str:
        state = "not fitted" if self._prepared is None else f"fitted to {self._prepared.data.name}"
        return f"{self.name}, {state}"


def _frozen_encoders(model: ModelConfig) -> dict[str, Any]:
    """Return the model's own frozen encoders as spaces of diversity: their features are there anyway."""
    found: dict[str, Any] = {"text": None, "image": None}
    for kind in found:
        encoders = (options.encoder_options() for options in model.of_type(kind).values())
        found[kind] = next((one for one in encoders if one.training is Tuning.FROZEN), None)
    return found
