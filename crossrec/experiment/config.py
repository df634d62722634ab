"""The configuration of an experiment: what ``train.py`` reads."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from crossrec.baselines.config import BaselineConfig, ItemKNNConfig, PopularityConfig
from crossrec.config import Config
from crossrec.data.prepare import DataConfig
from crossrec.encoders.config import ImageEncoderConfig, TextEncoderConfig
from crossrec.evaluation.config import EvaluationConfig
from crossrec.model.config import ModelConfig
from crossrec.objectives.config import FullSoftmaxConfig, ObjectiveConfig
from crossrec.objectives.diversity.config import DiversityConfig
from crossrec.rerank.config import RerankConfig
from crossrec.training.config import TrainerConfig


class SpacesConfig(Config):
    """In which encoders' spaces intra-list distances are measured: the same for every recommender.

    They are frozen and independent of the model, so that runs can be compared; ``ild@k`` is measured
    in both at once (unit text and unit image vectors side by side).
    """

    text: TextEncoderConfig | None = TextEncoderConfig()
    image: ImageEncoderConfig | None = ImageEncoderConfig()


class ExperimentConfig(Config):
    """Everything that decides a run."""

    name: str = Field("run", pattern=r"^[\w.-]+$", description="of the run's folder")
    seed: int = Field(0, ge=0)
    runs_dir: Path = Path("runs")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = FullSoftmaxConfig()
    diversity: DiversityConfig | None = Field(None, description="terms beside the ranking loss")
    trainer: TrainerConfig = TrainerConfig()
    rerank: RerankConfig | None = Field(
        None, description="what becomes of the model's lists; they are also measured as they were"
    )
    baselines: tuple[BaselineConfig, ...] = (PopularityConfig(), ItemKNNConfig())
    tune_baselines: bool = Field(False, description="choose each baseline's settings on validation")
    spaces: SpacesConfig = SpacesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def run_folder(self) -> Path:
        """Where the run's files go."""
        return self.runs_dir / self.name
