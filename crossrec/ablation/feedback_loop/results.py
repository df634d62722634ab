"""Rounds on disk, one file a policy and seed, so that a killed study goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossrec.ablation.feedback_loop.arena import Arena
from crossrec.ablation.feedback_loop.config import FeedbackLoopConfig
from crossrec.ablation.tradeoff.store import key_of
from crossrec.runtime.files import atomic_path

ROUNDS_FOLDER, ROUNDS_FILE = "rounds", "rounds.parquet"
SECONDS = "seconds"


@dataclass(frozen=True)
class Rounds:
    """What was measured.

    Args:
        table: a row a policy, seed and round.
        values: (policy, measure) -> (S, R) over seeds and rounds, in the order of the configuration.
    """

    table: pl.DataFrame
    values: dict[tuple[str, str], np.ndarray]


def play_all(
    config: FeedbackLoopConfig,
    arena: Callable[[], Arena],
    content: dict[str, object],
    done: Callable[[str], None],
) -> Rounds:
    """Plays what is not on disk yet, seed by seed, and reads the rest.

    Args:
        config: of the study.
        arena: loaded only if something has to be played.
        content: of the base experiment, as :func:`crossrec.ablation.feedback_loop.arena.base_content`.
        done: told of every policy and seed that is finished.
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
