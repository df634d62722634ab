"""The whole study of a matched pair: train, measure, write, show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from crossrec.ablation.large_model.config import LargeModelConfig
from crossrec.ablation.large_model.effect import Effect, verdict
from crossrec.ablation.large_model.pair import (
    confounded,
    differences,
    experiment_of,
    measure_pair,
    train_pair,
)
from crossrec.ablation.large_model.plots import by_group, curve
from crossrec.ablation.large_model.user_groups import EVERYBODY
from crossrec.evaluation.report.glossary import arrow, format_range, format_value, info
from crossrec.evaluation.report.render import render
from crossrec.experiment.assembly import Setting, describe_model
from crossrec.experiment.tables import console, show
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import atomic_path, write_text

EFFECTS_FILE, ABOUT_FILE, PAGE_FILE = "effects.parquet", "about.json", "large_model.html"
SHOWN_LENGTH = 10


def run_large_model(config: LargeModelConfig) -> None:
    """Trains the pair, measures it and writes ``effects.parquet``, ``about.json`` and ``large_model.html``.

    What is trained already is not trained again.

    Raises:
        InputError: the two models are no matched pair, or an override doesn't fit; several processes.
    """
    distributed.require_one_process("the study of a large model")
    pick_device(config.device)
    if warning := confounded(config):
        show(f"Warning: {warning}")
    train_pair(config)
    setting = Setting.of(experiment_of(config, "large", config.seeds[0]))
    effects = measure_pair(config, setting)
    about = _about(config, setting)
    with atomic_path(config.out / EFFECTS_FILE) as temporary:
        pl.DataFrame([effect.row() for effect in effects]).write_parquet(temporary)
    write_text(config.out / ABOUT_FILE, json.dumps(about, indent=2, default=str) + "\n")
    content = _content(effects, about, config)
    write_text(config.out / PAGE_FILE, render("crossrec.ablation.large_model", "template.html", content))
    told = " ".join(part for part in (content["verdict"], about["confounded"]) if part)
    console().print(_table(effects, shown_length(config), told))
    show(f"Curves and groups of users: {config.out / PAGE_FILE}")


def shown_length(config: LargeModelConfig) -> int:
    """The list length that tables show: 10 where it is measured, else the shortest."""
    return SHOWN_LENGTH if SHOWN_LENGTH in config.ks else config.ks[0]


def _about(config: LargeModelConfig, setting: Setting) -> dict[str, Any]:
    small = experiment_of(config, "small", config.seeds[0])
    return {
        "data": setting.data.name,
        "note": setting.data.note,
        "protocol": f"{setting.data.split.protocol}; full ranking of {setting.facts.n_items:,} items; "
        f"{config.n_bootstrap:,} resamples of the users",
        "names": {"small": describe_model(small), "large": describe_model(setting.config)},
        "seeds": list(config.seeds),
        "confounded": confounded(config),
        "differing": {key: [str(v) for v in values] for key, values in differences(config).items()},
    }


def _content(effects: Sequence[Effect], about: Mapping[str, Any], config: LargeModelConfig) -> dict[str, Any]:
    k = shown_length(config)
    metrics = list(dict.fromkeys(effect.metric for effect in effects))
    groups = list(dict.fromkeys(effect.group for effect in effects))
    return {
        **about,
        "k": k,
        "verdict": verdict(effects, k),
        "groups": [_group([e for e in effects if e.group == name and e.k == k]) for name in groups],
        "curves": [curve(effects, metric) for metric in metrics],
        "by_group": [by_group(effects, metric, k) for metric in metrics],
    }


def _group(effects: Sequence[Effect]) -> dict[str, Any]:
    rows = [
        {
            "metric": f"{e.metric}@{e.k}",
            "arrow": arrow(e.metric),
            "meaning": info(e.metric).meaning,
            "small": format_value(e.metric, e.small),
            "large": format_value(e.metric, e.large),
            "difference": f"{e.difference:+.4f}",
            "interval": format_range(e.ci95),
            "spread": "" if e.spread != e.spread else f"{e.spread:.4f}",
            "better": e.better if e.settled else None,
        }
        for e in effects
    ]
    return {"name": effects[0].group, "n_users": f"{effects[0].n_users:,}", "rows": rows}


def _table(effects: Sequence[Effect], k: int, told: str) -> Table:
    table = Table(title=f"The large model beside the small one, lists of {k}, all users", caption=told)
    for heading in ("metric", "small", "large", "large less small", "95 % over users", "sd over seeds"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for effect in effects:
        if effect.group == EVERYBODY and effect.k == k:
            mark = "* " if effect.settled else ""
            table.add_row(
                f"{effect.metric}@{k}",
                f"{effect.small:.4f}",
                f"{effect.large:.4f}",
                f"{mark}{effect.difference:+.4f}",
                format_range(effect.ci95),
                "" if effect.spread != effect.spread else f"{effect.spread:.4f}",
            )
    return table
