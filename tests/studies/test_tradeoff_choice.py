"""Points, methods, gains, picks and hypervolumes of a study, on numbers that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.config import parse_overrides, validate
from crossrec.studies.statistics import seed_interval
from crossrec.studies.tradeoff.config import TradeoffConfig, all_variants, members
from crossrec.studies.tradeoff.fronts import choose, difference, hypervolumes
from crossrec.studies.tradeoff.report import front_plots
from crossrec.studies.tradeoff.sweep import PointTable, relative_gain
from crossrec.types import ConfigError, InputError

MMR = {"type": "mmr", "space": "category", "diversity": 0.5}


POPULARITY = {"type": "popularity", "diversity": 0.5}


def study(**changes: object) -> TradeoffConfig:
    content = {
        "out": "out",
        "runs": {"base": ["a.0", "a.1"], "trained": ["b.0", "b.1"]},
        "rerankers": {"mmr": {"stages": [MMR]}},
        "grid": [0, 0.5],
        "diversity": ["ild_category"],
        "goals": {"both": {"budget": 0.01, "gains": {"ild_category": 0.2, "coverage": 0.4}}},
        "metrics": ["ndcg"],
    }
    return validate(TradeoffConfig, {**content, **changes}, "test")


def test_unreranked_reference_comes_first_and_every_point_once() -> None:
    variants = all_variants(study(reference="trained"))
    assert variants[0].label == "trained, unreranked"
    assert len({v.label for v in variants}) == len(variants) == 2 + 2 * 2


def test_default_methods_have_training_rerankers_and_both() -> None:
    config = study()
    variants = all_variants(config)
    sizes = {name: len(members(method, variants)) for name, method in config.all_methods.items()}
    assert sizes == {"mmr": 1 + 2, "training": 2, "training + mmr": 2 + 4}


def test_grids_of_two_stages_and_spaces_are_all_combined() -> None:
    sweep = {"stages": [POPULARITY, MMR], "grids": [[0.1, 0.2], None], "spaces": ["text", "category"]}
    config = study(runs=["a.0"], rerankers={"both": sweep})
    found = [(v.strengths, v.space, v.stages[1].space) for v in all_variants(config)[1:]]
    assert found == [((p, 0.5), space, space) for space in ("text", "category") for p in (0.1, 0.2)]


def test_the_grid_goes_to_the_last_stage_that_has_a_strength() -> None:
    config = study(runs=["a.0"], rerankers={"both": {"stages": [POPULARITY, MMR]}})
    assert [v.strengths for v in all_variants(config)[1:]] == [(0.5, 0.0), (0.5, 0.5)]


def test_a_strength_outside_a_stage_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="grid: needs values of diversity from 0 to 1"):
        study(grid=[0, 1.5])
    with pytest.raises(InputError, match=r"rerankers\.x\.grids: 2 entries for 1 stages"):
        all_variants(study(rerankers={"x": {"stages": [MMR], "grids": [[0], [1]]}}))
    with pytest.raises(InputError, match=r"rerankers\.x\.spaces: no stage"):
        all_variants(study(rerankers={"x": {"stages": [POPULARITY], "spaces": ["text"]}}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runs": {"a": ["a.0"], "b": ["b.0", "b.1"]}}, "same number of seeds"),
        ({"reference": "nobody"}, "'nobody' is not among base, trained"),
        ({"methods": {"m": {"models": ["base"], "rerankers": ["dpp"]}}}, "'dpp' is not among mmr"),
        ({"goals": {"g": {"gains": {"coverage": 0}}}}, "above 0"),
        ({"goals": {"g": {"gains": {"coverag": 0.1}}}}, "coverag"),
    ],
)
def test_mistakes_in_a_study_are_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        study(**changes)


def test_a_list_of_runs_is_one_model() -> None:
    assert study(runs=["a.0", "a.1"]).runs == {"model": (Path("a.0"), Path("a.1"))}


def test_gain_is_positive_where_a_measure_got_better() -> None:
    assert relative_gain("coverage", np.array([0.6]), np.array([0.5])) == pytest.approx([0.2])
    assert relative_gain("gini", np.array([0.4]), np.array([0.5])) == pytest.approx([0.2])
    assert np.isnan(relative_gain("coverage", np.array([0.6]), np.array([0.0])))[0]


def table(config: TradeoffConfig, **columns: list[list[float]]) -> PointTable:
    """A column a metric: a row a point, a value a seed."""
    values = {name: np.asarray(column, float) for name, column in columns.items()}
    return PointTable(all_variants(config), values, {})


@pytest.fixture
def config() -> TradeoffConfig:
    return study(runs=["a.0", "a.1"], grid=[0.1, 0.2, 0.3])


@pytest.fixture
def valid(config: TradeoffConfig) -> PointTable:
    # The means over seeds decide: point 2 loses 2 % of accuracy for one seed and nothing for the other.
    return table(
        config,
        ndcg=[[0.2, 0.1], [0.2, 0.1], [0.196, 0.1], [0.19, 0.095]],
        ild_category=[[0.5, 0.5], [0.55, 0.55], [0.6, 0.6], [0.9, 0.9]],
        coverage=[[0.4, 0.4], [0.5, 0.5], [0.42, 0.42], [0.8, 0.8]],
    )


def test_a_pick_maximises_the_smallest_share_of_what_is_wanted(
    config: TradeoffConfig, valid: PointTable
) -> None:
    # Shares: point 1 min(.1 / .2, .25 / .4) = .5; point 2 min(.2 / .2, .05 / .4) = .125; 3 is too dear.
    chosen = choose(config, valid, {"mmr": [0, 1, 2, 3]})
    assert chosen.picks["both", "mmr"] == 1
    assert chosen.best_method["both"] == "mmr"
    one = study(runs=["a.0", "a.1"], grid=[0.1, 0.2, 0.3], goals={"one": {"gains": {"ild_category": 0.2}}})
    assert choose(one, valid, {"mmr": [0, 1, 2, 3]}).picks["one", "mmr"] == 2


def test_front_is_chosen_on_the_mean_over_seeds(config: TradeoffConfig, valid: PointTable) -> None:
    chosen = choose(config, valid, {"mmr": [0, 1, 2, 3], "none": [0]})
    # Point 0 is beaten by point 1, which is as accurate.
    assert chosen.fronts["ild_category", "mmr"] == [1, 2, 3]
    assert chosen.needed() == {0, 1, 2, 3}


def test_hypervolume_is_the_mean_gain_over_losses(config: TradeoffConfig, valid: PointTable) -> None:
    found = hypervolumes(config, valid, "ild_category", [1, 2, 3])
    # Losses up to 10 %. Seed 0: gain .1 up to 2 %, .2 up to 5 %, .8 beyond; seed 1: .2 at once, .8 from 5 %.
    expected = [0.2 * 0.1 + 0.3 * 0.2 + 0.5 * 0.8, 0.5 * 0.2 + 0.5 * 0.8]
    np.testing.assert_allclose(found.per_seed_S, expected)
    assert "ci95_users" not in found.summary()


def test_resamples_that_are_all_the_value_have_no_width(config: TradeoffConfig, valid: PointTable) -> None:
    for row in range(4):
        for seed in range(2):
            valid.resampled[row, seed] = {m: np.full(5, v[row, seed]) for m, v in valid.values.items()}
    whole = hypervolumes(config, valid, "ild_category", [1, 2, 3])
    np.testing.assert_allclose(whole.resampled_R, whole.per_seed_S.mean())
    less = difference(whole, hypervolumes(config, valid, "ild_category", [1]))
    assert less["ci95_users"] == pytest.approx([less["value"], less["value"]])


def test_hypervolumes_of_noisy_resamples_stay_around_their_values(
    config: TradeoffConfig, valid: PointTable
) -> None:
    # Noise raises a running maximum: raw resamples of all points lie above the value.
    rng = np.random.default_rng(0)
    for row in range(4):
        for seed in range(2):
            valid.resampled[row, seed] = {
                m: v[row, seed] * (1 + 0.05 * rng.normal(size=400)) for m, v in valid.values.items()
            }
    whole = hypervolumes(config, valid, "ild_category", [1, 2, 3])
    part = hypervolumes(config, valid, "ild_category", [1, 2])
    for one in (whole, part):
        assert one.resampled_R.mean() == pytest.approx(one.per_seed_S.mean())
        low, high = one.summary()["ci95_users"]
        assert 0 <= low < one.summary()["value"] < high
    less = difference(whole, part)
    assert np.mean(whole.resampled_R - part.resampled_R) == pytest.approx(less["value"])
    assert less["ci95_users"][0] < less["value"] < less["ci95_users"][1]


@pytest.mark.parametrize("metric", ["ndcg", "ild_category", "coverage"])
def test_a_reference_of_0_is_refused_by_its_name(
    config: TradeoffConfig, valid: PointTable, metric: str
) -> None:
    valid.values[metric][0, 1] = 0.0
    with pytest.raises(InputError, match=rf"{metric}@10 of a\.1, unreranked, is 0 on validation"):
        choose(config, valid, {"mmr": [0, 1, 2, 3]})


def test_a_method_without_any_known_point_is_refused(config: TradeoffConfig, valid: PointTable) -> None:
    valid.values["ild_category"][3] = np.nan
    with pytest.raises(InputError, match=r"methods\.lone: none of its points"):
        choose(config, valid, {"mmr": [0, 1, 2, 3], "lone": [3]})


def test_a_plot_tells_the_best_value_by_the_measure_s_direction() -> None:
    config = study(runs=["a.0"], grid=[0.1], diversity=["gini"], goals={"g": {"gains": {"gini": 0.1}}})
    valid = table(config, ndcg=[[0.2], [0.19]], gini=[[0.5], [0.3]])
    chosen = choose(config, valid, {"mmr": [0, 1]})
    plots = front_plots(config, valid, valid, chosen, {"mmr": [0, 1]})
    assert all("mmr reaches gini@10 0.300 at ndcg@10 0.1900" in plot.alt for plot in plots)


def test_interval_over_seeds_is_students() -> None:
    # t of 0.975 with 2 degrees of freedom is 4.3027.
    low, high = seed_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == (
        pytest.approx(2 - 4.3027 / 3**0.5, abs=1e-4),
        pytest.approx(2 + 4.3027 / 3**0.5, abs=1e-4),
    )
    assert np.isnan(seed_interval(np.array([1.0]))).all()


def test_a_point_says_how_to_apply_it() -> None:
    sweep = {"stages": [{"type": "mmr", "space": "category"}], "candidates": 30}
    config = TradeoffConfig.model_validate({"out": "out", "runs": ["a"], "rerankers": {"mmr": sweep}})
    plain, *_, last = all_variants(config)
    assert plain.overrides == []
    applied = parse_overrides(last.overrides)["rerank"]
    assert applied["candidates"] == 30
    assert [(s["type"], s["diversity"]) for s in applied["stages"]] == [("mmr", last.strengths[0])]
