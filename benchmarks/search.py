"""Searches hyper-parameters on validation; the test part is never ranked.

    python benchmarks/search.py CONFIG --out FILE.jsonl [--set key=value …] --trial "key=value key=value" …
    python benchmarks/search.py CONFIG --out FILE.jsonl [--set key=value …] --space SPACE.yaml --trials 20

A space names keys and the values to draw from; draws depend on ``--seed`` alone. A finished trial is a line
of the file, trials found there are not repeated, and several searches may share one file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from crossrec.config import load_config
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.train import train_network
from crossrec.model.recommender import NeuralRecommender
from crossrec.training.parallel import build_accelerator


def drawn(space: dict[str, list[Any]], trials: int, seed: int) -> list[str]:
    """Different random settings, as overrides."""
    generator = np.random.default_rng(seed)
    size = int(np.prod([len(values) for values in space.values()]))
    found: dict[str, None] = {}
    while len(found) < min(trials, size):
        picked = {key: values[generator.integers(len(values))] for key, values in space.items()}
        found[" ".join(f"{key}={json.dumps(value)}" for key, value in picked.items())] = None
    return list(found)


def run_trial(config: ExperimentConfig, prepared: PreparedExperiment) -> dict[str, Any]:
    """Trains; the best validation values and when they came."""
    started = time.perf_counter()
    shutil.rmtree(config.run_folder, ignore_errors=True)
    recommender = NeuralRecommender(prepared.network())
    accelerator = build_accelerator(config.trainer, config.run_folder)
    config.run_folder.mkdir(parents=True)
    outcome = train_network(prepared, recommender, prepared.data.split.train, accelerator)
    lines = [json.loads(line) for line in (config.run_folder / "log.jsonl").read_text().splitlines()]
    best = max((e for e in lines if e["kind"] == "eval"), key=lambda e: e[config.trainer.metric])
    shutil.rmtree(config.run_folder)
    return {
        **{key: round(value, 5) for key, value in best.items() if "@" in key},
        "epoch": best["epoch"],
        "stopped_early": outcome.stopped_early,
        "seconds": round(time.perf_counter() - started),
    }


def main() -> None:
    """Runs the trials that are missing, then prints all, best first."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="file of results, a line a trial")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="the same in every trial")
    parser.add_argument("--trial", nargs="*", default=[], metavar="OVERRIDES", help="settings to try")
    parser.add_argument("--space", type=Path, help="YAML of keys and lists of values")
    parser.add_argument("--trials", type=int, default=20, help="how many to draw from the space")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    args = parser.parse_args()
    trials = list(args.trial)
    if args.space:
        trials += drawn(yaml.safe_load(args.space.read_text()), args.trials, args.seed)
    results = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    # The data's place is no setting: the record should read the same on any machine.
    common = [change for change in args.set if not change.startswith("data.root=")]
    for drawn_or_given in trials:
        trial = " ".join([*common, drawn_or_given])
        if any(r["trial"] == trial for r in results):
            continue
        name = f"search-{args.out.stem}-{len(results)}-{int(time.time())}"
        config = load_config(
            ExperimentConfig,
            args.config,
            [*args.set, *drawn_or_given.split(), f"name={name}", "baselines=[]"],
        )
        prepared = PreparedExperiment.of(config)
        results.append({"trial": trial, **run_trial(config, prepared)})
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with args.out.open("a") as file:
            file.write(json.dumps(results[-1]) + "\n")
        print(json.dumps(results[-1]), flush=True)  # noqa: T201
    for result in sorted(results, key=lambda r: -r["ndcg@10"]):
        print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
