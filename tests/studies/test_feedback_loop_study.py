"""The whole study on a small shop: files, resuming, figures, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from crossrec.baselines import BASELINES
from crossrec.baselines.popularity import Popularity
from crossrec.config import load_config, validate
from crossrec.data.co_clicks import co_click_vectors
from crossrec.data.item_table import BEHAVIOUR, ItemTable
from crossrec.data.segments import SegmentsConfig
from crossrec.experiment.config import ExperimentConfig, SpacesConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.exploration.linear_bandit import BanditOptions
from crossrec.simulation.loop import Policy
from crossrec.studies.feedback_loop.config import FeedbackLoopConfig, NeuralLearnerConfig, PolicyConfig
from crossrec.studies.feedback_loop.neural import NeuralLearner
from crossrec.studies.feedback_loop.report import relative_gain, settled_rounds, whole_run
from crossrec.studies.feedback_loop.setup import SIMULATION_VERSION, SimulationSetup, base_content
from crossrec.studies.feedback_loop.study import ROUNDS_FOLDER, run_feedback_loop
from crossrec.studies.statistics import over_seeds
from crossrec.training.trainer import Trainer
from crossrec.types import ConfigError, InputError, Recommender, Sequences

SHIPPED = Path(__file__).parents[2] / "configs" / "studies" / "feedback_loop_demo.yaml"


@pytest.fixture(scope="module")
def content(id_shop: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("study")
    (folder / "base.yaml").write_text(yaml.safe_dump({**id_shop, "name": "base"}))
    neural = {"type": "neural", "first_epochs": 1}
    return {
        "base": str(folder / "base.yaml"),
        "tastes": {"type": "fitted", "factors": 4, "alternatives": 10},
        "rounds": 2,
        "seeds": [0, 1],
        "users": 40,
        "k": 4,
        "policies": {
            "knn": {"learner": {"type": "baseline", "baseline": {"type": "item_knn"}}, "candidates": 12},
            "neural": {
                "learner": neural,
                "rerank": [{"type": "mmr", "diversity": 0.3}],
                "explore": {"type": "thompson"},
                "candidates": 12,
            },
        },
        "out": str(folder / "out"),
    }


@pytest.mark.slow
def test_a_study_writes_its_files_and_resumes(content: dict[str, Any]) -> None:
    config = validate(FeedbackLoopConfig, content, "test")
    run_feedback_loop(config)
    found = json.loads((config.out / "results.json").read_text())
    assert found["simulated"]
    assert "choice model" in found["tastes"]
    table = pl.read_parquet(config.out / "rounds.parquet")
    assert len(table) == 2 * 2 * 2
    rows = table.filter((pl.col("policy") == "knn") & (pl.col("seed") == 1))
    rate = rows["clicks"].to_numpy().sum() / rows["shown"].to_numpy().sum()
    assert found["policies"]["knn"]["click_rate"]["seeds"][1] == pytest.approx(rate)
    # Luck and visitors are shared: in the first round the same users come.
    first = table.filter(pl.col("round") == 0).group_by("seed").agg(pl.col("visits").n_unique())
    assert first["visits"].to_list() == [1, 1]
    page = (config.out / "simulation.html").read_text()
    assert "no result on this page comes from real users" in page
    assert "Choice model" in page
    files = sorted((config.out / ROUNDS_FOLDER).glob("*.parquet"))
    assert len(files) == 4
    before = {path: path.stat().st_mtime_ns for path in files}
    kept = pl.read_parquet(files[0]).drop("seconds")
    files[0].unlink()
    run_feedback_loop(config)
    assert [p for p in files if p.stat().st_mtime_ns != before[p]] == [files[0]]
    # Played again, the same comes out.
    assert pl.read_parquet(files[0]).drop("seconds").equals(kept)


@pytest.fixture
def arena(content: dict[str, Any]) -> SimulationSetup:
    config = validate(FeedbackLoopConfig, content, "test")
    prepared = PreparedExperiment.of(load_config(ExperimentConfig, config.base))
    return SimulationSetup.of(config, prepared, torch.device("cpu"))


def test_learners_know_users_who_do_not_take_part_and_nothing_held_back(
    arena: SimulationSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Sequences] = []
    traits: list[ItemTable] = []
    policy_of = SimulationSetup._policy

    def learn(log: Sequences) -> Recommender:
        seen.append(log)
        return Popularity.Options().build(ItemTable.of_size(30)).fit(log)

    def spied(
        self: SimulationSetup, policy: PolicyConfig, seed: int, others: Sequences, known: ItemTable
    ) -> Policy:
        traits.append(known)
        return policy_of(self, policy, seed, others, known)

    monkeypatch.setattr(SimulationSetup, "_learn", lambda *_: learn)
    monkeypatch.setattr(SimulationSetup, "_policy", spied)
    figures = list(arena.play(arena.config.policies["knn"], 0))
    n_start = len(arena.log.items)
    assert [len(log) for log in seen] == [60, 60]
    assert [len(log.items) for log in seen] == [n_start, n_start + figures[0]["clicks"]]
    np.testing.assert_array_equal(seen[0].take(np.arange(40)).items, arena.log.take(arena.users(0)).items)
    # The users who don't take part stand below, and never change.
    first, second = (log.take(np.arange(40, 60)) for log in seen)
    np.testing.assert_array_equal(first.items, second.items)
    assert traits[0].train_counts.sum() == n_start < arena.prepared.data.split.train_counts.sum()


def test_baselines_in_the_loop_may_go_by_content(arena: SimulationSetup) -> None:
    learner = {"type": "baseline", "baseline": {"type": "content", "space": "categories"}}
    policy = validate(PolicyConfig, {"learner": learner, "candidates": 12}, "test")
    assert [row["round"] for row in arena.play(policy, 0)] == [0, 1]


def test_baselines_rerank_and_explore_as_models_do(arena: SimulationSetup) -> None:
    knn = {"learner": {"type": "baseline", "baseline": {"type": "item_knn"}}, "candidates": 12}
    like_neural = {
        **knn,
        "rerank": [{"type": "mmr", "diversity": 0.3}],
        "explore": {"type": "epsilon_greedy"},
    }
    plain, diverse = (
        list(arena.play(validate(PolicyConfig, policy, "test"), 0)) for policy in (knn, like_neural)
    )
    assert [row["round"] for row in diverse] == [0, 1]
    assert diverse[0] != plain[0]


def test_the_first_training_is_shared_and_later_ones_go_on_from_it(
    arena: SimulationSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Path] = []
    step = Trainer._step

    def counted(trainer: Trainer, *arguments: Any) -> Any:
        steps.append(trainer.folder)
        return step(trainer, *arguments)

    def learned(learner: NeuralLearner, log: Sequences) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in learner(log).network.state_dict().items()}

    monkeypatch.setattr(Trainer, "_step", counted)
    config = NeuralLearnerConfig(first_epochs=1)
    makers = [NeuralLearner(arena.prepared, config, 0, torch.device("cpu"), tmp_path / "first") for _ in "ab"]
    first = learned(makers[0], arena.log)
    assert set(steps) == {tmp_path / "first"}
    assert (tmp_path / "first" / "log.jsonl").exists()
    n_first = len(steps)
    shared = learned(makers[1], arena.log)
    assert len(steps) == n_first, "the second learner reads what the first one trained"
    torch.testing.assert_close(shared, first, rtol=0, atol=0)
    longer = Sequences.from_lists([[*arena.log.row(user), user % 5] for user in range(len(arena.log))])
    later = [learned(maker, longer) for maker in makers]
    assert len(steps) > n_first
    torch.testing.assert_close(later[0], later[1], rtol=0, atol=0)
    assert any(not torch.equal(later[0][name], value) for name, value in first.items())
    assert not any(folder.exists() for folder in set(steps[n_first:])), "later trainings leave no files"


def test_results_of_another_simulation_or_of_other_spaces_are_not_taken(arena: SimulationSetup) -> None:
    first = base_content(arena.prepared)
    assert first["simulation"] == SIMULATION_VERSION
    spaces = SpacesConfig(text=None)
    config = arena.prepared.config.model_copy(update={"spaces": spaces})
    other = base_content(PreparedExperiment(config, arena.prepared.data, arena.prepared.content))
    assert {name for name in first if first[name] != other[name]} == {"spaces"}
    grouped = arena.prepared.config.model_copy(update={"segments": SegmentsConfig()})
    assert "segments" in base_content(
        PreparedExperiment(grouped, arena.prepared.data, arena.prepared.content)
    )


def test_co_clicks_are_those_of_the_log_from_which_the_loop_starts(arena: SimulationSetup) -> None:
    """The training part holds clicks after it, to which the tastes are fitted."""
    found = arena.items.vectors(BEHAVIOUR)
    np.testing.assert_array_equal(found, co_click_vectors(arena.log, len(found)))
    assert arena.log.lengths.sum() < arena.prepared.data.split.train.lengths.sum()
    assert not np.allclose(found, arena.prepared.items.vectors(BEHAVIOUR), atol=1e-2)
    assert arena.items.spaces == arena.prepared.items.spaces


def test_a_base_with_parts_that_the_loop_does_not_train_with_is_refused(content: dict[str, Any]) -> None:
    changes = ["rerank.stages=[{type: mmr}]", "diversity.type=user_item_diversity"]
    alone = {"policies": {"neural": content["policies"]["neural"]}, "out": "nowhere"}
    config = validate(FeedbackLoopConfig, {**content, **alone, "changes": changes}, "test")
    with pytest.raises(InputError, match=r"changes: \[diversity=null, rerank=null\]"):
        run_feedback_loop(config)


def test_true_tastes_need_the_demo(content: dict[str, Any]) -> None:
    config = validate(FeedbackLoopConfig, {**content, "tastes": {"type": "demo"}, "out": "nowhere"}, "test")
    with pytest.raises(InputError, match=r"tastes\.type=fitted"):
        run_feedback_loop(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compare_with": ["als"]}, "'als' is not among knn, neural"),
        ({"seeds": [1, 1]}, "distinct"),
        (
            {
                "policies": {
                    "a": {"learner": {"type": "neural"}, "rerank": [{"type": "mmr", "space": "model"}]}
                }
            },
            "model",
        ),
        ({"tastes": {"type": "fitted", "learn": 0.7, "fit": 0.3}}, "no clicks to check"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(
    content: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(FeedbackLoopConfig, {**content, **change}, "test")


def test_the_shipped_study_loads_and_round_trips() -> None:
    config = load_config(FeedbackLoopConfig, SHIPPED)
    assert validate(FeedbackLoopConfig, config.model_dump(mode="json"), "dumped") == config
    # No policy may know how the simulated users look at places.
    explorers = [policy.explore for policy in config.policies.values()]
    assert [e.position_bias for e in explorers if isinstance(e, BanditOptions)] == [0]


def test_the_shipped_studies_give_baselines_what_models_have() -> None:
    shipped = sorted(SHIPPED.parents[1].glob("*/feedback_loop*.yaml"))
    assert SHIPPED in shipped
    for path in shipped:
        # Bandits need item vectors, which item-kNN has not.
        policies = [
            policy
            for policy in load_config(FeedbackLoopConfig, path).policies.values()
            if not isinstance(policy.explore, BanditOptions)
        ]
        used = {repr((p.rerank, p.explore)) for p in policies}
        of_knn = {
            repr((p.rerank, p.explore))
            for p in policies
            if (baseline := getattr(p.learner, "baseline", None)) is not None
            and BASELINES.name_of(baseline) == "item_knn"
        }
        assert of_knn == used, path.name


def test_whole_runs_and_gains_against_plain_arithmetic() -> None:
    values = {
        ("a", "clicks"): np.asarray([[10.0, 0], [6, 6]]),
        ("a", "shown"): np.asarray([[100.0, 20], [100, 100]]),
        ("b", "clicks"): np.asarray([[5.0, 1], [5, 5]]),
        ("b", "shown"): np.asarray([[100.0, 20], [100, 100]]),
        ("a", "gini"): np.asarray([[0.5, 0.7], [0.5, 0.8]]),
        ("b", "gini"): np.asarray([[0.4, 0.9], [0.4, 0.8]]),
    }
    np.testing.assert_allclose(whole_run(values, "a", "click_rate"), [10 / 120, 12 / 200])
    gain = relative_gain(values, "a", "b", "click_rate")
    np.testing.assert_allclose(gain.seeds, [10 / 6 - 1, 0.2])
    assert gain.value == pytest.approx((10 / 6 - 1 + 0.2) / 2)
    assert settled_rounds(values, "a", "b", "gini") == ([0], [])
    spread = over_seeds(np.asarray([1.0, 2.0, 3.0]))
    # Student's t with two degrees of freedom: 4.3027.
    assert spread.low == pytest.approx(2 - 4.302653 / np.sqrt(3))
    assert np.isnan(over_seeds(np.asarray([1.0])).low)
