"""Configuration of an experiment, the input of ``train.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from crossrec.augment.config import AugmentConfig
from crossrec.baselines import BASELINES, BaselineOptions
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.baselines.tuning import TuningBudget
from crossrec.config import Config
from crossrec.data.co_clicks import BehaviourConfig
from crossrec.data.prepare import DataConfig
from crossrec.data.segments import SegmentsConfig
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.evaluation.config import EvaluationConfig
from crossrec.losses import DiversityOptions, LossOptions
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.terms.term_set import ContrastiveTerms
from crossrec.model.config import ModelConfig
from crossrec.model.text_scorer import TextScorer
from crossrec.rerank.recommender import RerankConfig
from crossrec.training.config import DistillationConfig, TrainerConfig

LONGEST_NAME = 200
"""Maximum length of a run's name, bytes; file systems allow 255, and temporary names are longer."""


class SpacesConfig(Config):
    """Reference spaces, in which intra-list distances are measured for every recommender.

    They are independent of the model, so that runs can be compared: frozen encoders of text and image, and
    the co-clicks of the training part. ``ild@k`` is measured in text and image at once (concatenated unit
    vectors), ``ild_behaviour@k`` by co-clicks.
    """

    text: TextEncoder.Options | None = TextEncoder.Options()
    image: ImageEncoder.Options | None = ImageEncoder.Options()
    behaviour: BehaviourConfig | None = Field(
        BehaviourConfig(), description="co-clicks of the training part; null leaves the space out"
    )


class NeighboursConfig(Config):
    """Item-kNN inside the model: its score is added to the network's, and items of few clicks get a start.

    See :class:`~crossrec.model.neighbours.NeighbourScores` for the formula. It is chosen after the training,
    on validation queries; the network's own training does not see it.
    """

    item_knn: ItemKNN.Options = ItemKNN.Options(similarity="bm25", neighbours=500, k1=10.0, b=0.5)
    tune: bool = Field(True, description="choose the recency of item_knn on validation")
    weight: float | None = Field(
        None, ge=0, le=10_000, description="weight of the neighbours' score; null chooses on validation"
    )
    shrinkage: float = Field(
        10.0,
        ge=0,
        le=1e6,
        description="number of clicks at which an item counts by half as itself, by half as an item of its "
        "content; 0 treats only items without clicks as cold items",
    )
    cold_bonus: float | None = Field(
        None,
        ge=-10_000,
        le=10_000,
        description="score added to cold items; null chooses it so that items whose clicks are hidden are "
        "listed as often as with them",
    )
    alike: int = Field(20, ge=1, le=10_000, description="items whose neighbours a cold item gets")
    temperature: float = Field(0.1, gt=0, le=100, description="of their weights, a softmax of cosines")
    queries: int = Field(10_000, ge=1, le=10_000_000, description="maximum number of validation queries used")


class ExperimentConfig(Config):
    """Configuration of a run."""

    name: str = Field("run", pattern=r"^[\w-][\w.-]*$", description="name of the run's folder")
    seed: int = Field(0, ge=0)
    runs_dir: Path = Path("runs")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: LossOptions = FullSoftmax.Options()
    diversity: DiversityOptions | None = Field(None, description="terms added to the ranking loss")
    contrastive: ContrastiveTerms.Options | None = Field(
        None, description="losses between views of a history, and between modalities of an item"
    )
    distil: DistillationConfig | None = Field(
        None, description="knowledge distillation from another recommender, the teacher"
    )
    augment: AugmentConfig | None = Field(
        None, description="augmentation of the training data; evaluation sees none of it"
    )
    trainer: TrainerConfig = TrainerConfig()
    neighbours: NeighboursConfig | None = Field(
        None, description="scores of item-kNN in the model, and the start of items with few clicks"
    )
    text_scorer: TextScorer.Options | None = Field(
        None,
        description="a language model that reads titles and scores the model's best items again, before "
        "rerank; it is tuned after the model",
    )
    rerank: RerankConfig | None = Field(
        None, description="rerankers of the model's lists; the lists are also measured without them"
    )
    baselines: tuple[BaselineOptions, ...] = (Popularity.Options(), ItemKNN.Options())
    tune_baselines: bool = Field(False, description="choose each baseline's settings on validation")
    tuning: TuningBudget = TuningBudget()
    spaces: SpacesConfig = SpacesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    segments: SegmentsConfig | None = Field(
        None,
        description="of users and items, as slices of the results; of users, as strata of augment.resample; "
        "of items, as a modality of the model (model.item_group); of both, as classes of generators "
        "(augment.synthesis.classes)",
    )

    @field_validator("name")
    @classmethod
    def _fits_a_file_system(cls, name: str) -> str:
        if len(name.encode()) > LONGEST_NAME:
            raise ValueError(
                f"at most {LONGEST_NAME} bytes, since it names a folder; got {len(name.encode())}"
            )
        return name

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        sequence = None if self.augment is None else self.augment.sequence
        if self.contrastive is not None and self.contrastive.needs_views and sequence is None:
            raise ValueError(
                "contrastive compares views of histories: set augment.sequence, which makes them "
                "(with copies: 0 for views alone)"
            )
        resample = None if self.augment is None else self.augment.resample
        if resample is not None and resample.segment > 0 and self.segments is None:
            raise ValueError("augment.resample.segment evens out user segments: give the section 'segments'")
        if self.model.group_name is not None and self.segments is None:
            raise ValueError("model.item_group embeds groups of items: give the section 'segments'")
        synthesis = None if self.augment is None else self.augment.synthesis
        if synthesis is not None and synthesis.classes == "segments" and self.segments is None:
            raise ValueError("augment.synthesis.classes=segments needs the groups of a section 'segments'")
        if self.model.sequence.generates:
            _check_generates(self)
        twice = [config for n, config in enumerate(self.baselines) if config in self.baselines[:n]]
        if twice:
            name = BASELINES.name_of(twice[0])
            raise ValueError(f"baselines lists the same '{name}' twice: remove one, or change its options")
        return self

    @property
    def run_folder(self) -> Path:
        """Folder of the run's files."""
        return self.runs_dir / self.name


def _check_generates(config: ExperimentConfig) -> None:
    """Check that nothing is configured that reads item vectors as scores.

    Raises:
        ValueError: if something is.
    """
    objective = config.objective
    plain = isinstance(objective, FullSoftmax.Options) and objective == FullSoftmax.Options(
        balance=objective.balance
    )
    unfit = {
        "objective (keep full_softmax with its own options, of which balance applies)": not plain,
        "diversity (rerank the lists instead)": config.diversity is not None,
        "contrastive": config.contrastive is not None,
        "distil": config.distil is not None,
        "neighbours (an ensemble mixes any two models)": config.neighbours is not None,
        "trainer.negatives_from=catalogue": config.trainer.negatives_from != "clicked",
    }
    found = [key for key, given in unfit.items() if given]
    if found:
        raise ValueError(
            "model.sequence.type=semantic_id is trained by the cross-entropy of codes, not of item vectors, "
            f"so it can't be combined with {', '.join(found)}"
        )
