"""``crossrec compare`` on folders that look like runs: naming, grouping, baselines, files, refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.sparse import csr_matrix

import crossrec as cr
from crossrec.cli.commands import COMMANDS, main
from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.predictions import save_recommendations
from crossrec.types import InputError, Sequences, TopK

N_ITEMS, N_USERS, K = 20, 25, 3
QUICK = ("--resamples", "300", "--permutations", "50")


def write_evaluation(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.permutation(N_ITEMS)[:K] for _ in range(N_USERS)])
    lists = TopK(ids, np.zeros(ids.shape, np.float32))
    users = np.array([f"u{i}" for i in range(N_USERS)], dtype=object)
    targets = Sequences.from_lists([[user % N_ITEMS] for user in range(N_USERS)])
    queries = Queries(np.arange(N_USERS), np.ones(N_USERS, int), targets)
    facts = ItemTable(np.ones(N_ITEMS), csr_matrix(np.eye(4)[np.arange(N_ITEMS) % 4]), {}, {})
    histories = Sequences.from_lists([[] for _ in range(N_USERS)])
    config = EvaluationConfig(ks=(K,), n_bootstrap=10)
    evaluate_lists(lists, queries, histories, facts, config).save(folder, users)
    items = [f"i{i}" for i in range(N_ITEMS)]
    save_recommendations(folder / "recommendations.parquet", lists, queries, users, items)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base.0, base.1, large.0 and large.1; base.0 has a baseline."""
    root = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("base.0", "base.1", "large.0", "large.1")):
        write_evaluation(root / name / "eval" / "test", seed)
        (root / name / "data.json").write_text(json.dumps({"counts": {"items": N_ITEMS}}))
    write_evaluation(root / "base.0" / "eval" / "test" / "baselines" / "popularity", 9)
    return root


def compare(runs: Path, out: Path, *arguments: str) -> dict:
    assert main(["compare", *arguments, *QUICK, "--out", str(out)]) == 0
    assert (out / "comparison.html").stat().st_size > 10_000
    return json.loads((out / "comparison.json").read_text())


def test_python_compares_as_the_command_does(runs: Path, tmp_path: Path) -> None:
    command = compare(runs, tmp_path, str(runs / "base.0"), str(runs / "large.0"), "--baselines")
    options: dict[str, Any] = {"n_bootstrap": 300, "n_permutations": 50}
    found = cr.compare([runs / "base.0", runs / "large.0"], baselines=True, **options)
    frame = found.to_frame()
    assert frame["system"].unique(maintain_order=True).to_list() == ["base.0", "large.0", "popularity"]
    for row, entry in zip(frame.iter_rows(named=True), command["entries"], strict=True):
        assert (row["metric"], row["system"], row["value"]) == tuple(
            entry[k] for k in ("metric", "system", "value")
        )
        there = entry["difference"] or {}
        assert (row["difference"], row["p_holm"]) == (there.get("value"), there.get("p_holm"))
    assert json.loads((found.write(tmp_path / "py").parent / "comparison.json").read_text()) == command
    html = found._repr_html_()
    assert html.count("<tr>") == len(frame) + 1
    assert "Differences from base.0" in html
    assert "Differences from base.0" in repr(found)
    seeds = cr.compare({"b": [runs / "base.0", runs / "base.1"], "l": runs / "large.0"}, **options)
    assert dict(seeds.to_frame().select("system", "seeds").iter_rows()) == {"b": 2, "l": 1}
    for wrong, message in ((str(runs / "base.0"), "a list of run folders"), ([], "at least two")):
        with pytest.raises(InputError, match=message):
            cr.compare(wrong)


def test_two_runs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = ["ndcg@3", "coverage@3"]
    found = compare(
        runs,
        tmp_path,
        str(runs / "base.0"),
        str(runs / "large.0"),
        "--metrics",
        ",".join(metrics),
        "--test",
        "t",
    )
    assert found["systems"] == ["base.0", "large.0"]
    assert found["settings"]["metrics"] == metrics
    assert found["settings"]["test"] == "t"
    shown = capsys.readouterr().out
    assert "Differences from base.0, 25 users" in shown
    assert "coverage@3" in shown
    saved = json.loads((runs / "large.0" / "eval" / "test" / "metrics.json").read_text())
    for entry in found["entries"]:
        if entry["system"] == "large.0":
            assert entry["value"] == pytest.approx(saved[entry["metric"]]["value"], abs=1e-12)


def test_seeds_are_grouped_by_name_or_as_told(runs: Path, tmp_path: Path) -> None:
    folders = [str(runs / name) for name in ("base.0", "base.1", "large.0", "large.1")]
    by_name = compare(runs, tmp_path / "a", *folders, "--group", "--metrics", "ndcg@3")
    assert by_name["systems"] == ["base", "large"]
    told = compare(
        runs,
        tmp_path / "b",
        f"base={folders[0]},{folders[1]}",
        f"large={folders[2]},{folders[3]}",
        "--metrics",
        "ndcg@3",
    )
    assert told["entries"] == by_name["entries"]
    assert [len(entry["seeds"]) for entry in told["entries"]] == [2, 2]


def test_a_run_beside_its_own_baselines(runs: Path, tmp_path: Path) -> None:
    found = compare(runs, tmp_path, str(runs / "base.0"), "--baselines", "--metrics", "ndcg@3,gini@3")
    assert found["systems"] == ["base.0", "popularity"]


def test_files_go_beside_the_runs_where_nothing_is_said(runs: Path) -> None:
    assert main(["compare", str(runs / "base.1"), str(runs / "large.1"), *QUICK, "--metrics", "hit@3"]) == 0
    assert (runs / "compare-base-1-large-1" / "comparison.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["base.0"], "at least two systems"),
        (["base.0", "absent"], "absent: no such run folder"),
        (["base.0", "base.0"], "two systems have the same name"),
        (["base.0", "large.0", "--split", "valid"], "run evaluate.py on this run first"),
        (["large.0", "--baselines"], "holds no baselines"),
        (["base.0", "large.0", "--metrics", "ndgc@3"], "did you mean 'ndcg@3'?"),
        (["base.0", "large.0", "--resamples", "0"], "n_bootstrap"),
        (["base.0", "large.0", "--resamples", "39", "--metrics", "ndcg@3,gini@3"], "--resamples 40 or more"),
    ],
)
def test_what_cannot_be_compared_is_one_message(
    runs: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"base.0", "large.0", "absent"}
    told = [str(runs / argument) if argument in known else argument for argument in arguments]
    assert main(["compare", *told]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("error: ") == 1


def test_one_folder_is_no_two_seeds(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", f"a={runs}/base.0,{runs}/base.1/../base.0", str(runs / "large.0")]) == 2
    assert "a: the same run folder is repeated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "metric", "key"),
    [
        ({"evaluation": {"tail_share": 0.5}}, "tail_share@3", "evaluation.tail_share (0.5 against 0.2)"),
        ({"spaces": {"text": None}}, "ild@3", "spaces.text"),
        ({"spaces": {"behaviour": {"width": 8}}}, "ild_behaviour@3", "spaces.behaviour.width (8 against 64)"),
    ],
)
def test_metrics_measured_on_other_ground_are_refused(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    metric: str,
    key: str,
) -> None:
    folders = []
    for name, content in (("base.0", {}), ("large.0", changes)):
        shutil.copytree(runs / name, tmp_path / name)
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({"name": name, **content}))
        path = tmp_path / name / "eval" / "test" / "metrics.json"
        found = json.loads(path.read_text())
        path.write_text(json.dumps({metric: found["ndcg@3"], **found}))
        folders.append(str(tmp_path / name))
    assert main(["compare", *folders, "--metrics", f"ndcg@3,{metric}", *QUICK]) == 2
    complaint = capsys.readouterr().err
    assert f"{metric} can't be compared" in complaint
    assert key in complaint
    compare(tmp_path, tmp_path / "out", *folders, "--metrics", "ndcg@3")


def test_every_command_has_a_help_text_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    overview = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert command.help in overview
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
    with pytest.raises(SystemExit) as refused:
        main(["nonesuch"])
    assert refused.value.code == 2


@pytest.mark.parametrize(("key", "told"), [("catalog", "their catalogue"), ("queries", "their queries")])
def test_results_on_other_data_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, told: str
) -> None:
    for name in ("base.0", "large.0"):
        shutil.copytree(runs / name, tmp_path / name)
        same = {"items": N_ITEMS, "catalog": "c", "train": name, "queries": "q"}
        measured_on = {**same, key: name} if name == "large.0" else same
        (tmp_path / name / "eval" / "test" / "measured_on.json").write_text(json.dumps(measured_on))
    assert main(["compare", str(tmp_path / "base.0"), str(tmp_path / "large.0"), *QUICK]) == 2
    assert f"measured on other data: {told}" in capsys.readouterr().err
