"""From a configuration to divided data, on small files and on the real sets where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crossrec.config import ComponentOptions, parse_overrides, validate
from crossrec.data.catalog import Catalog
from crossrec.data.dataset import Dataset
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.data.sources import SOURCES
from crossrec.data.sources.base import DataSource
from crossrec.data.sources.reading import SourceError
from crossrec.runtime import distributed
from crossrec.types import ConfigError

REAL = Path(os.environ.get("CROSSREC_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def prepared(*overrides: str) -> PreparedData:
    return Dataset.from_config(validate(DataConfig, parse_overrides(overrides), "test")).split()


def write_shop(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "r.png")
    (root / "items.csv").write_text("item_id,text,image\n1,red,r.png\n2,,\n3,blue,\n4,never clicked,\n")
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{user},{1 + (user + step) % 3},{10 * step + user}" for user in range(4) for step in range(3)]
    (root / "interactions.csv").write_text("\n".join(lines))


def test_summary_counts(tmp_path: Path) -> None:
    write_shop(tmp_path)
    data = prepared("source.type=table", f"root={tmp_path}", "split.type=leave_one_out")
    assert data.summary() == {
        "users": 4, "items": 4, "clicks": 12, "train_clicks": 4, "valid_queries": 4, "valid_targets": 4,
        "test_queries": 4, "test_targets": 4, "cold_items": 1, "items_with_text": 3, "items_with_image": 1,
        "first": "0", "last": "23",
    }  # fmt: skip
    assert data.split.clicks is data.clicks.sequences
    assert data.split.n_items == len(data.catalog)


def test_only_clicked_items_stay_aligned(tmp_path: Path) -> None:
    write_shop(tmp_path)
    common = ("source.type=table", f"root={tmp_path}", "split.type=leave_one_out")
    whole, clicked = prepared(*common), prepared(*common, "cleaning.catalog=clicked")
    assert len(clicked.catalog) == 3
    for data in (whole, clicked):
        assert list(data.catalog.item_ids[data.split.train.items]) == ["1", "2", "3", "1"]


def test_the_same_files_give_the_same_data(tmp_path: Path) -> None:
    write_shop(tmp_path)
    common = ("source.type=table", f"root={tmp_path}")
    first, second = prepared(*common), prepared(*common)
    assert np.array_equal(first.clicks.sequences.items, second.clicks.sequences.items)
    assert np.array_equal(first.split.test.ends, second.split.test.ends)
    assert first.report == second.report
    assert first.split.protocol.startswith("temporal")


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone .*does not exist: set data\.root=FOLDER"):
        prepared("source.type=movielens", f"root={tmp_path / 'gone'}")


def test_the_default_is_a_generated_storefront_that_says_so(tmp_path: Path) -> None:
    data = prepared(
        "source.type=demo", "source.n_products=60", "source.n_shoppers=60", f"cache_dir={tmp_path}"
    )
    assert SOURCES.name_of(DataConfig().source) == "demo"
    assert "generated" in data.note
    counts = data.summary()
    assert counts["items"] == 60
    assert counts["train_clicks"] > counts["test_targets"] > 0


def test_config_typos_name_the_nearest_key() -> None:
    with pytest.raises(ConfigError, match="cleaning: unknown key 'k_user'; did you mean 'k_users'"):
        validate(DataConfig, parse_overrides(["cleaning.k_user=5"]), "test")
    with pytest.raises(ConfigError, match="source: unknown type 'movielense'; did you mean 'movielens'"):
        validate(DataConfig, parse_overrides(["source.type=movielense"]), "test")
    config = validate(
        DataConfig, parse_overrides(["source.type=table", "root=x", "split.type=temporal"]), "t"
    )
    assert validate(DataConfig, config.model_dump(mode="json"), "again") == config


def test_others_wait_until_the_main_process_has_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class RecordingSource(DataSource):
        class Options(ComponentOptions):
            pass

        def load(self) -> Any:
            events.append("load")
            raise SourceError("broken")

    config = DataConfig(source=RecordingSource.Options(), root=None, cache_dir=Path("cache"))
    monkeypatch.setattr(distributed, "barrier", lambda: events.append("barrier"))
    for main, order in ((True, ["load", "barrier"]), (False, ["barrier", "load"])):
        events.clear()
        monkeypatch.setattr(distributed, "is_main", lambda main=main: main)
        with pytest.raises(SourceError, match="broken"):
            Dataset.from_config(config).split()
        assert events == order


def test_importing_the_family_loads_nothing_heavy() -> None:
    code = (
        "import sys, crossrec.data.sources;"
        "heavy = {'torch', 'polars', 'pyarrow', 'datasets', 'scipy', 'PIL'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.skipif(not (REAL / "ml-latest-small").is_dir(), reason="ml-latest-small is not at CROSSREC_DATA")
def test_latest_small_five_core() -> None:
    common = ("source.type=movielens", f"root={REAL / 'ml-latest-small'}", "cleaning.catalog=clicked")
    data = prepared(*common, "cleaning.k_users=5", "cleaning.k_items=5", "split.type=leave_one_out")
    counts = data.summary()
    assert (counts["users"], counts["items"], counts["clicks"]) == (610, 3650, 90274)
    assert counts["train_clicks"] == 90274 - 2 * 610
    assert counts["test_queries"] == 610
    assert counts["items_with_image"] == 3627
    assert isinstance(data.catalog, Catalog)


@pytest.mark.skipif(not (REAL / "amazon-beauty").is_dir(), reason="amazon-beauty is not at CROSSREC_DATA")
def test_beauty_through_the_table_source() -> None:
    counts = prepared(
        "source.type=table", f"root={REAL / 'amazon-beauty'}", "split.type=leave_one_out"
    ).summary()
    assert (counts["users"], counts["items"], counts["clicks"]) == (22363, 12101, 198502)
    assert counts["test_queries"] == counts["valid_queries"] == 22363
