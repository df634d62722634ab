"""Comparison of measured runs: ``crossrec compare RUN RUN …``."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.table import Table

from crossrec.config import validate
from crossrec.data.item_table import CONTENT
from crossrec.evaluation.comparison.compare import Comparison, chosen_metrics, compare_systems, split_name
from crossrec.evaluation.comparison.page import HTML_FILE, blocks_of, write_comparison
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig, EvaluationConfig, MetricName
from crossrec.evaluation.metrics import AGGREGATE, SPACES
from crossrec.evaluation.report.glossary import note_on_distances
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.config import SpacesConfig
from crossrec.experiment.results import SplitPart, console, show, slug
from crossrec.experiment.run_folder import CONFIG_FILE, DATA_FILE
from crossrec.runtime import distributed
from crossrec.types import InputError

TAIL_METRIC: MetricName = "tail_share"
TAIL_KEY = "evaluation.tail_share"
"""Metric that depends on the tail, and the configuration key that defines the tail."""
NUMBERED = re.compile(r"[._-]?(seed)?\d+$")


@dataclass(frozen=True)
class ComparisonRequest:
    """Request of a comparison.

    Args:
        runs: run folders, folders of an evaluation, or ``name=folder,folder`` for the seeds of one system;
            the first is the reference.
        part: split to compare on.
        group: whether runs whose names differ only in a number at the end are seeds of one system.
        baselines: whether to add the baselines measured with the reference.
        out: folder of the results; ``compare-<names>`` beside the first run when None.
        trust_code: whether to import classes outside the project that the runs name.
    """

    runs: Sequence[str]
    part: SplitPart = "test"
    group: bool = False
    baselines: bool = False
    out: Path | None = None
    trust_code: bool = False


def run_comparison(request: ComparisonRequest, config: ComparisonConfig) -> Comparison:
    """Compare, print the table, and write ``comparison.html`` and ``comparison.json``."""
    distributed.require_one_process("crossrec compare")
    named = _grouped([_named(text) for text in request.runs], request.group)
    folders = {name: [_evaluation_folder(run, request.part) for run in runs] for name, runs in named}
    for name, runs in named:
        once = list(dict.fromkeys(run.resolve() for run in runs))
        if len(once) < len(runs):
            raise InputError(f"{name}: the same run folder is repeated; give a run for each seed")
    if len(folders) < len(named):
        raise InputError(f"two systems have the same name: {[name for name, _ in named]}; use name=RUN")
    systems = [System(name, [Measurement.read(f) for f in found]) for name, found in folders.items()]
    if request.baselines:
        systems += _baselines(systems[0])
    _check_ground(systems, chosen_metrics(systems, config), request.trust_code)
    found = compare_systems(systems, _catalogue_size(systems[0].seeds[0]), config)
    show_comparison(found)
    out = request.out or named[0][1][0].parent / ("compare-" + "-".join(slug(name) for name in folders))
    write_comparison(found, out)
    show(f"With plots: {out / HTML_FILE}")
    return found


def _named(text: str) -> tuple[str, list[Path]]:
    """Return a system's name, empty where none was given, and its runs."""
    name, equals, rest = text.partition("=")
    if not equals or Path(text).exists():
        return "", [Path(text)]
    if not name or not rest:
        raise InputError(f"'{text}' is neither a run folder nor name=RUN,RUN")
    return name, [Path(part) for part in rest.split(",")]


def _grouped(given: Sequence[tuple[str, list[Path]]], group: bool) -> list[tuple[str, list[Path]]]:
    """Group runs into systems, in the order of their first run."""
    systems: list[tuple[str, list[Path]]] = []
    by_stem: dict[str, list[Path]] = {}
    for name, runs in given:
        own = runs[0].resolve().name
        stem = NUMBERED.sub("", own) or own
        if name or not group:
            systems.append((name or own, runs))
        elif stem in by_stem:
            by_stem[stem] += runs
        else:
            by_stem[stem] = runs
            systems.append((stem, runs))
    return systems


def _evaluation_folder(run: Path, part: SplitPart) -> Path:
    folder = run if (run / METRICS_FILE).exists() else run / "eval" / part
    if not run.is_dir():
        raise InputError(f"{run}: no such run folder")
    return folder


def _baselines(reference: System) -> list[System]:
    """Return the baselines that were measured with the reference, for every seed that has them."""
    folders: dict[str, list[Path]] = {}
    for seed in reference.seeds:
        for folder in sorted((seed.folder / "baselines").glob("*")):
            folders.setdefault(folder.name, []).append(folder)
    if not folders:
        raise InputError(
            f"{reference.seeds[0].folder / 'baselines'} holds no baselines; measure the run with some first "
            "(evaluate.py RUN), or leave --baselines out"
        )
    return [System(name, [Measurement.read(f) for f in found]) for name, found in folders.items()]


def _catalogue_size(measured: Measurement) -> int:
    """Return N as recorded by the evaluation, or else by its run."""
    if "items" in measured.measured_on:
        return int(measured.measured_on["items"])
    folder = measured.folder
    for parent in folder.resolve().parents:
        if (parent / DATA_FILE).exists():
            return int(json.loads((parent / DATA_FILE).read_text(encoding="utf-8"))["counts"]["items"])
    raise InputError(f"no {DATA_FILE} above {folder}: it has the number of items; train.py writes it")


def _check_ground(systems: Sequence[System], metrics: Sequence[str], trust_code: bool) -> None:
    """Check that metrics mean the same in all runs, beyond what the protocol's line says.

    Raises:
        InputError: if the runs differ in the spaces or the tail on which a metric depends.
    """
    folders = [seed.folder for system in systems for seed in system.seeds]
    grounds = [(folder, found) for folder in folders if (found := _ground(folder, trust_code))]
    for metric, (folder, ground) in itertools.product(metrics, grounds[1:]):
        first_folder, first = grounds[0]
        own = _ground_of(split_name(metric)[0])
        for key in (key for key in {**first, **ground} if key.startswith(own)):
            here, there = first.get(key), ground.get(key)
            if here != there:
                raise InputError(
                    f"{metric} can't be compared: {folder} and {first_folder} differ in {key} ({there} "
                    f"against {here}); run evaluate.py on both with the same one, or leave the metric out"
                )


def _ground_of(metric: MetricName) -> tuple[str, ...]:
    """Return the prefixes of the configuration keys that decide what a metric means."""
    if metric == TAIL_METRIC:
        return (TAIL_KEY,)
    if metric in SPACES:
        return ("spaces.",) if SPACES[metric] == CONTENT else (f"spaces.{SPACES[metric]}",)
    return ()


def _ground(folder: Path, trust_code: bool) -> dict[str, Any]:
    """Return the spaces and the tail of an evaluation's run by dotted key; empty without a run."""
    path = next((p / CONFIG_FILE for p in folder.resolve().parents if (p / CONFIG_FILE).exists()), None)
    if path is None:
        return {}
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # Validated, so that missing keys have their defaults.
    found_spaces = validate(SpacesConfig, content.get("spaces", {}), str(path), trust_code=trust_code)
    spaces = found_spaces.model_dump(mode="json")
    evaluation = validate(EvaluationConfig, content.get("evaluation", {}), str(path), trust_code=trust_code)
    found: dict[str, Any] = {TAIL_KEY: evaluation.tail_share}
    for name, space in spaces.items():
        settings = space if isinstance(space, dict) else {"": space}
        found |= {f"spaces.{name}.{key}".rstrip("."): value for key, value in settings.items()}
    return found


def _how_tested(found: Comparison) -> str:
    return (
        f"Intervals and p are over users, for these trained models; test: {found.config.test} for means, "
        f"swaps of lists for {', '.join(AGGREGATE)}; Holm over all rows"
    )


def show_comparison(found: Comparison) -> None:
    """Print the table of differences from the first system."""
    title = f"Differences from {found.systems[0]}, {found.n_users:,} users"
    distances = note_on_distances((entry.metric, entry.value) for entry in found.entries)
    notes = [found.protocol, _how_tested(found), *([distances] if distances else [])]
    table = Table(title=title, caption="\n".join(notes))
    table.add_column("metric")
    table.add_column("system")
    for name in ("value", "difference", "95 % interval", "relative", "p", "p, Holm", "d_z", "seeds"):
        table.add_column(name, justify="right")
    for block in blocks_of(found):
        for place, line in enumerate(block.lines):
            table.add_row(
                "" if place else f"{block.metric} {block.arrow}",
                line.system,
                line.value,
                line.difference,
                line.difference_interval,
                line.relative,
                line.p,
                line.p_holm,
                line.effect,
                line.seeds,
                end_section=place == len(block.lines) - 1,
            )
    console().print(table, highlight=False)
