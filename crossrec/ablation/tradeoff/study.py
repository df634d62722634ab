"""A whole study of accuracy against diversity: sweep, choose on validation, report on test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from crossrec.ablation.tradeoff.config import TradeoffConfig
from crossrec.ablation.tradeoff.outcome import choose
from crossrec.ablation.tradeoff.page import write_page
from crossrec.ablation.tradeoff.runs import Study, open_study
from crossrec.ablation.tradeoff.store import PointStore
from crossrec.ablation.tradeoff.summary import summarise
from crossrec.ablation.tradeoff.sweep import Tick, sweep
from crossrec.ablation.tradeoff.tables import show_picks
from crossrec.ablation.tradeoff.variants import all_variants, members
from crossrec.experiment.tables import console, show
from crossrec.runtime import distributed
from crossrec.runtime.files import write_text

CONFIG_FILE, PICKED_FILE, PAGE_FILE = "config.yaml", "picked.json", "tradeoff.html"


def run_tradeoff(config: TradeoffConfig, *, trust_code: bool = False) -> None:
    """Measures every point on validation, picks there, and reports fronts and picks on test.

    Writes ``config.yaml``, ``points.parquet``, ``picked.json`` and ``tradeoff.html`` into ``config.out``. A
    killed study that is started again measures only the points that are missing.

    Args:
        config: of the study.
        trust_code: import classes outside the project that the runs name.

    Raises:
        InputError: runs that can't be compared, a reranker that lacks what it needs, several processes.
    """
    distributed.require_one_process("a trade-off study")
    variants = all_variants(config)
    study = open_study(config, trust_code=trust_code)
    methods = {name: members(method, variants) for name, method in config.all_methods.items()}
    store = PointStore(config.out)
    everything = range(len(variants))
    with _progress("validation", len(variants) * study.n_seeds) as tick:
        valid, keys = sweep(study, variants, everything, "valid", store, tick, intervals=False)
    chosen = choose(config, valid, methods)
    with _progress("test", len(chosen.needed()) * study.n_seeds) as tick:
        test, test_keys = sweep(study, variants, chosen.needed(), "test", store, tick, intervals=True)
    store.keep_only(keys | test_keys)
    found = {**_about(study), **summarise(config, valid, test, chosen, methods)}
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(config.out / CONFIG_FILE, text)
    write_text(config.out / PICKED_FILE, json.dumps(found, indent=2, allow_nan=False) + "\n")
    write_page(config.out / PAGE_FILE, config, found, valid, test, chosen, methods, text)
    show_picks(found)
    show(f"Fronts, and all numbers: {config.out / PAGE_FILE}, {config.out / PICKED_FILE}")


def _about(study: Study) -> dict[str, Any]:
    """What was measured, and how."""
    data, evaluation = study.shared.data, study.shared.config.evaluation
    seen = "excluded" if evaluation.exclude_seen else "allowed"
    return {
        "data": data.name,
        "note": data.note,
        "protocol": f"{data.split.protocol}; full ranking of {len(data.catalog):,} items, seen items {seen}; "
        f"{study.config.n_bootstrap:,} resamples of the users, seed {study.config.seed}",
        "runs": {label: [run.config.name for run in runs] for label, runs in study.runs.items()},
    }


@contextmanager
def _progress(what: str, total: int) -> Iterator[Tick]:
    """A bar that shows the point measured last."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[what]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console()) as bar:
        task = bar.add_task("", total=total, what=what)
        yield lambda label: bar.update(task, advance=1, description=label)
