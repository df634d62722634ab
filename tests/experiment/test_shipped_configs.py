"""Every configuration that we ship loads, and what it says survives a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.config import load_config, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import describe_model
from crossrec.studies.large_model import LargeModelConfig, check_matched, differences

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_loads_and_round_trips(path: Path) -> None:
    config = load_config(ExperimentConfig, path)
    again = validate(ExperimentConfig, config.model_dump(mode="json"), "dumped")
    assert again == config
    assert describe_model(config)


def test_an_unquoted_no_is_a_precision() -> None:
    config = load_config(ExperimentConfig, FOLDER / "demo.yaml", ["trainer.precision=no"])
    assert config.trainer.precision == "no"


def test_there_are_configs() -> None:
    assert {path.stem for path in CONFIGS} >= {"demo", "movielens_small", "table_example"}


def test_the_shipped_pair_of_models_is_matched() -> None:
    config = load_config(LargeModelConfig, FOLDER / "studies" / "large_model_movielens.yaml")
    config = config.model_copy(update={"base": FOLDER / config.base.name})
    check_matched(config)
    assert differences(config)["model.sequence.type"] == ("sasrec", "llm")
