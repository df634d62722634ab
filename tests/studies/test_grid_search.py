"""A search: proposals on disk, chosen on validation, the best and no other measured on test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.scheduler import Assignment, objective_of
from crossrec.studies.grid.search import Search
from crossrec.studies.grid.study import run_ablation
from crossrec.types import InputError

pytest.importorskip("optuna", reason="needs the extra 'studies'")


SPACE = {
    "trainer.lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
    "model.width": {"type": "int", "low": 4, "high": 16},
    "layers": {"type": "choice", "values": {"one": {"model.sequence.layers": 1}, "two": {}}},
}


@pytest.fixture(scope="module")
def base(id_shop: dict[str, Any]) -> Path:
    path = Path(id_shop["data"]["root"]) / "base.yaml"
    path.write_text(yaml.safe_dump(id_shop))
    return path


def study(base: Path, out: Path, **search: Any) -> AblationConfig:
    content = {"space": SPACE, "trials": 3, "sampler": {"type": "tpe", "startup": 2}, **search}
    return AblationConfig.model_validate({"base": base, "out": out, "search": content, "seeds": (0, 1)})


def filled(
    config: AblationConfig, values: list[float], monkeypatch: pytest.MonkeyPatch, seconds: float = 60.0
) -> Search:
    """A search whose proposals are made and measured one after the other, without training."""
    monkeypatch.setattr(
        "crossrec.studies.grid.scheduler.objective_of",
        lambda trial, *_: values[int(trial.variant.name.removeprefix("trial-"))],
    )
    search = Search(config)
    while (taken := search.take()) is not None:
        measured(taken.assignment)
        search.finish(taken, seconds)
    return search


def measured(proposal: Assignment, n_seeds: int = 2) -> None:
    """As if the runs of a proposal had been trained and measured on validation."""
    for trial in proposal.trials[:n_seeds]:
        folder = trial.config.run_folder / "eval" / "valid"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "metrics.json").write_text("{}")


@pytest.mark.parametrize(("direction", "best"), [("maximize", 1), ("minimize", 2)])
def test_the_best_on_validation_is_found_and_proposals_can_be_made_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, best: int
) -> None:
    values = [0.3, 0.5, 0.1, 0.2, np.nan, 0.5]
    searches = [
        filled(study(base, tmp_path / name, trials=6, direction=direction), values, monkeypatch)
        for name in "ab"
    ]
    found = [[dict(p.values) for p in search.assignments()] for search in searches]
    assert found[0] == found[1], "proposals hang on the seed and on what is known, nothing else"
    assert len({json.dumps(values) for values in found[0]}) == 6
    for values_of_one in found[0]:
        assert 1e-4 <= values_of_one["trainer.lr"] <= 0.1
        assert values_of_one["model.width"] in range(4, 17)
        assert values_of_one["layers"] in ("one", "two")
    assert searches[0].best() is searches[0].assignments()[best]
    again = Search(searches[0].config)
    assert [dict(p.values) for p in again.assignments()] == found[0]


def test_proposals_become_settings_of_the_run(base: Path, tmp_path: Path) -> None:
    search = Search(study(base, tmp_path))
    assert search.take() is not None
    proposal = search.assignments()[0]
    for seed, trial in enumerate(proposal.trials):
        assert trial.name == f"trial-0000.{seed}"
        assert trial.config.trainer.lr == proposal.values["trainer.lr"]
        assert trial.config.model.width == proposal.values["model.width"]
        assert vars(trial.config.model.sequence)["layers"] == {"one": 1, "two": 2}[proposal.values["layers"]]


def test_the_budget_ends_a_search_by_number_and_by_time(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_number = filled(study(base, tmp_path / "n", trials=4), [0.0] * 9, monkeypatch)
    assert len(by_number.assignments()) == 4
    by_time = filled(study(base, tmp_path / "t", trials=9, minutes=2.5), [0.0] * 9, monkeypatch)
    assert len(by_time.assignments()) == 3


def test_processes_work_at_proposals_of_their_own_and_take_over_what_is_given_back(
    base: Path, tmp_path: Path
) -> None:
    config = study(base, tmp_path)
    first, second = Search(config), Search(config)
    own, other = first.take(), second.take()
    assert own is not None
    assert other is not None
    assert [one.assignment.name for one in (own, other)] == ["trial-0000", "trial-0001"]
    first.give_back(own)
    again = second.take()
    assert again is not None
    assert again.assignment == own.assignment, "no new one before those that are there"
    assert again.trial.params == own.trial.params
    assert len(first.assignments()) == 2


def test_a_search_of_an_earlier_version_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "proposals").mkdir()
    with pytest.raises(InputError, match="another out"):
        Search(study(base, tmp_path))


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("model.width", None),
        ("model.item_dropout", {"type": "float", "low": 0.0, "high": 0.5}),
        ("trainer.lr", {"type": "float", "low": 0.2, "high": 0.9}),
        ("layers", {"type": "choice", "values": {"three": {"model.sequence.layers": 3}, "four": {}}}),
    ],
)
def test_proposals_of_another_space_are_refused(
    base: Path, tmp_path: Path, key: str, changed: dict[str, Any] | None
) -> None:
    first = study(base, tmp_path)
    assert Search(first).take() is not None
    space = {name: value for name, value in {**SPACE, key: changed}.items() if value is not None}
    with pytest.raises(InputError, match=rf"trial-0000 was proposed from another search.space: '{key}'"):
        Search(study(base, tmp_path, space=space)).assignments()


def test_a_failed_seed_makes_no_value_and_no_best(base: Path, tmp_path: Path) -> None:
    config = study(base, tmp_path, trials=2)
    search = Search(config)
    taken = search.take()
    assert taken is not None
    measured(taken.assignment, n_seeds=1)
    search.finish(taken, 1.0, "no")
    done, failed = (search.results()[trial.name] for trial in taken.assignment.trials)
    assert (done.status, failed.status, failed.error) == ("done", "failed", "no")
    assert search.value(search.assignments()[0]) is None
    assert search.best() is None
    following = search.take()
    assert following is not None, "the sampler takes a failed proposal, too"
    assert following.assignment.name == "trial-0001"


def test_a_search_measures_test_once_for_the_best_on_validation(base: Path, tmp_path: Path) -> None:
    config = study(base, tmp_path / "search", sampler={"type": "random"}, trials=2)
    results = run_ablation(config)
    search = Search(config)
    values = {p.name: np.mean([objective_of(t, "ndcg@10") for t in p.trials]) for p in search.assignments()}
    best = json.loads((config.out / "best.json").read_text())
    assert best["proposal"] == max(values, key=lambda name: values[name])
    assert best["valid"] == pytest.approx(values[best["proposal"]])
    for trial in results.done:
        parts = {path.name for path in (trial.config.run_folder / "eval").iterdir()}
        assert parts == ({"valid", "test"} if trial.variant.name == best["proposal"] else {"valid"})
    page = (config.out / "results.md").read_text()
    assert page.rindex(best["proposal"]) < page.rindex(min(values, key=lambda name: values[name]))
    assert len(results.long["part"].unique()) == 2


def test_a_missing_optuna_is_told_before_anything_is_trained(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'crossrec\[studies\]'"):
        run_ablation(study(base, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
