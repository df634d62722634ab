"""A whole study of policies in a simulated feedback loop: play, summarise, write, show."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import yaml

from crossrec.ablation.feedback_loop.arena import Arena, base_content
from crossrec.ablation.feedback_loop.config import FeedbackLoopConfig
from crossrec.ablation.feedback_loop.page import page, results, tables
from crossrec.ablation.feedback_loop.results import play_all
from crossrec.experiment.assembly import Setting
from crossrec.experiment.run_folder import load_experiment
from crossrec.experiment.tables import console, show
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import write_text

CONFIG_FILE, RESULTS_FILE, PAGE_FILE = "config.yaml", "results.json", "simulation.html"


def run_feedback_loop(config: FeedbackLoopConfig) -> None:
    """Plays every policy with every seed, and writes ``rounds.parquet``, ``results.json`` and
    ``simulation.html``.

    A killed study that is started again plays only the policies and seeds that are missing.

    Raises:
        InputError: the base experiment, its data and the tastes don't fit; several processes.
    """
    distributed.require_one_process("a simulation")
    device = pick_device(config.device)
    base = load_experiment(config.base, config.changes)
    setting = Setting.of(base)
    arena = cache(lambda: Arena.of(config, setting, device))
    show(
        f"Simulation: {len(config.policies)} policies, {len(config.seeds)} seeds, {config.rounds} rounds; "
        f"results: {config.out}/"
    )
    rounds = play_all(config, arena, base_content(setting), show)
    about, found = _about(config, arena()), results(config, rounds.values)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(config.out / CONFIG_FILE, text)
    write_text(config.out / RESULTS_FILE, json.dumps({**about, **found}, indent=2, allow_nan=False) + "\n")
    write_text(config.out / PAGE_FILE, page(config, rounds.values, about, found, text))
    for table in tables(config, rounds.values):
        console().print(table)
    show(f"Simulated, curves and all numbers: {config.out / PAGE_FILE}, {config.out / RESULTS_FILE}")


def _about(config: FeedbackLoopConfig, arena: Arena) -> dict[str, Any]:
    data = arena.setting.data
    n_users = len(arena.users(config.seeds[0]))
    protocol = (
        f"{n_users:,} simulated users of {len(data.catalog):,} items, lists of {config.k}, "
        f"{config.rounds} rounds, {len(config.seeds)} seeds; policies of a seed share users, tastes and luck"
    )
    choice = arena.choice
    return {
        "data": data.name,
        "note": data.note,
        "tastes": arena.tastes.note,
        "protocol": protocol,
        "choice_model": None if choice is None else choice.summary(),
        "reliability": [] if choice is None else choice.check.lines(),
    }
