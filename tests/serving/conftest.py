"""A small trained shop, loaded once: items are known by text, picture and id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

N_ITEMS, N_USERS = 40, 50
COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 160, 30), "grey": (128, 128, 128)}
WORDS = ("dog", "puppy", "tax", "law", "red", "shirt", "blue", "shoe", "wool", "winter")


def picture(number: int) -> Any:
    """A picture of one of the four colours, with a little noise."""
    from PIL import Image

    generator = np.random.default_rng(number)
    colour = np.asarray(list(COLOURS.values())[number % 4])
    noisy = colour + generator.integers(-20, 20, (32, 32, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def text(number: int) -> str:
    """Five words that hang on the number."""
    return " ".join(WORDS[(number * step) % len(WORDS)] for step in (1, 2, 3, 5, 7))


def write_shop(root: Path) -> None:
    """Item 3 has no picture, item 4 no text, item 5 neither."""
    (root / "pictures").mkdir(parents=True)
    for item in range(N_ITEMS):
        if item not in (3, 5):
            picture(item).save(root / "pictures" / f"i{item}.png")
    pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "text": [None if i in (4, 5) else text(i) for i in range(N_ITEMS)],
            "categories": [f"kind {i % 5}|{list(COLOURS)[i % 4]}" for i in range(N_ITEMS)],
            "price": [None if i == 6 else float(i) for i in range(N_ITEMS)],
            "brand": [None if i == 7 else f"brand {i % 3}" for i in range(N_ITEMS)],
            "stock": list(range(N_ITEMS)),
        }
    ).write_csv(root / "items.csv")
    generator = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        start, steps = int(generator.integers(0, N_ITEMS)), int(generator.integers(5, 12))
        rows += [(f"u{user}", f"i{(start + 4 * step) % N_ITEMS}", 100 * step + user) for step in range(steps)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        root / "interactions.csv"
    )


@pytest.fixture(scope="session")
def shop_config(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> dict[str, Any]:
    """Frozen text and pictures with ids; the spaces are those of the model."""
    folder = tmp_path_factory.mktemp("served-shop")
    write_shop(folder / "data")
    text_encoder = {
        "type": "transformer",
        "weights": str(tiny_bert),
        "max_tokens": 16,
        "precision": "fp32",
    }
    image_encoder = {
        "type": "timm",
        "model": "test_resnet",
        "weights": "random",
        "image_size": 32,
        "precision": "fp32",
    }
    return {
        "name": "frozen",
        "runs_dir": str(folder / "runs"),
        "data": {
            "source": {"type": "table", "images": "pictures"},
            "root": str(folder / "data"),
            "cache_dir": str(folder / "cache"),
            "split": {"type": "leave_one_out"},
        },
        "model": {
            "text": text_encoder,
            "image": image_encoder,
            "item_id": True,
            "width": 16,
            "whiten": 8,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 2, "batch_size": 16, "lr": 0.01, "precision": "no"},
        "rerank": {"stages": [{"type": "mmr", "diversity": 0.6, "space": "image"}], "candidates": 20},
        "spaces": {"text": text_encoder, "image": image_encoder},
        "baselines": [],
        "evaluation": {"n_bootstrap": 20},
    }


@pytest.fixture(scope="session")
def train_shop(shop_config: dict[str, Any]) -> Callable[..., Path]:
    """Trains a shop under a name, with changes laid on the configuration; its run folder."""
    from crossrec.config import merge, validate
    from crossrec.experiment.config import ExperimentConfig
    from crossrec.serving.training import run_training

    def train(name: str, **changes: Any) -> Path:
        config = validate(ExperimentConfig, merge(shop_config, {"name": name, **changes}), "test")
        run_training(config)
        return config.run_folder

    return train


@pytest.fixture(scope="session")
def run_folder(train_shop: Callable[..., Path]) -> Path:
    """The run of frozen encoders."""
    return train_shop("frozen")


@pytest.fixture(scope="session")
def shop(run_folder: Path) -> Any:
    """That run loaded; tests that add items load it anew."""
    import crossrec

    return crossrec.load(run_folder, device="cpu")


@pytest.fixture
def fresh_shop(run_folder: Path) -> Any:
    """The same, for tests that change it."""
    import crossrec

    return crossrec.load(run_folder, device="cpu")


@pytest.fixture(scope="session")
def trained_encoders(train_shop: Callable[..., Path]) -> Path:
    """A run without ids: LoRA on the text encoder, the image encoder trained as a whole."""
    model = {"text": {"training": "lora"}, "image": {"training": "finetune"}, "item_id": False}
    return train_shop("trained-encoders", model=model, trainer={"epochs": 1, "encoder_lr": 0.01})
