"""A trained run on a catalogue that was re-sorted, grown or shrunk: all that it does follows item ids."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.torch import load_file, save_file

import crossrec
from crossrec.cli.commands import main
from crossrec.cli.runs import evaluate, train
from crossrec.data.dataset import Dataset
from crossrec.data.identity import BYTES, ENDS, DataIdentity
from crossrec.data.prepare import DataConfig
from crossrec.data.sources.table import TableSource
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import read_run
from crossrec.runtime.files import write_checksums
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.pretrained.files import CHECKED
from crossrec.studies.feedback_loop.setup import base_content
from crossrec.studies.tradeoff.runs import data_key
from crossrec.types import InputError

N_ITEMS, CLICKED = 40, 36
"""The last items are never clicked."""
HISTORY = ["i3", "i8", "i13"]


class Shop:
    """Files of a small shop, whose items can be rewritten, and a run that was trained on it."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.items = pl.DataFrame(
            {"item_id": [f"i{i}" for i in range(N_ITEMS)], "text": [_text(i) for i in range(N_ITEMS)]}
        )
        self.write_items(self.items)
        generator = np.random.default_rng(0)
        rows = [
            (f"u{user}", f"i{(user * 7 + step * int(generator.integers(1, 4))) % CLICKED}", 100 * step + user)
            for user in range(60)
            for step in range(int(generator.integers(5, 12)))
        ]
        self.log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
        self.log.write_csv(folder / "interactions.csv")
        content = {
            "name": "run",
            "runs_dir": str(folder / "runs"),
            "data": {
                "source": {"type": "table"},
                "root": str(folder),
                "cache_dir": str(folder / "cache"),
                "split": {"type": "leave_one_out"},
            },
            "model": {
                "text": None,
                "image": None,
                "item_id": True,
                "smoothing": {"neighbours": 3, "share": 0.4},
                "width": 16,
                "sequence": {"type": "sasrec", "max_length": 8},
            },
            "trainer": {"epochs": 1, "batch_size": 16, "lr": 0.01},
            "spaces": {"text": None, "image": None},
            "baselines": [{"type": "popularity"}],
            "evaluation": {"n_bootstrap": 20},
            **changes,
        }
        self.config = folder / "shop.yaml"
        self.config.write_text(yaml.safe_dump(content))
        assert train([str(self.config)]) == 0

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "run"

    def write_items(self, items: pl.DataFrame) -> None:
        items.write_csv(self.folder / "items.csv")

    def load(self) -> LoadedRecommender:
        return crossrec.load(self.run)

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Folder of ``eval`` -> the model's metrics."""
        files = sorted((self.run / "eval").glob("*/metrics.json"))
        return {path.parent.name: json.loads(path.read_text()) for path in files}


def _text(item: int) -> str:
    words = ("red", "blue", "linen", "wool", "winter")
    return f"{words[item % 5]} {('shirt', 'shoe')[item % 2]} {words[item % 3]}"


@pytest.fixture
def shop(trained: Shop) -> Shop:
    """The trained shop with its files as they were in the beginning."""
    trained.write_items(trained.items)
    trained.log.write_csv(trained.folder / "interactions.csv")
    for other in (trained.run / "eval").glob("test-*"):
        shutil.rmtree(other)
    return trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def scores_of(run: LoadedRecommender) -> dict[str, float]:
    """Scores of all items after a history, by item id."""
    found = run.recommend(HISTORY, k=run.n_items, exclude_seen=False)
    return dict(zip(found.item_ids, found.scores, strict=True))


def test_a_sorted_catalog_gives_the_same_lists_and_figures(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    expected, metrics = shop.load().recommend(HISTORY, k=N_ITEMS), shop.metrics()
    popular = shop.load().popular(k=N_ITEMS).item_ids
    shop.write_items(shop.items.sort("item_id", descending=True))
    run = shop.load()
    found = run.recommend(HISTORY, k=N_ITEMS)
    # Items that were never clicked have equal scores: their order is that of the training, too.
    assert len({found.scores[i] for i, item in enumerate(found.item_ids) if int(item[1:]) >= CLICKED}) == 1
    assert (found.item_ids, found.scores) == (expected.item_ids, expected.scores)
    assert run.popular(k=N_ITEMS).item_ids == popular
    assert evaluate([str(shop.run)]) == 0
    assert shop.metrics() == metrics
    assert train([str(shop.config)]) == 0
    assert shop.metrics() == metrics
    assert "changed" not in caplog.text


def test_a_new_item_is_cold_and_the_others_keep_their_scores(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    expected, metrics = scores_of(shop.load()), shop.metrics()["test"]
    newcomer = pl.DataFrame({"item_id": ["a-new-one"], "text": ["red wool"]})
    shop.write_items(pl.concat([newcomer, shop.items]))
    with caplog.at_level(logging.WARNING):
        found = scores_of(shop.load())
    assert "40 items known, 1 new (treated as cold items), 0 removed" in caplog.text
    cold = found.pop("a-new-one")
    assert cold == found[f"i{N_ITEMS - 1}"]
    assert found == pytest.approx(expected, abs=1e-6)
    assert evaluate([str(shop.run)]) == 0
    assert "Other data than the run was trained on" in capsys.readouterr().out
    after = shop.metrics()
    assert after.pop("test") == metrics
    ((name, _),) = after.items()
    assert name.startswith("test-")


def test_a_removed_item_is_never_listed_and_the_others_keep_their_scores(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    expected = scores_of(shop.load())
    shop.write_items(shop.items.filter(~pl.col("item_id").is_in(["i4", "i20"])).reverse())
    with caplog.at_level(logging.WARNING):
        run = shop.load()
    assert "38 items known, 0 new (treated as cold items), 2 removed" in caplog.text
    found = scores_of(run)
    assert found.keys() == expected.keys() - {"i4", "i20"}
    assert found == pytest.approx({item: expected[item] for item in found}, abs=1e-6)


def test_a_folder_to_share_that_a_changed_catalog_was_written_to_gives_the_same_lists(
    shop: Shop, tmp_path: Path
) -> None:
    shop.write_items(shop.items.filter(pl.col("item_id") != "i4").reverse())
    run = shop.load()
    run.save_pretrained(tmp_path / "shared")
    assert scores_of(crossrec.load(tmp_path / "shared")) == scores_of(run)
    table = pl.read_parquet(tmp_path / "shared" / "items.parquet")
    table.reverse().write_parquet(tmp_path / "shared" / "items.parquet")
    write_checksums(tmp_path / "shared", CHECKED)
    with pytest.raises(InputError, match=r"items\.parquet does not list the items"):
        crossrec.load(tmp_path / "shared")


def test_an_item_that_is_clicked_after_the_training_has_no_trained_id(shop: Shop) -> None:
    expected = scores_of(shop.load())
    late = pl.DataFrame({"user_id": [f"n{u}" for u in range(9)] * 3, "item_id": ["i39", "i1", "i2"] * 9})
    late = late.with_columns(pl.Series("timestamp", range(5000, 5027)))
    pl.concat([shop.log, late]).write_csv(shop.folder / "interactions.csv")
    found = scores_of(shop.load())
    assert found == pytest.approx(expected, abs=1e-6)
    assert found["i39"] == found["i38"]


def test_a_training_on_other_clicks_is_refused_and_measured_elsewhere(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shop.metrics()["test"]
    shop.log.filter(pl.col("user_id") != "u5").write_csv(shop.folder / "interactions.csv")
    assert train([str(shop.config)]) == 2
    error = capsys.readouterr().err
    assert "the training clicks are others" in error
    assert "another name (name=...)" in error
    assert evaluate([str(shop.run)]) == 0
    assert shop.metrics()["test"] == before
    counts = json.loads((shop.run / "data.json").read_text())["counts"]
    assert counts["users"] == 60


def test_only_clicked_items_when_the_log_moves_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = {"source": {"type": "table"}, "root": str(tmp_path), "split": {"type": "leave_one_out"}}
    shop = Shop(tmp_path, data={**data, "cleaning": {"catalog": "clicked"}})
    expected = scores_of(shop.load())
    assert f"i{CLICKED}" not in expected
    late = pl.DataFrame({"user_id": ["u0"] * 2, "item_id": ["i39", "i38"], "timestamp": [9000, 9001]})
    log = pl.concat([shop.log.filter(pl.col("item_id") != "i5"), late])
    log.write_csv(shop.folder / "interactions.csv")
    with caplog.at_level(logging.WARNING):
        found = scores_of(shop.load())
    assert "35 items known, 2 new (treated as cold items), 1 removed" in caplog.text
    assert found["i38"] == found["i39"]
    known = expected.keys() - {"i5"}
    assert {i: found[i] for i in known} == pytest.approx({i: expected[i] for i in known}, abs=1e-6)


def test_weights_without_ids_are_taken_by_position_and_say_so(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = scores_of(shop.load())
    run = Path(shutil.copytree(shop.run, tmp_path / "early"))
    weights = run / "checkpoints" / "best" / "model.safetensors"
    tensors = load_file(weights)
    save_file({n: t for n, t in tensors.items() if n not in (BYTES, ENDS) and "trained" not in n}, weights)
    write_checksums(weights.parent)
    with caplog.at_level(logging.WARNING):
        assert scores_of(crossrec.load(run)) == expected
    assert "saved without item ids" in caplog.text
    shop.write_items(shop.items.head(N_ITEMS - 1))
    with pytest.raises(InputError, match="a catalogue of 40 items; there are 39 now"):
        crossrec.load(run)


def test_weights_that_were_not_copied_whole_are_one_message(shop: Shop, tmp_path: Path) -> None:
    run = Path(shutil.copytree(shop.run, tmp_path / "half"))
    weights = run / "checkpoints" / "best" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors can't be read"):
        crossrec.load(run)


def test_texts_of_known_and_new_items(tmp_path: Path, tiny_bert: Path) -> None:
    model = {
        "text": {"weights": str(tiny_bert), "max_tokens": 16, "precision": "fp32"},
        "image": None,
        "item_id": True,
        "width": 16,
        "whiten": 8,
        "sequence": {"type": "sasrec", "max_length": 8},
    }
    shop = Shop(tmp_path, model=model)
    expected = scores_of(shop.load())
    twin = pl.DataFrame({"item_id": ["twin"], "text": [_text(N_ITEMS - 1)]})
    shop.write_items(pl.concat([twin, shop.items.reverse()]))
    found = scores_of(shop.load())
    assert found.pop("twin") == pytest.approx(found[f"i{N_ITEMS - 1}"], abs=1e-6)
    assert found == pytest.approx(expected, abs=1e-5)


def test_what_studies_keep_by_row_is_kept_under_a_key_of_the_items(shop: Shop) -> None:
    def keys() -> tuple[str, object]:
        prepared = PreparedExperiment.of(read_run(shop.run, []))
        return data_key(prepared), base_content(prepared)["identity"]

    own = keys()
    shop.write_items(shop.items.reverse())
    assert keys() == own, "items are brought into the order of the training"
    shop.write_items(pl.concat([shop.items, pl.DataFrame({"item_id": ["n"], "text": ["wool"]})]))
    grown = keys()
    assert all(here != there for here, there in zip(own, grown, strict=True))


def test_results_on_other_items_are_not_compared_with_the_run_s_own(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.write_items(pl.concat([shop.items.head(-1), pl.DataFrame({"item_id": ["n"], "text": ["wool"]})]))
    assert evaluate([str(shop.run)]) == 0
    (changed,) = (shop.run / "eval").glob("test-*")
    assert json.loads((changed / "measured_on.json").read_text())["items"] == N_ITEMS
    assert main(["compare", str(shop.run), f"changed={changed}"]) == 2
    assert "measured on other data: their catalogue" in capsys.readouterr().err


def identity_of(folder: Path, items: pl.DataFrame, log: pl.DataFrame) -> DataIdentity:
    folder.mkdir(exist_ok=True)
    items.write_csv(folder / "items.csv")
    log.write_csv(folder / "interactions.csv")
    return Dataset.from_config(DataConfig(source=TableSource.Options(), root=folder)).split().identity


def test_digests_follow_ids_and_not_the_order_of_files(shop: Shop, tmp_path: Path) -> None:
    own = identity_of(tmp_path, shop.items, shop.log)
    shuffled = identity_of(tmp_path, shop.items.reverse(), shop.log.reverse())
    assert own.digests == shuffled.digests
    assert own.catalog == shuffled.catalog
    assert own.key != shuffled.key
    assert not own.differences(shuffled)
    times = shop.log["timestamp"].to_list()
    later = shop.log.with_columns(pl.Series("timestamp", [times[0] + 1, *times[1:]]))
    assert own.differences(identity_of(tmp_path, shop.items, later))[:1] == ["the training clicks are others"]


def test_ids_survive_a_file(tmp_path: Path) -> None:
    ids = np.asarray(["a", "", "ü\n", "x" * 300], dtype=object)
    arrays, metadata = DataIdentity(ids, {"train": "t"}).to_arrays()
    found = DataIdentity.from_arrays(arrays, metadata)
    assert found is not None
    assert found.item_ids.tolist() == ids.tolist()
    assert found.digests == {"train": "t"}
    assert DataIdentity.from_arrays({}, {}) is None


def test_alignment_puts_known_items_first_in_their_order() -> None:
    found = DataIdentity(np.asarray(["a", "b", "c"], dtype=object), {}).align(np.asarray(["n", "c", "a"]))
    assert found.rows.tolist() == [-1, 2, 0]
    assert found.order.tolist() == [2, 1, 0]
    assert (found.known, found.new, found.removed) == (2, 1, 1)
    assert not found.in_place
