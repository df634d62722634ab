"""Study of policies in a simulated feedback loop: play, summarize, write, show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import console, show
from crossrec.experiment.run_folder import load_experiment
from crossrec.experiment.text_scorer import check_no_text_scorer
from crossrec.runtime import distributed
from crossrec.runtime.device import pick_device
from crossrec.runtime.files import atomic_path, write_text
from crossrec.studies.feedback_loop.config import FeedbackLoopConfig
from crossrec.studies.feedback_loop.report import page, results, tables
from crossrec.studies.feedback_loop.setup import SimulationSetup, base_content
from crossrec.studies.folder import key_of, write_config, write_json

ROUNDS_FOLDER, ROUNDS_FILE = "rounds", "rounds.parquet"
SECONDS = "seconds"


@dataclass(frozen=True)
class Rounds:
    """Measures of all policies, seeds and rounds.

    Args:
        table: one row per policy, seed and round.
        values: (policy, measure) -> (S, R) over seeds and rounds, in the order of the configuration.
    """

    table: pl.DataFrame
    values: dict[tuple[str, str], np.ndarray]


def play_all(
    config: FeedbackLoopConfig,
    arena: Callable[[], SimulationSetup],
    content: dict[str, object],
    done: Callable[[str], None],
) -> Rounds:
    """Play what is not on disk yet, seed by seed, and read the rest.

    Args:
        config: configuration of the study.
        arena: function that loads the setup, called only if something has to be played.
        content: base experiment's content, from :func:`crossrec.studies.feedback_loop.setup.base_content`.
        done: function called with a message for every finished policy and seed.
    """
    frames = []
    for seed in config.seeds:
        for name in config.policies:
            path = config.out / ROUNDS_FOLDER / f"{_key(config, content, name, seed)}.parquet"
            if not path.exists():
                started = time.perf_counter()
                rows = list(arena().play(config.policies[name], seed))
                seconds = round(time.perf_counter() - started, 2)
                frame = pl.DataFrame(rows).with_columns(pl.lit(seconds).alias(SECONDS))
                with atomic_path(path) as temporary:
                    frame.write_parquet(temporary)
                done(f"{name}, seed {seed}: {config.rounds} simulated rounds in {seconds:.0f} s")
            named = [pl.lit(name).alias("policy"), pl.lit(seed).alias("seed")]
            frames.append(pl.read_parquet(path).select(*named, pl.all()))
    table = pl.concat(frames)
    with atomic_path(config.out / ROUNDS_FILE) as temporary:
        table.write_parquet(temporary)
    return Rounds(table, _values(config, table))


def _key(config: FeedbackLoopConfig, content: dict[str, object], name: str, seed: int) -> str:
    own = config.model_dump(
        mode="json", include={"tastes", "environment", "users", "rounds", "k", "tail_share"}
    )
    policy = config.policies[name].model_dump(mode="json")
    return key_of({**content, **own, "policy": policy, "seed": seed})


def _values(config: FeedbackLoopConfig, table: pl.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    measures = [name for name in table.columns if name not in ("policy", "seed", "round", SECONDS)]
    values = {}
    for name in config.policies:
        rows = table.filter(pl.col("policy") == name)
        for measure in measures:
            shape = (len(config.seeds), config.rounds)
            values[name, measure] = rows[measure].to_numpy().astype(float).reshape(shape)
    return values


RESULTS_FILE, PAGE_FILE = "results.json", "simulation.html"


def run_feedback_loop(config: FeedbackLoopConfig) -> None:
    """Play every policy with every seed, and write ``rounds.parquet``, ``results.json`` and
    ``simulation.html``.

    A restarted study plays only the missing policies and seeds.

    Raises:
        InputError: if the base experiment, its data and the tastes don't fit, or there are several processes.
    """
    distributed.require_one_process("a simulation")
    device = pick_device(config.device)
    base = load_experiment(config.base, config.changes)
    check_no_text_scorer(base, "base")
    prepared = PreparedExperiment.of(base)
    arena = cache(lambda: SimulationSetup.of(config, prepared, device))
    show(
        f"Simulation: {len(config.policies)} policies, {len(config.seeds)} seeds, {config.rounds} rounds; "
        f"results: {config.out}/"
    )
    rounds = play_all(config, arena, base_content(prepared), show)
    about, found = _about(config, arena()), results(config, rounds.values)
    text = write_config(config.out, config)
    write_json(config.out / RESULTS_FILE, {**about, **found})
    write_text(config.out / PAGE_FILE, page(config, rounds.values, about, found, text))
    for table in tables(config, rounds.values):
        console().print(table)
    show(f"Simulated, curves and all numbers: {config.out / PAGE_FILE}, {config.out / RESULTS_FILE}")


def _about(config: FeedbackLoopConfig, arena: SimulationSetup) -> dict[str, Any]:
    data = arena.prepared.data
    n_users = len(arena.users(config.seeds[0]))
    protocol = (
        f"{n_users:,} simulated users of {len(data.catalog):,} items, lists of {config.k}, "
        f"{config.rounds} rounds, {len(config.seeds)} seeds; "
        "policies of a seed share users, tastes and random numbers"
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
