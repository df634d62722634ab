"""Systems beside each other: pairing, seeds, exposure by shared resamples, refusals, the front, the page."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.comparison.compare import Comparison, compare_systems
from crossrec.evaluation.comparison.page import blocks_of, write_comparison
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig, EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.pareto import on_front
from crossrec.evaluation.predictions import save_recommendations
from crossrec.evaluation.report.glossary import NO_INTERVAL
from crossrec.types import InputError, Sequences, TopK

N_ITEMS, N_USERS, K = 30, 40, 3
USER_IDS = np.array([f"u{i}" for i in range(N_USERS)], dtype=object)
CONFIG = ComparisonConfig(n_bootstrap=400, n_permutations=300)
METRICS = ("ndcg@3", "ild_category@3", "coverage@3", "gini@3", "entropy@3", "personalization@3")


def measure(folder: Path, skill: float, seed: int, n_users: int = N_USERS) -> Measurement:
    """Lists that hold the target with chance ``skill``, written as an evaluation's folder."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n_users) % N_ITEMS
    ids = np.stack([rng.permutation(N_ITEMS)[:K] for _ in range(n_users)])
    for user in np.flatnonzero(rng.random(n_users) < skill):
        others = ids[user][ids[user] != targets[user]][: K - 1]
        ids[user] = [targets[user], *others]
    lists = TopK(ids, np.zeros(ids.shape, np.float32))
    queries = Queries(np.arange(n_users), np.ones(n_users, int), Sequences.from_lists(targets[:, None]))
    histories = Sequences.from_lists([[] for _ in range(n_users)])
    categories = csr_matrix(np.eye(5)[np.arange(N_ITEMS) % 5])
    facts = ItemTable(np.ones(N_ITEMS), categories)
    config = EvaluationConfig(ks=(K,), n_bootstrap=20)
    evaluate_lists(lists, queries, histories, facts, config, "one click each").save(folder, USER_IDS)
    items = [f"i{i}" for i in range(N_ITEMS)]
    save_recommendations(folder / "recommendations.parquet", lists, queries, USER_IDS, items)
    return Measurement.read(folder)


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> list[System]:
    """A poor system with two seeds, and a good one with three."""
    root = tmp_path_factory.mktemp("systems")
    return [
        System("poor", [measure(root / f"poor{s}", 0.1, s) for s in range(2)]),
        System("good", [measure(root / f"good{s}", 0.8, 10 + s) for s in range(3)]),
    ]


@pytest.fixture(scope="module")
def compared(systems: list[System]) -> Comparison:
    """Both systems by all kinds of metrics."""
    return compare_systems(systems, N_ITEMS, CONFIG.model_copy(update={"metrics": METRICS}))


def test_values_are_means_over_seeds_of_what_evaluation_found(
    systems: list[System], compared: Comparison
) -> None:
    for system in systems:
        for metric in METRICS:
            seeds = [seed.evaluation.metrics[metric]["value"] for seed in system.seeds]
            entry = compared.entry(system.name, metric)
            assert entry.seeds == seeds
            assert entry.value == pytest.approx(np.mean(seeds), abs=1e-12), metric
            assert entry.spread == pytest.approx(np.std(seeds, ddof=1))
            if metric in ("coverage@3", "entropy@3"):
                assert entry.ci95[0] <= entry.value <= entry.ci95[1]


def test_differences_are_paired_by_user(systems: list[System], compared: Comparison) -> None:
    entry = compared.entry("good", "ndcg@3")
    assert entry.difference is not None
    assert compared.entry("poor", "ndcg@3").difference is None
    per_user = [
        pl.concat([s.evaluation.per_user for s in system.seeds]).group_by("user_id").agg(pl.mean("ndcg@3"))
        for system in systems
    ]
    joined = per_user[1].join(per_user[0], on="user_id")
    apart = joined["ndcg@3"] - joined["ndcg@3_right"]
    assert entry.difference.value == pytest.approx(apart.mean())
    assert entry.difference.effect is not None
    assert entry.difference.effect.share_higher == pytest.approx((apart > 1e-12).mean())
    assert entry.difference.p_holm < 0.05
    assert entry.difference.ci95[0] > 0


def test_exposure_differs_with_an_interval_around_the_difference(
    systems: list[System], compared: Comparison
) -> None:
    for metric in ("coverage@3", "gini@3", "entropy@3", "personalization@3"):
        difference = compared.entry("good", metric).difference
        assert difference is not None
        assert difference.effect is None
        expected = compared.entry("good", metric).value - compared.entry("poor", metric).value
        assert difference.value == pytest.approx(expected, abs=1e-12)
        assert difference.ci95[0] <= expected <= difference.ci95[1]
        assert difference.p <= difference.p_holm <= 1


def test_a_system_against_itself_does_not_differ(systems: list[System]) -> None:
    twin = System("twin", systems[0].seeds)
    found = compare_systems([systems[0], twin], N_ITEMS, CONFIG.model_copy(update={"metrics": METRICS}))
    for metric in METRICS:
        difference = found.entry("twin", metric).difference
        assert difference is not None
        assert (difference.value, difference.p, difference.p_holm) == (0, 1, 1), metric
        assert np.isnan(difference.ci95).all()
    assert all(
        line.difference_interval == NO_INTERVAL for block in blocks_of(found) for line in block.lines[1:]
    )


def test_order_of_users_makes_no_difference(systems: list[System], compared: Comparison) -> None:
    def turned(seed: Measurement) -> Measurement:
        evaluation = replace(seed.evaluation, per_user=seed.evaluation.per_user.reverse())
        return Measurement(seed.folder, evaluation)

    good = System("good", [turned(seed) for seed in systems[1].seeds])
    again = compare_systems([systems[0], good], N_ITEMS, compared.config)
    assert again.to_dict() == compared.to_dict()


def test_what_is_compared_where_nothing_is_asked_for(systems: list[System]) -> None:
    found = compare_systems(systems, N_ITEMS, CONFIG.model_copy(update={"diversity": ("jaccard@3",)}))
    usual = ["ndcg@3", "recall@3", "ild_category@3", "coverage@3", "gini@3", "personalization@3"]
    assert found.metrics == [*usual, "jaccard@3"]


def changed(system: System, **changes: object) -> System:
    seed = system.seeds[0]
    return System("other", [Measurement(seed.folder, replace(seed.evaluation, **changes))])  # type: ignore[arg-type]


def test_what_was_not_measured_alike_is_refused_by_its_first_difference(systems: list[System]) -> None:
    poor, evaluation = systems[0], systems[0].seeds[0].evaluation
    fewer = evaluation.per_user.filter(pl.col("user_id") != "u7")
    more = evaluation.per_user.with_columns(
        pl.when(pl.col("user_id") == "u3").then(4).otherwise(pl.col("n_queries")).alias("n_queries")
    )
    protocol = evaluation.protocol.replace("seen items excluded", "seen items allowed")
    refused = [
        ([poor], "at least two systems"),
        ([poor, poor], "two systems are called 'poor'"),
        ([poor, changed(poor, protocol=protocol)], "'seen items allowed' against 'seen items excluded'"),
        ([poor, changed(poor, per_user=fewer)], "user 'u7' has 0 there and 1 here"),
        ([poor, changed(poor, per_user=more)], "user 'u3' has 4 there and 1 here"),
    ]
    for given_systems, message in refused:
        with pytest.raises(InputError, match=message):
            compare_systems(given_systems, N_ITEMS, CONFIG)
    with pytest.raises(InputError, match=r"no metric 'ndgc@3'; did you mean 'ndcg@3'\?"):
        compare_systems(systems, N_ITEMS, CONFIG.model_copy(update={"metrics": ("ndgc@3",)}))


def test_folders_that_hold_no_evaluation_are_named(tmp_path: Path, systems: list[System]) -> None:
    with pytest.raises(InputError, match=r"metrics\.json does not exist; run evaluate\.py"):
        Measurement.read(tmp_path)
    seed = systems[0].seeds[0]
    bare = replace(seed.evaluation, per_user=seed.evaluation.per_user.drop("user_id"))
    bare.save(tmp_path)
    (tmp_path / "recommendations.parquet").write_bytes((seed.folder / "recommendations.parquet").read_bytes())
    with pytest.raises(InputError, match="lacks the column 'user_id'"):
        Measurement.read(tmp_path)


def test_too_few_resamples_for_so_many_comparisons_are_refused(systems: list[System]) -> None:
    few = CONFIG.model_copy(update={"metrics": METRICS, "n_bootstrap": 119})
    with pytest.raises(
        InputError, match=r"119 resamples .* 6 comparisons: coverage@3 .*--resamples 120 or more"
    ):
        compare_systems(systems, N_ITEMS, few)
    compare_systems(systems, N_ITEMS, few.model_copy(update={"n_bootstrap": 120}))
    compare_systems(systems, N_ITEMS, few.model_copy(update={"metrics": METRICS[:2], "n_bootstrap": 5}))


def test_small_values_differ_although_they_are_small(systems: list[System]) -> None:
    def scaled(seed: Measurement, factor: float) -> Measurement:
        per_user = seed.evaluation.per_user.with_columns((pl.col("ndcg@3") + 1) * factor)
        return Measurement(seed.folder, replace(seed.evaluation, per_user=per_user))

    seed = systems[0].seeds[0]
    config = CONFIG.model_copy(update={"metrics": ("ndcg@3",)})
    several = [System("a", [scaled(seed, 1e-14)]), System("b", [scaled(seed, 2e-14)])]
    apart = compare_systems(several, N_ITEMS, config).entry("b", "ndcg@3").difference
    assert apart is not None
    assert apart.value > 0
    rounded = [System("a", [scaled(seed, 1e3)]), System("b", [scaled(seed, 1e3 * (1 + 1e-15))])]
    same = compare_systems(rounded, N_ITEMS, config).entry("b", "ndcg@3").difference
    assert same is not None
    assert (same.value, same.p) == (0, 1)


points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8)


@settings(deadline=None)
@given(points)
def test_the_front_holds_what_nobody_beats(found: list[tuple[int, int]]) -> None:
    expected = [not any(c >= a and d >= b and (c, d) != (a, b) for c, d in found) for a, b in found]
    assert on_front(np.array(found, dtype=float)).tolist() == expected


def test_the_files_hold_what_was_found(tmp_path: Path, compared: Comparison) -> None:
    drawn = compared.config.model_copy(update={"diversity": ("gini@3", "coverage@3")})
    write_comparison(replace(compared, config=drawn), tmp_path)
    content = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert content["reference"] == "poor"
    entry = next(e for e in content["entries"] if (e["system"], e["metric"]) == ("good", "ndcg@3"))
    assert entry["difference"]["value"] == compared.entry("good", "ndcg@3").difference.value
    page = (tmp_path / "comparison.html").read_text()
    assert page.count("<svg") == 2
    assert "ndcg@3 against gini@3" in page
    gini = page[page.index("Scatter plot of gini@3") :]
    assert "On the front: poor, good." in gini
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
    assert {p.name for p in tmp_path.iterdir()} == {"comparison.json", "comparison.html"}


def test_tables_say_better_and_worse_by_the_metric_s_direction(compared: Comparison) -> None:
    def verdict(metric: str, value: float, p: float) -> bool | None:
        good = compared.entry("good", metric)
        assert good.difference is not None
        told = replace(good, difference=replace(good.difference, value=value, p_holm=p))
        entries = [told if e is good else e for e in compared.entries]
        block = next(b for b in blocks_of(replace(compared, entries=entries)) if b.metric == metric)
        return block.lines[1].verdict

    assert verdict("ndcg@3", 0.1, 0.01) is True
    assert verdict("ndcg@3", -0.1, 0.01) is False
    assert verdict("gini@3", 0.1, 0.01) is False
    assert verdict("ndcg@3", 0.1, 0.2) is None
