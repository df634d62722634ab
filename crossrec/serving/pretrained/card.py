"""The model card of a shared recommender, with the header that the Hugging Face hub reads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from crossrec.experiment.prepared import describe_reranking
from crossrec.serving.pretrained.files import LIBRARY, Pictures
from crossrec.serving.state import RecommenderState

TAGS = ("recommender-systems", "sequential-recommendation", "multimodal", "diversity")
TASK = "sequential-recommendation"
SHOWN = (
    "ndcg",
    "recall",
    "mrr",
    "coverage",
    "gini",
    "entropy_norm",
    "ild",
    "ild_behaviour",
    "ild_category",
    "novelty",
)
MEANING = {
    "ndcg": "accuracy, higher is better",
    "recall": "accuracy, higher is better",
    "mrr": "accuracy, higher is better",
    "coverage": "share of the catalogue that is recommended to anybody",
    "gini": "exposure: 0 is even, 1 is one item for all",
    "entropy_norm": "exposure: 1 is even",
    "ild": "distance within lists, text and picture",
    "ild_behaviour": "distance within lists, co-clicks",
    "ild_category": "distance within lists, categories",
    "novelty": "bits, higher is less popular",
}
HUB_NAME = re.compile(r"(?:hub:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")


def model_card(state: RecommenderState, *, with_users: bool, pictures: Pictures, license: str | None) -> str:
    """Return the card: data, protocol, metrics with intervals, contents, and how to load.

    Args:
        state: parts of the recommender.
        with_users: whether the users' log is included.
        pictures: which pictures are included.
        license: license of the model by the hub's identifier; None if unknown.
    """
    header = yaml.safe_dump(_header(state, license), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{header}---",
        f"# {state.name}",
        f"A recommender made with crossrec: {state.about.model}.",
        _data(state),
        _measured(state),
        _loading(state),
        _contents(state, with_users, pictures),
    ]
    return "\n\n".join(parts) + "\n"


def _header(state: RecommenderState, license: str | None) -> dict[str, Any]:
    header: dict[str, Any] = {"library_name": LIBRARY, "tags": list(TAGS)}
    if license is not None:
        header["license"] = license
    if base := _base_models(state):
        header["base_model"] = base
    rows = [
        {"type": name.split("@")[0], "name": name, "value": estimate["value"]}
        for name, estimate in _shown(state).items()
    ]
    if rows:
        result = {
            "task": {"type": TASK, "name": "Sequential recommendation"},
            "dataset": {"type": state.about.data_name, "name": state.about.data_name},
            "metrics": rows,
        }
        header["model-index"] = [{"name": state.name, "results": [result]}]
    return header


def _base_models(state: RecommenderState) -> list[str]:
    """Return the hub names of the pretrained parts."""
    model = state.config.model
    weights = [getattr(part, "weights", None) for part in (*model.modalities.values(), model.sequence)]
    found = [HUB_NAME.fullmatch(name) for name in weights if isinstance(name, str)]
    return list(dict.fromkeys(match.group(1) for match in found if match is not None))


def _shown(state: RecommenderState) -> dict[str, Mapping[str, Any]]:
    """Return the card's metrics at the longest lists that were measured."""
    metrics = state.about.metrics
    cut = max((int(name.split("@")[1]) for name in metrics if "@" in name), default=0)
    names = [f"{name}@{cut}" for name in SHOWN]
    return {name: metrics[name] for name in names if metrics.get(name, {}).get("value") is not None}


def _data(state: RecommenderState) -> str:
    about = state.about
    counts = ", ".join(f"{value:,} {name}" for name, value in about.counts.items() if name in COUNTED)
    note = f"**{about.data_note[:1].upper()}{about.data_note[1:]}.** " if about.data_note else ""
    return f"## Data\n\n{note}Data set `{about.data_name}`: {counts}. Split: {about.protocol}."


COUNTED = ("users", "items", "clicks")


def _measured(state: RecommenderState) -> str:
    shown = _shown(state)
    if not shown:
        return "## Measured\n\nNothing was measured."
    metrics, rerank = state.about.metrics, state.config.rerank
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


def _loading(state: RecommenderState) -> str:
    item_ids = state.items.item_ids
    first, second = item_ids[0], item_ids[min(1, len(item_ids) - 1)]
    return f"""## Use

```python
import crossrec

shop = crossrec.load("user/{state.name}")  # or the folder's path
shop.recommend(history=["{first}", "{second}"], k=10).details()
shop.recommend(history=["{first}"], rerank="mmr", k=10)
shop.similar("{first}")
```

Needs `pip install crossrec`; the pretrained parts come from where the run had them (`config.json`)."""


def _contents(state: RecommenderState, with_users: bool, pictures: Pictures) -> str:
    users = "`users.parquet` (the users' clicks), " if with_users else ""
    shown = {"none": "without pictures", "thumbnails": "with small pictures", "full": "with pictures"}[
        pictures
    ]
    n_items = len(state.items.catalog)
    missing = "" if with_users else " The users' log is not part of it."
    return (
        "## Contents\n\n`model.safetensors` (trained weights), `features.safetensors` (what the encoders "
        f"made of the catalogue), `items.parquet` ({n_items:,} items, {shown}), {users}`config.json`, "
        f"and the LoRA adapters, where there are any, in peft's layout.{missing}"
    )
