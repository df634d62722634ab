"""What a grid will do, and what it refuses before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crossrec.config import load_config, validate
from crossrec.studies.grid.config import AblationConfig, lay, nested
from crossrec.studies.grid.plan import check_trials, grid, search_corners, split_slice, trials_of
from crossrec.studies.grid.study import run_ablation
from crossrec.types import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs" / "ablations"


AXES = {
    "size": {"small": {"model.width": 8}, "large": {"model": {"width": 32}}},
    "trainer.lr": [0.01, 0.001],
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    content = {"model": {"text": None, "image": None, "item_id": True}, "data": {"source": {"type": "demo"}}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "base.yaml"


def study(base: Path, **changes: Any) -> AblationConfig:
    content = {"base": base, "axes": AXES, "out": base.parent / "out", **changes}
    return validate(AblationConfig, content, "study.yaml")


def test_every_combination_has_a_name_labels_and_its_own_settings(base: Path) -> None:
    config = study(base, seeds=(4, 7))
    trials = trials_of(config, grid(config))
    assert [trial.name for trial in trials] == [
        f"{size}-lr-{lr}.{seed}" for seed in (4, 7) for size in ("small", "large") for lr in (0.01, 0.001)
    ]
    first, last = trials[0], trials[-1]
    assert first.variant.labels == {"size": "small", "trainer.lr": "0.01"}
    assert (first.config.model.width, first.config.trainer.lr, first.config.seed) == (8, 0.01, 4)
    assert (last.config.model.width, last.config.trainer.lr, last.config.seed) == (32, 0.001, 7)
    assert first.config.run_folder == config.out / "runs" / "small-lr-0.01.4"


def test_the_base_may_be_a_run_s_own_configuration(base: Path) -> None:
    plain = [trial.config for trial in trials_of(study(base), grid(study(base)))]
    content = yaml.safe_load(base.read_text()) | {"name": "earlier", "provenance": {"git_commit": "abc"}}
    base.write_text(yaml.safe_dump(content))
    assert [trial.config for trial in trials_of(study(base), grid(study(base)))] == plain


def test_combinations_are_left_out_and_added(base: Path) -> None:
    config = study(
        base,
        exclude=[{"size": "small", "trainer.lr": [0.001]}],
        include=[{"size": "large", "trainer.lr": 0.5}],
    )
    assert [v.name for v in grid(config)] == [
        "small-lr-0.01",
        "large-lr-0.01",
        "large-lr-0.001",
        "large-lr-0.5",
    ]
    assert trials_of(config, grid(config)[-1:])[0].config.trainer.lr == 0.5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"axes": {"a": {"x": {"model.widht": 8}}}},
            "variant 'x': model: unknown key 'widht'; did you mean 'width'",
        ),
        ({"axes": {"model.widht": [8]}}, "variant 'widht-8': model: unknown key 'widht'; did"),
        ({"axes": {"trainer.lr": [0.1, -1.0]}}, r"variant 'lr--1\.0': trainer\.lr: .*greater than 0"),
        ({"axes": {"a": {"x y": {}, "x+y": {}}}}, "would both be called 'x-y'"),
        ({"axes": {"trainer.lr": [0.1, 0.1]}}, "a value is repeated"),
        ({"axes": {"a": {"x": {"seed": 3}}}}, "x: 'seed' is set by the study"),
        ({"changes": {"name": "mine"}}, "changes: 'name' is set by the study"),
        ({"axes": {"metric": [1]}}, "'metric' is a column of the results"),
        ({"exclude": [{"size": "tiny"}]}, "no combination has {'size': 'tiny'}"),
        ({"exclude": [{"sise": "small"}]}, "exclude: 'sise' is not among the axes size, trainer.lr"),
        ({"include": [{"size": "small"}]}, "lacks the axis 'trainer.lr'"),
        ({"include": [{"size": "tiny", "trainer.lr": 1}]}, "'tiny' is not among axes.size: small, large"),
        ({"axes": {}}, "give either axes, for a grid, or search"),
        ({"seeds": [1, 1]}, "distinct seeds"),
        ({"reference": "smal"}, "reference: 'smal' is not among the variants small-lr-0.01"),
        ({"comparison": {"metrics": ["ndgc@10"]}}, "metric 'ndgc@10': use NAME@LENGTH"),
        ({"comparison": {"metrics": ["ndcg@20"]}}, "'ndcg@20' is not measured by variant 'small-lr-0.01'"),
        ({"comparison": {"metrics": ["cold:recall@10"]}}, "'cold' is not among the slices cold_items"),
        ({"comparison": {"metrics": ["cold_items:gini@10"]}}, "names are recall"),
        ({"comparison": {"n_bootstrap": 100}}, "100 resamples are too few for 3 variants and 8 metrics"),
        ({"axes": {"data.cleaning.k_users": [2, 3]}}, "differ in data.cleaning.k_users.*compare: false"),
        ({"axes": {"trainer.precision": ["no", "bf16"]}}, "differ in trainer.precision"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_is_written(
    base: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run_ablation(study(base, **changes))
    assert not (base.parent / "out").exists()


def test_other_data_may_be_measured_without_a_comparison(base: Path) -> None:
    config = study(base, axes={"data.cleaning.k_users": [2, 3]}, compare=False)
    check_trials(config, trials_of(config, grid(config)))


def test_the_corners_of_a_search_hold_every_key_bound_and_choice(base: Path) -> None:
    space = {
        "trainer.lr": {"type": "float", "low": 0.001, "high": 0.1, "log": True},
        "reader": {"type": "choice", "values": {"a": {}, "b": {"model.sequence.type": "gru4rec"}, "c": {}}},
    }
    config = study(base, axes={}, search={"space": space})
    found = [dict(variant.labels) for variant in search_corners(config)]
    assert {label["trainer.lr"] for label in found} == {"0.001", "0.1"}
    assert {label["reader"] for label in found} == {"a", "b", "c"}
    space["reader"]["values"]["c"] = {"model.widht": 3}  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"variant 'lr-0\.001-c': model: unknown key 'widht'"):
        run_ablation(study(base, axes={}, search={"space": space}))


@pytest.mark.parametrize(
    ("dimension", "told"),
    [
        ({"type": "float", "low": 1, "high": 1}, "low=1.0 must be below high=1.0"),
        ({"type": "int", "low": 0, "high": 9, "log": True}, "begins above 0"),
        ({"type": "choice", "values": [1]}, "at least two values"),
        ({"type": "flot"}, "did you mean 'float'"),
    ],
)
def test_a_space_says_what_is_wrong_with_it(base: Path, dimension: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        study(base, axes={}, search={"space": {"trainer.lr": dimension}})


def test_nested_keys_count_before_dotted_ones_and_a_type_starts_from_its_defaults() -> None:
    assert nested({"a.b": 1, "a": {"c": 2}, "d.e.f": 3}) == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 3}}}
    assert nested({"a.b": 1, "a": {"b": 2}}) == nested({"a": {"b": 2}, "a.b": 1}) == {"a": {"b": 2}}
    base = {"part": {"type": "one", "size": 3}, "other": 1}
    assert lay(base, [{"part.size": 4}, {"part": {"type": "two"}}]) == {"part": {"type": "two"}, "other": 1}


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)


@given(st.dictionaries(PATHS, st.integers(), max_size=4))
def test_every_dotted_value_is_found_unless_a_longer_or_nested_key_takes_its_place(
    overrides: dict[str, int],
) -> None:
    found = nested(overrides)
    for key, value in overrides.items():
        others = [k for k in overrides if k != key]
        if any(k.startswith(f"{key}.") or key.startswith(f"{k}.") for k in others):
            continue
        inner: Any = found
        for part in key.split("."):
            inner = inner[part]
        assert inner == value


def test_slices_are_told_from_metrics() -> None:
    assert split_slice("cold_items:recall@10") == ("cold_items", "recall@10")
    assert split_slice("ndcg@10") == ("", "ndcg@10")


@pytest.mark.parametrize("name", ["fusion", "modalities", "augmentation", "diversity", "large_model"])
def test_shipped_ablations_plan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS.parents[1])
    config = load_config(AblationConfig, CONFIGS / f"{name}.yaml", ["out=runs/nowhere-test"])
    trials = trials_of(config, grid(config))
    check_trials(config, trials)
    again = validate(AblationConfig, config.model_dump(mode="json"), "dumped")
    assert again == config
    assert [trial.config for trial in trials_of(again, grid(again))] == [trial.config for trial in trials]
