"""One file is one picture, through whichever door it comes; paths lead nowhere else."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import crossrec
from crossrec.config import merge, validate
from crossrec.data.catalog import Catalog
from crossrec.data.sources.reading import SourceError
from crossrec.encoders.image import ImageEncoder
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.runtime.files import write_checksums
from crossrec.server.pictures import checked_picture
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.new_items import new_catalog
from crossrec.serving.pretrained.files import CHECKED
from crossrec.types import InputError

HISTORY = ["i2", "i6", "i10"]


def files(folder: Path) -> dict[str, Path]:
    """The same motif as every kind of file."""
    generator = np.random.default_rng(5)
    motif = Image.fromarray(generator.integers(0, 255, (4, 6, 3), dtype=np.uint8)).resize((48, 32))
    clear = motif.convert("RGBA")
    clear.putalpha(Image.fromarray(generator.integers(0, 255, (4, 6), dtype=np.uint8)).resize((48, 32)))
    exif = Image.Exif()
    exif[0x0112] = 8
    grey = np.asarray(motif.convert("L")).astype(np.uint16) * 257
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "sideways": (motif.transpose(Image.Transpose.ROTATE_270), "JPEG", {"exif": exif, "quality": 95}),
        "transparent": (clear, "PNG", {}),
        "webp": (clear, "WEBP", {"lossless": True}),
        "palette": (clear.convert("P"), "PNG", {"transparency": 0}),
        "sixteen": (Image.fromarray(grey), "PNG", {}),
        "cmyk": (motif.convert("CMYK"), "JPEG", {}),
        "frames": (motif, "GIF", {"save_all": True, "append_images": [clear.convert("RGB").rotate(180)]}),
        "large": (motif.resize((2400, 1600)), "JPEG", {}),
    }
    folder.mkdir()
    for name, (picture, kind, options) in made.items():
        picture.save(folder / name, kind, **options)
    return {name: folder / name for name in made}


def test_one_file_has_one_vector_through_every_door(
    fresh_shop: LoadedRecommender, shop_config: dict[str, Any], tmp_path: Path
) -> None:
    shop, pictures = fresh_shop, files(tmp_path / "pictures")
    config = ImageEncoder.Options.model_validate({**shop_config["model"]["image"], "image_size": 64})
    encoder = config.build(tmp_path)
    names = list(pictures)
    data = {name: path.read_bytes() for name, path in pictures.items()}
    as_new = {
        "path": lambda name: pictures[name],
        "bytes": lambda name: data[name],
        "Pillow": lambda name: Image.open(io.BytesIO(data[name])),
        "sent to the server": lambda name: checked_picture(data[name], 40_000_000),
    }
    catalogs = {
        "training, files": Catalog.from_columns(
            {"item_id": names, "image_path": [str(pictures[name]) for name in names]}
        ),
        "training, embedded": Catalog.from_columns({"item_id": names, "image_bytes": list(data.values())}),
        **{
            door: new_catalog([{"item_id": name, "image": given(name)} for name in names], shop.catalog)
            for door, given in as_new.items()
        },
    }
    first = catalogs["training, files"]
    rows = np.arange(len(names))
    pixels = EncodedCatalog(first, tmp_path).pixels(encoder, rows)["pixels"]
    for door, catalog in catalogs.items():
        content = EncodedCatalog(catalog, tmp_path / door.replace(" ", "-"))
        features = content.image_features(config)
        assert features.present_N.all(), door
        with torch.no_grad():
            np.testing.assert_allclose(
                features.vectors_ND, encoder(pixels), rtol=5e-3, atol=5e-3, err_msg=door
            )
        np.testing.assert_array_equal(content.pixels(encoder, rows)["pixels"], pixels, err_msg=door)
    # Explaining compares the picture's feature with the one that the model has.
    shop.add_items([{"item_id": name, "image": path} for name, path in pictures.items()])
    for name in ("sideways", "transparent"):
        assert shop.explain(HISTORY, name, methods=["picture"]).picture is not None


def broken_shop(shop_config: dict[str, Any], folder: Path, keep: int) -> dict[str, Any]:
    """The shop with web pages for all pictures but some, one of which breaks off."""
    shutil.copytree(shop_config["data"]["root"], folder)
    there = sorted((folder / "pictures").iterdir())
    for path in there[keep:]:
        path.write_bytes(b"<html>404")
    if keep:
        there[0].write_bytes(there[0].read_bytes()[:200])
    return merge(shop_config, {"data": {"root": str(folder), "cache_dir": str(folder / "cache")}})


def test_unreadable_pictures_are_counted_and_missing_everywhere(
    shop_config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = validate(ExperimentConfig, broken_shop(shop_config, tmp_path / "shop", keep=5), "test")
    prepared = PreparedExperiment.of(config)
    assert "33 of 38 pictures can't be read, such as that of item" in caplog.text
    assert "it is a web page" in caplog.text
    step = next(step for step in prepared.data.report.steps if step.name == "unreadable picture")
    assert step.detail.startswith("33 that are none: kept and masked, such as that of item")
    assert prepared.data.summary()["items_with_image"] == 5
    frozen = config.model.build_modalities()["image"].features(prepared.content).present_N
    assert frozen.sum() == 4
    np.testing.assert_array_equal(prepared.content.readable_pictures(), frozen)
    assert "1 of 5 items can't be read and are masked" in caplog.text
    assert "1 of 5 pictures can't be read and are masked" in caplog.text


def test_a_model_of_pictures_needs_one(shop_config: dict[str, Any], tmp_path: Path) -> None:
    config = validate(ExperimentConfig, broken_shop(shop_config, tmp_path / "shop", keep=0), "test")
    with pytest.raises(InputError, match=r"none of the 40 items has one.*web page.*model.image=null"):
        PreparedExperiment.of(config).network()


def test_a_table_can_not_name_pictures_elsewhere(
    shop_config: dict[str, Any], tmp_path: Path, shop: LoadedRecommender
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    root = tmp_path / "shop"
    shutil.copytree(shop_config["data"]["root"], root)
    items = pl.read_csv(root / "items.csv")
    for name in (str(secret), "../../secret.png"):
        items.with_columns(image=pl.lit(name)).write_csv(root / "items.csv")
        changed = {"root": str(root), "source": {"item_columns": {"image": "image"}}}
        config = validate(ExperimentConfig, merge(shop_config, {"data": changed}), "test")
        with pytest.raises(SourceError, match=r"row 0 of .* outside the image folder"):
            PreparedExperiment.of(config)
    # A link is followed within the folder alone.
    items.write_csv(root / "items.csv")
    for item, target in (("i0", secret), ("i1", root / "pictures" / "i2.png")):
        (root / "pictures" / f"{item}.png").unlink()
        (root / "pictures" / f"{item}.png").symlink_to(target)
    catalog = PreparedExperiment.of(
        validate(ExperimentConfig, merge(shop_config, {"data": {"root": str(root)}}), "t")
    ).data.catalog
    assert catalog.has_image[:3].tolist() == [False, True, True]
    with pytest.raises(InputError, match="leads out of the pictures' folder"):
        catalog.image_bytes(0)


def test_a_shared_folder_names_no_files(shop: LoadedRecommender, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    folder = shop.save_pretrained(tmp_path / "shared")
    table = pq.read_table(folder / "items.parquet")
    place = table.column_names.index("image_path")
    table = table.set_column(place, "image_path", pa.array([str(secret)] * len(table)))
    pq.write_table(table, folder / "items.parquet")
    write_checksums(folder, CHECKED)
    loaded = crossrec.load(folder, device="cpu")
    assert not loaded.catalog.has_image.any()
    assert loaded.catalog.image(8) is None
    again = loaded.save_pretrained(tmp_path / "again", pictures="full")
    assert secret.read_bytes() not in (again / "items.parquet").read_bytes()
    assert pq.read_table(again / "items.parquet")["image_bytes"].null_count == len(table)
