"""Comparison of measured recommenders: ``crossrec compare RUN RUN …``, and ``compare`` in Python."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from rich.table import Table

from crossrec.config import validate
from crossrec.data.item_table import CONTENT
from crossrec.evaluation.comparison.compare import (
    ComparedMetric,
    Comparison,
    chosen_metrics,
    compare_systems,
    split_name,
)
from crossrec.evaluation.comparison.page import HTML_FILE, blocks_of, write_comparison
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import ComparisonConfig, EvaluationConfig, MetricName
from crossrec.evaluation.metrics import AGGREGATE, SPACES
from crossrec.evaluation.report.glossary import note_on_distances
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.config import SpacesConfig
from crossrec.experiment.measure import EvaluationTable
from crossrec.experiment.results import SplitPart, console, show, slug, table_html, table_text
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


class ComparisonTable:
    """Differences of systems from the first one, with intervals over users and tests.

    Args:
        comparison: values, differences and tests.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def to_frame(self) -> pl.DataFrame:
        """Return one row per metric and system.

        Returns:
            ``metric``, ``system``, ``value`` (mean over seeds) with ``low`` and ``high``, the ends of its
            95 % interval over users; ``difference`` from the first system with ``difference_low`` and
            ``difference_high``, ``p``, ``p_holm`` (corrected for all rows) and ``cohen_dz``, null for the
            first system; ``seeds``, the number of trained models. Null where there is no value.
        """
        schema: dict[str, Any] = {"metric": pl.String, "system": pl.String, "seeds": pl.Int64}
        rows = [_row(entry) for entry in self.comparison.entries]
        numbers = {name: pl.Float64 for name in rows[0] if name not in schema}
        return pl.DataFrame(rows, schema_overrides={**schema, **numbers}).fill_nan(None)

    def write(self, folder: str | Path) -> Path:
        """Write ``comparison.html``, a page with plots, and ``comparison.json``.

        Returns:
            The path of the page.
        """
        write_comparison(self.comparison, Path(folder))
        return Path(folder) / HTML_FILE

    def __repr__(self) -> str:
        return table_text(comparison_table(self.comparison))

    def _repr_html_(self) -> str:
        return table_html(comparison_table(self.comparison))


def _row(entry: ComparedMetric) -> dict[str, Any]:
    found = entry.difference
    effect = None if found is None or found.effect is None else found.effect.cohen_dz
    return {
        "metric": entry.metric,
        "system": entry.system,
        "value": entry.value,
        "low": entry.ci95[0],
        "high": entry.ci95[1],
        "difference": None if found is None else found.value,
        "difference_low": None if found is None else found.ci95[0],
        "difference_high": None if found is None else found.ci95[1],
        "p": None if found is None else found.p,
        "p_holm": None if found is None else found.p_holm,
        "cohen_dz": effect,
        "seeds": len(entry.seeds),
    }


RunFolder = str | Path


def compare(
    systems: EvaluationTable | Mapping[str, RunFolder | Sequence[RunFolder]] | Sequence[RunFolder],
    *,
    part: SplitPart = "test",
    group: bool = False,
    baselines: bool = False,
    trust_code: bool = False,
    **options: Any,
) -> ComparisonTable:
    """Compare recommenders with the first of them, by paired tests over the users of the same queries.

    Args:
        systems: a table of :func:`evaluate`; or run folders, or folders of an evaluation. A mapping names
            systems, and may give several folders for the seeds of one.
        part: split of the run folders to compare on.
        group: whether run folders whose names differ only in a number at the end are seeds of one system.
        baselines: whether to add the baselines measured with the first run.
        trust_code: whether to import classes outside the project that the run folders name.
        options: options of a comparison, such as ``metrics=["ndcg@10"]``, ``test="t"`` and
            ``n_bootstrap=1000``.

    Raises:
        InputError: if systems were not measured alike or lack a metric, or there are fewer than two.
    """
    config = validate(ComparisonConfig, options, "compare")
    if isinstance(systems, EvaluationTable):
        return ComparisonTable(compare_systems(systems.systems(), len(systems.data.catalog), config))
    if isinstance(systems, str | Path):
        raise InputError(f"compare takes a list of run folders, not '{systems}' alone")
    if isinstance(systems, Mapping):
        given = [(str(name), _folders(runs)) for name, runs in systems.items()]
    else:
        given = [("", [Path(run)]) for run in systems]
    named = _grouped(given, group)
    return ComparisonTable(_compare_runs(named, part, baselines, trust_code, config))


def _folders(runs: RunFolder | Sequence[RunFolder]) -> list[Path]:
    return [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]


def run_comparison(request: ComparisonRequest, config: ComparisonConfig) -> Comparison:
    """Compare, print the table, and write ``comparison.html`` and ``comparison.json``."""
    distributed.require_one_process("crossrec compare")
    named = _grouped([_named(text) for text in request.runs], request.group)
    found = _compare_runs(named, request.part, request.baselines, request.trust_code, config)
    show_comparison(found)
    out = request.out or named[0][1][0].parent / ("compare-" + "-".join(slug(name) for name, _ in named))
    write_comparison(found, out)
    show(f"With plots: {out / HTML_FILE}")
    return found


def _compare_runs(
    named: Sequence[tuple[str, list[Path]]],
    part: SplitPart,
    baselines: bool,
    trust_code: bool,
    config: ComparisonConfig,
) -> Comparison:
    folders = {name: [_evaluation_folder(run, part) for run in runs] for name, runs in named}
    for name, runs in named:
        once = list(dict.fromkeys(run.resolve() for run in runs))
        if len(once) < len(runs):
            raise InputError(f"{name}: the same run folder is repeated; give a run for each seed")
    if len(folders) < len(named):
        raise InputError(f"two systems have the same name: {[name for name, _ in named]}; use name=RUN")
    systems = [System(name, [Measurement.read(f) for f in found]) for name, found in folders.items()]
    if not systems:
        raise InputError("a comparison needs at least two systems; name more runs")
    if baselines:
        systems += _baselines(systems[0])
    _check_ground(systems, chosen_metrics(systems, config), trust_code)
    return compare_systems(systems, _catalogue_size(systems[0].seeds[0]), config)


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
        names = ("text", "image") if SPACES[metric] == CONTENT else (SPACES[metric],)
        return tuple(f"spaces.{name}" for name in names)
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
    console().print(comparison_table(found), highlight=False)


def comparison_table(found: Comparison) -> Table:
    """Return the table of differences from the first system."""
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
    return table
