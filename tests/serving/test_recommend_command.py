"""``crossrec recommend``."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crossrec.cli.commands import main
from crossrec.serving.loaded import LoadedRecommender


def test_a_table_for_a_user_or_a_history(
    run_folder: Path, shop: LoadedRecommender, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(run_folder), "--user", "u3", "-k", "3", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    for item_id in shop.recommend(user_id="u3", k=3).item_ids:
        assert f"Thing {item_id[1:]}" in out
    arguments = ["recommend", str(run_folder), "--history", "i2", "i6", "-k", "2", "--rerank", "mmr"]
    assert main([*arguments, "--strength", "0.9"]) == 0
    out = capsys.readouterr().out
    chosen = {"type": "mmr", "diversity": 0.9}
    for item_id in shop.recommend(["i2", "i6"], k=2, rerank=chosen).item_ids:
        assert f"Thing {item_id[1:]}" in out


def test_a_file_for_all_users(run_folder: Path, shop: LoadedRecommender, tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    assert main(["recommend", str(run_folder), "--out", str(path), "-k", "2"]) == 0
    assert pl.read_parquet(path)["user_id"].n_unique() == len(shop.user_ids)


def test_a_list_ends_with_the_catalogue(
    run_folder: Path, shop: LoadedRecommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.parquet"
    assert main(["recommend", str(run_folder), "--out", str(path), "-k", "1000000000"]) == 0
    assert f"There are {shop.n_items} items" in capsys.readouterr().out
    assert 1 < pl.read_parquet(path)["rank"].max() <= shop.n_items
    for k in ("0", "-3"):
        assert main(["recommend", str(run_folder), "--user", "u3", "-k", k]) == 2
        assert f"k={k}" in capsys.readouterr().err


def test_what_can_not_be_done_is_a_plain_message(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(run_folder), "--user", "nobody"]) == 2
    assert "error: user 'nobody' is not in the log" in capsys.readouterr().err
    for arguments in ([], ["--user", "u1", "--out", "x.parquet"], ["--user", "u1", "--strength", "0.1"]):
        with pytest.raises(SystemExit):
            main(["recommend", str(run_folder), *arguments])
