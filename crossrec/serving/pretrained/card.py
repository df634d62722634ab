"""The model card of a shared recommender, with the header that the Hugging Face hub reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from crossrec.experiment.prepared import describe_reranking
from crossrec.serving.pretrained.layout import LIBRARY
from crossrec.serving.pretrained.tables import Pictures

if TYPE_CHECKING:
    from crossrec.serving.loaded import LoadedRecommender

TAGS = ("recommender-systems", "sequential-recommendation", "multimodal", "diversity")
TASK = "sequential-recommendation"
SHOWN = ("ndcg", "recall", "mrr", "coverage", "gini", "entropy_norm", "ild", "ild_category", "novelty")
MEANING = {
    "ndcg": "accuracy, higher is better",
    "recall": "accuracy, higher is better",
    "mrr": "accuracy, higher is better",
    "coverage": "share of the catalogue that is recommended to anybody",
    "gini": "exposure: 0 is even, 1 is one item for all",
    "entropy_norm": "exposure: 1 is even",
    "ild": "distance within lists, text and picture",
    "ild_category": "distance within lists, categories",
    "novelty": "bits, higher is less popular",
}
HUB_NAME = re.compile(r"(?:hub:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")


def model_card(shop: LoadedRecommender, *, with_users: bool, pictures: Pictures, license: str | None) -> str:
    """The card: data, protocol, metrics with intervals, contents, and how to load.

    Args:
        shop: the recommender.
        with_users: whether the users' log goes along.
        pictures: which pictures go along.
        license: of the model, as the hub names it; None where it is not known.
    """
    header = yaml.safe_dump(_header(shop, license), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{header}---",
        f"# {shop.name}",
        f"A recommender made with crossrec: {shop.about.model}.",
        _data(shop),
        _measured(shop),
        _loading(shop),
        _contents(shop, with_users, pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _header(shop: LoadedRecommender, license: str | None) -> dict[str, Any]:
    header: dict[str, Any] = {"library_name": LIBRARY, "tags": list(TAGS)}
    if license is not None:
        header["license"] = license
    if base := _base_models(shop):
        header["base_model"] = base
    rows = [
        {"type": name.split("@")[0], "name": name, "value": estimate["value"]}
        for name, estimate in _shown(shop).items()
    ]
    if rows:
        result = {
            "task": {"type": TASK, "name": "Sequential recommendation"},
            "dataset": {"type": shop.about.data_name, "name": shop.about.data_name},
            "metrics": rows,
        }
        header["model-index"] = [{"name": shop.name, "results": [result]}]
    return header


def _base_models(shop: LoadedRecommender) -> list[str]:
    """Hub names of the pretrained parts."""
    model = shop.config.model
    weights = [getattr(part, "weights", None) for part in (model.text, model.image, model.sequence)]
    found = [HUB_NAME.fullmatch(name) for name in weights if isinstance(name, str)]
    return [match.group(1) for match in found if match is not None]


def _shown(shop: LoadedRecommender) -> dict[str, Mapping[str, Any]]:
    """The card's metrics at the longest lists that were measured."""
    metrics = shop.about.metrics
    cut = max((int(name.split("@")[1]) for name in metrics if "@" in name), default=0)
    names = [f"{name}@{cut}" for name in SHOWN]
    return {name: metrics[name] for name in names if metrics.get(name, {}).get("value") is not None}


def _data(shop: LoadedRecommender) -> str:
    about = shop.about
    counts = ", ".join(f"{value:,} {name}" for name, value in about.counts.items() if name in COUNTED)
    note = f"**{about.data_note[:1].upper()}{about.data_note[1:]}.** " if about.data_note else ""
    return f"## Data\n\n{note}Data set `{about.data_name}`: {counts}. Split: {about.protocol}."


COUNTED = ("users", "items", "clicks")


def _measured(shop: LoadedRecommender) -> str:
    shown = _shown(shop)
    if not shown:
        return "## Measured\n\nNothing was measured."
    metrics, rerank = shop.about.metrics, shop.config.rerank
    lists = "The model's own lists" if rerank is None else f"Lists reranked by {describe_reranking(rerank)}"
    rows = [
        f"| {name} | {_estimate(found)} | {MEANING[name.split('@')[0]]} |" for name, found in shown.items()
    ]
    how = ' (`recommend(…, rerank="run")`; without it the model\'s own come)' if rerank is not None else ""
    on = f"on the test part, {metrics['n_users']:,} users: {metrics['protocol']}."
    return "\n".join(
        [
            f"## Measured\n\n{lists}{how} {on}",
            "Values with 95 % intervals over users.\n",
            "| metric | value | meaning |",
            "|---|---|---|",
            *rows,
        ]
    )


def _estimate(found: Mapping[str, Any]) -> str:
    interval = found.get("ci95") or []
    known = len(interval) == 2 and all(bound is not None and math.isfinite(bound) for bound in interval)
    return f"{found['value']:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if known else "")


def _loading(shop: LoadedRecommender) -> str:
    first, second = shop.item_ids[0], shop.item_ids[min(1, shop.n_items - 1)]
    return f"""## Use

```python
import crossrec

shop = crossrec.load("user/{shop.name}")  # or the folder's path
shop.recommend(history=["{first}", "{second}"], k=10).details()
shop.recommend(history=["{first}"], rerank="mmr", k=10)
shop.similar("{first}")
```

Needs `pip install crossrec`; the pretrained parts come from where the run had them (`config.json`)."""


def _contents(shop: LoadedRecommender, with_users: bool, pictures: Pictures) -> str:
    users = "`users.parquet` (the users' clicks), " if with_users else ""
    shown = {"none": "without pictures", "thumbnails": "with small pictures", "full": "with pictures"}[
        pictures
    ]
    missing = "" if with_users else " The users' log is not part of it."
    return (
        "## Contents\n\n`model.safetensors` (trained weights), `features.safetensors` (what the encoders "
        f"made of the catalogue), `items.parquet` ({shop.n_items:,} items, {shown}), {users}`config.json`, "
        f"and the LoRA adapters, where there are any, in peft's layout.{missing}"
    )
