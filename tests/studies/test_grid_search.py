"""A search: proposals on disk, chosen on validation, the best and no other measured on test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crossrec.studies.grid.board import Board, TrialResult
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.search import Search, objective_of
from crossrec.studies.grid.study import run_ablation
from crossrec.types import InputError

pytest.importorskip("optuna", reason="needs the extra 'search'")


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


def filled(config: AblationConfig, values: list[float], monkeypatch: pytest.MonkeyPatch) -> Search:
    """A search whose proposals are made and measured one after the other, without training."""
    monkeypatch.setattr(
        "crossrec.studies.grid.search.objective_of",
        lambda trial, metric: values[int(trial.variant.name.removeprefix("trial-"))],
    )
    board = Board(config.out, 1000.0, "me")
    search = Search(config, board)
    while search.extend():
        for trial in search.proposals()[-1].trials:
            board.finish(trial.name, TrialResult("done", 30.0, "me"))
    return search


@pytest.mark.parametrize(("direction", "best"), [("maximize", 1), ("minimize", 2)])
def test_the_best_on_validation_is_found_and_proposals_can_be_made_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str, best: int
) -> None:
    values = [0.3, 0.5, 0.1, 0.2, np.nan, 0.5]
    searches = [
        filled(study(base, tmp_path / name, trials=6, direction=direction), values, monkeypatch)
        for name in "ab"
    ]
    found = [[dict(p.values) for p in search.proposals()] for search in searches]
    assert found[0] == found[1], "proposals hang on the seed and on what is known, nothing else"
    assert len({json.dumps(values) for values in found[0]}) == 6
    for values_of_one in found[0]:
        assert 1e-4 <= values_of_one["trainer.lr"] <= 0.1
        assert values_of_one["model.width"] in range(4, 17)
        assert values_of_one["layers"] in ("one", "two")
    assert searches[0].best() is searches[0].proposals()[best]
    again = Search(searches[0].config, Board(tmp_path / "a", 1000.0, "other"))
    assert [dict(p.values) for p in again.proposals()] == found[0]


def test_proposals_become_settings_of_the_run(base: Path, tmp_path: Path) -> None:
    search = Search(study(base, tmp_path), Board(tmp_path, 1000.0, "me"))
    assert search.extend()
    proposal = search.proposals()[0]
    for seed, trial in enumerate(proposal.trials):
        assert trial.name == f"trial-0000.{seed}"
        assert trial.config.trainer.lr == proposal.values["trainer.lr"]
        assert trial.config.model.width == proposal.values["model.width"]
        layers = trial.config.model.sequence.layers  # type: ignore[union-attr]
        assert layers == {"one": 1, "two": 2}[proposal.values["layers"]]


def test_the_budget_ends_a_search_by_number_and_by_time(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_number = filled(study(base, tmp_path / "n", trials=4), [0.0] * 9, monkeypatch)
    assert len(by_number.proposals()) == 4
    # Two seeds of 30 seconds make a minute a proposal.
    by_time = filled(study(base, tmp_path / "t", trials=9, minutes=2.5), [0.0] * 9, monkeypatch)
    assert len(by_time.proposals()) == 3


def test_one_worker_makes_a_proposal_at_a_time(base: Path, tmp_path: Path) -> None:
    config = study(base, tmp_path)
    first, second = (Search(config, Board(tmp_path, 1000.0, name)) for name in "ab")
    claim = first.board.claims.take("proposal-0000")
    assert claim is not None
    assert not second.extend()
    claim.release()
    assert second.extend()
    assert len(first.proposals()) == 1


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
    assert Search(first, Board(tmp_path, 1000.0, "me")).extend()
    space = {name: value for name, value in {**SPACE, key: changed}.items() if value is not None}
    with pytest.raises(InputError, match=rf"0000\.json was proposed from another search.space: '{key}'"):
        Search(study(base, tmp_path, space=space), Board(tmp_path, 1000.0, "me")).proposals()


def test_a_failed_seed_makes_no_value_and_no_best(base: Path, tmp_path: Path) -> None:
    config = study(base, tmp_path, trials=2)
    board = Board(tmp_path, 1000.0, "me")
    search = Search(config, board)
    assert search.extend()
    done, failed = search.proposals()[0].trials
    board.finish(done.name, TrialResult("done", 1.0, "me"))
    board.finish(failed.name, TrialResult("failed", 1.0, "me", "no"))
    assert search.value(search.proposals()[0]) is None
    assert search.best() is None
    assert search.extend(), "the sampler takes a failed proposal, too"


def test_a_search_measures_test_once_for_the_best_on_validation(base: Path, tmp_path: Path) -> None:
    config = study(base, tmp_path / "search", sampler={"type": "random"}, trials=2)
    results = run_ablation(config)
    search = Search(config, Board.of(config))
    values = {p.name: np.mean([objective_of(t, "ndcg@10") for t in p.trials]) for p in search.proposals()}
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

    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    with pytest.raises(InputError, match=r"pip install 'crossrec\[search\]'"):
        run_ablation(study(base, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
