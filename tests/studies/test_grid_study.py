"""A whole grid on a small shop: trained once, resumed, compared, and honest about what failed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from crossrec.cli.commands import main
from crossrec.evaluation.results import Evaluation
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import grid, trials_of
from crossrec.studies.grid.report import OPEN, dot_plot, finding, how_settled, plane_plot, sentence
from crossrec.studies.grid.results import Results, collect
from crossrec.studies.grid.scheduler import WORKER, Scheduler
from crossrec.studies.grid.study import Watch, ablate, run_ablation
from crossrec.training.trainer import Trainer
from crossrec.types import ConfigError, InputError

METRICS = ("ndcg@10", "tail_items:recall@10", "coverage@10")


BAD = "broken"


@pytest.fixture(scope="module")
def base(id_shop: dict[str, Any]) -> Path:
    path = Path(id_shop["data"]["root"]) / "base.yaml"
    path.write_text(yaml.safe_dump(id_shop))
    return path


def study(base: Path, out: str, **changes: Any) -> AblationConfig:
    content = {
        "base": base,
        "out": base.parent / out,
        "axes": {"width": {"narrow": {"model.width": 4}, "wide": {"model.width": 24}}},
        "seeds": (0, 1),
        "comparison": {"metrics": METRICS, "n_bootstrap": 400, "n_permutations": 500},
    }
    return AblationConfig.model_validate({**content, **changes})


@pytest.fixture(scope="module")
def config(base: Path) -> AblationConfig:
    return study(base, "grid")


@pytest.fixture(scope="module")
def results(config: AblationConfig) -> Results:
    return run_ablation(config)


def test_every_trial_is_an_ordinary_run_measured_on_the_part_that_was_asked_for(
    results: Results, config: AblationConfig
) -> None:
    assert [trial.name for trial in results.done] == ["narrow.0", "wide.0", "narrow.1", "wide.1"]
    for trial in results.done:
        folder = trial.config.run_folder
        assert folder.parent == config.out / "runs"
        for path in ("config.yaml", "data.json", "log.jsonl", "checkpoints/best/model.safetensors"):
            assert (folder / path).exists()
        assert [p.name for p in (folder / "eval").iterdir()] == ["test"]
        assert results.run_folder(trial.variant.name, trial.config.seed) == folder
    assert "Trained" in (config.out / "logs" / "wide.1.log").read_text()


def test_the_long_table_holds_every_number_of_the_runs(results: Results, config: AblationConfig) -> None:
    found = pl.read_parquet(config.out / "results.parquet")
    assert found.columns == [
        *("trial", "variant", "width", "seed", "part", "slice", "metric", "value", "low", "high", "n_users")
    ]
    for trial in results.done:
        evaluation = Evaluation.load(trial.config.run_folder / "eval" / "test")
        own = found.filter((pl.col("trial") == trial.name) & (pl.col("slice") == "all"))
        values = {row["metric"]: (row["value"], row["low"]) for row in own.iter_rows(named=True)}
        assert values.keys() == evaluation.metrics.keys()
        for metric, (value, low) in values.items():
            expected = evaluation.metrics[metric]
            assert [value, low] == pytest.approx([expected["value"], expected["ci95"][0]], nan_ok=True)
    assert set(found["slice"]) == {"all", "cold_items", "tail_items", "short_histories"}


def test_the_summary_is_the_mean_over_seeds_with_differences_paired(
    results: Results, config: AblationConfig
) -> None:
    summary = pl.read_parquet(config.out / "summary.parquet")
    assert summary["metric"].unique(maintain_order=True).to_list() == list(METRICS)
    for metric in METRICS:
        part, _, name = metric.rpartition(":")
        means = {}
        for variant in ("narrow", "wide"):
            row = summary.filter((pl.col("variant") == variant) & (pl.col("metric") == metric)).row(
                0, named=True
            )
            evaluations = [
                Evaluation.load(results.run_folder(variant, s) / "eval" / "test") for s in config.seeds
            ]
            seeds = [(e.slices[part] if part else e.metrics)[name]["value"] for e in evaluations]
            assert row["value"] == pytest.approx(np.mean(seeds))
            assert row["sd"] == pytest.approx(np.std(seeds, ddof=1))
            assert math.isnan(row["low"]) or row["low"] <= row["value"] <= row["high"]
            means[variant] = row["value"]
        assert row["difference"] == pytest.approx(means["wide"] - means["narrow"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
        assert 0 < row["p"] <= row["p_holm"] <= 1


def test_the_study_is_written_for_people_too(results: Results, config: AblationConfig) -> None:
    page = (config.out / "results.md").read_text()
    assert "| narrow |" in page
    assert sentence(results, "ndcg@10") in page
    assert how_settled(results) in page
    assert (config.out / "results.png").read_bytes()[:4] == b"\x89PNG"
    assert "tail_items:recall@10" in (config.out / "comparison.html").read_text()
    assert json.loads((config.out / "comparison.json").read_text())["reference"] == "narrow"


def test_a_finished_study_is_read_and_nothing_trained_again(
    results: Results, config: AblationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "fit", lambda self: pytest.fail("it trained"))
    path = config.out / "again.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    again = ablate(path, ["comparison.seed=0"])
    assert again.summary.equals(results.summary)
    with pytest.raises(ConfigError, match=r"another configuration.*trainer\.lr"):
        ablate(path, ["changes.trainer.lr=0.02"])


def test_trials_that_were_measured_before_and_after_their_files_changed_make_no_table(
    results: Results, config: AblationConfig
) -> None:
    path = results.run_folder("wide", 1) / "eval" / "test" / "measured_on.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "train": "of other clicks"}))
    try:
        with pytest.raises(InputError, match="its files have changed since"):
            run_ablation(config)
    finally:
        path.write_text(text)


def test_sentences_say_what_the_numbers_say(results: Results) -> None:
    entry = results.comparison.entry("wide", "ndcg@10")
    told = sentence(results, "ndcg@10")
    assert f"wide {entry.difference.value:+.4f}" in told
    assert finding(results, "wide", "ndcg@10") in told
    assert "all 2 seeds" in how_settled(results)


def test_variants_of_which_different_seeds_are_done_are_not_paired(
    base: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossrec.studies.grid.report.SIGNIFICANT", 2.0)
    monkeypatch.setattr("crossrec.studies.grid.report.np.sign", np.ones_like)
    assert finding(results, "wide", "ndcg@10") != OPEN
    kept = {name: outcome for name, outcome in results.outcomes.items() if name not in ("narrow.0", "wide.1")}
    partly = collect(results.config, results.trials, kept)
    assert (partly.seeds_of("narrow"), partly.seeds_of("wide")) == ([1], [0])
    assert finding(partly, "wide", "ndcg@10") == OPEN


def test_plots_show_every_variant(results: Results) -> None:
    figure = dot_plot(results, METRICS)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel().split()[0] for axes in panels] == list(METRICS)
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["narrow", "wide"]
    plane = plane_plot(results, ["coverage@10"], "ndcg@10")
    assert [text.get_text() for text in plane.legends[0].get_texts()] == ["narrow", "wide"]


def test_a_failed_trial_is_recorded_the_others_go_on_and_the_command_says_which(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"kind": {BAD: {"trainer.lr": 0.02}, "sound": {}}}
    config = study(base, "failing", axes=axes, seeds=(0,), reference="sound")
    path = base.parent / "failing.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    fit = Trainer.fit

    def breaks(trainer: Trainer) -> Any:
        if trainer.folder.name == f"{BAD}.0":
            raise ValueError("broken on purpose")
        return fit(trainer)

    monkeypatch.setattr(Trainer, "fit", breaks)
    assert main(["ablate", str(path)]) != 0
    told = capsys.readouterr().err
    assert "1 of 2 trials failed" in told
    assert f"{BAD}.0: ValueError: broken on purpose" in told
    assert "Traceback" in (config.out / "logs" / f"{BAD}.0.log").read_text()
    found = pl.read_parquet(config.out / "results.parquet")
    assert set(found["trial"]) == {"sound.0"}
    assert f"- {BAD}.0: ValueError" in (config.out / "results.md").read_text()

    tried: list[str] = []

    def fails(trainer: Trainer) -> None:
        tried.append(trainer.folder.name)
        raise InputError("still")

    monkeypatch.setattr(Trainer, "fit", fails)
    assert main(["ablate", str(path)]) != 0
    assert tried == [f"{BAD}.0"], "only what failed is tried anew"
    assert f"{BAD}.0: still" in capsys.readouterr().err


def test_a_trial_that_is_done_but_not_measured_on_the_part_is_measured_again(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = {"width": {"narrow": {"model.width": 4}, "wide": {"model.width": 8}}}
    valid = study(base, "parts", axes=axes, seeds=(0,), measure="valid", changes={"trainer.epochs": 1})
    run_ablation(valid)
    monkeypatch.setattr(Trainer, "_validate", lambda *_: pytest.fail("it trained again"))
    found = run_ablation(valid.model_copy(update={"measure": "test"}))
    assert set(found.long["part"]) == {"valid", "test"}
    assert found.comparison is not None


def test_a_killed_trial_goes_on_and_ends_like_an_unbroken_one(
    base: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = study(base, "killed", axes={"width": {"wide": {"model.width": 24}}}, seeds=(0,))
    validate = Trainer._validate

    def killed(trainer: Trainer, progress: Any, log: Any) -> None:
        validate(trainer, progress, log)
        if progress.epoch == 1:
            trainer.checkpoints.save(progress)
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_validate", killed)
    with pytest.raises(KeyboardInterrupt):
        run_ablation(config)
    assert not Scheduler(config).results()
    monkeypatch.setattr(Trainer, "_validate", validate)
    again = run_ablation(config)
    assert "Training" in (config.out / "logs" / "wide.0.log").read_text()
    own, unbroken = (r.run_folder("wide", 0) / "eval" / "test" for r in (again, results))
    assert Evaluation.load(own).metrics == Evaluation.load(unbroken).metrics
    assert again.comparison is None, "one variant has nothing to be compared with"
    assert again.summary["value"].to_list() == pytest.approx(
        [
            Evaluation.load(unbroken).metrics["ndcg@10"]["value"],
            Evaluation.load(unbroken).slices["tail_items"]["recall@10"]["value"],
            Evaluation.load(unbroken).metrics["coverage@10"]["value"],
        ]
    )


@pytest.mark.slow
def test_several_workers_share_the_trials_and_survive_one_s_death(
    base: Path, config: AblationConfig, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossrec.studies.grid import workers

    shared = config.model_copy(update={"out": base.parent / "shared", "jobs": 2})
    jobs: list[Any] = []
    start = workers._start

    def remember(*arguments: Any) -> Any:
        jobs.append(start(*arguments))
        return jobs[-1]

    def kill_the_first(watch: Watch) -> None:
        at_work = [t.user_attrs.get(WORKER, "") for t in watch.scheduler._recorded()]
        if any(worker.endswith(f":{jobs[0].pid}") for worker in at_work) and jobs[0].poll() is None:
            jobs[0].kill()

    monkeypatch.setattr(workers, "_start", remember)
    monkeypatch.setattr(Watch, "look", kill_the_first)
    found = run_ablation(shared)
    assert jobs[0].returncode != 0
    assert len(found.done) == len(trials_of(shared, grid(shared)))
    assert found.summary["value"].to_list() == pytest.approx(results.summary["value"].to_list())
