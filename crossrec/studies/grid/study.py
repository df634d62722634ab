"""A whole ablation: plan, check, train what is missing, compare, write, show."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from crossrec.config import load_config
from crossrec.evaluation.comparison.page import write_comparison
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.results import show
from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, write_text
from crossrec.studies.grid.board import Board
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import StudyTrial, check_trials, grid, search_corners, trials_of
from crossrec.studies.grid.pool import run_workers
from crossrec.studies.grid.results import Results, collect
from crossrec.studies.grid.search import Search, check_search
from crossrec.studies.grid.worker import TrialSource, source_of, work
from crossrec.types import InputError

CONFIG_FILE, LONG_FILE, SUMMARY_FILE = "config.yaml", "results.parquet", "summary.parquet"


MARKDOWN_FILE, PLOT_FILE, BEST_FILE = "results.md", "results.png", "best.json"


def ablate(path: Path | str, overrides: Sequence[str] = ()) -> Results:
    """Trains what is missing of a study, and reads the rest: what notebooks call.

    Args:
        path: of the study's configuration.
        overrides: of it, as on the command line.

    Raises:
        InputError: the configuration can't be used, or trials failed.
    """
    return run_ablation(load_config(AblationConfig, Path(path), overrides), shown=False)


def run_ablation(config: AblationConfig, *, shown: bool = True) -> Results:
    """Trains, measures, compares and writes tables and plots into ``config.out``.

    Finished trials are read; a killed one goes on from its checkpoint. Any number of these may work on the
    same folder, on any machines that share it.

    Args:
        config: of the study.
        shown: whether the tables are printed.

    Raises:
        InputError: the configuration can't be used; or, once all is written, trials failed.
    """
    distributed.require_one_process("crossrec ablate")
    board, source = _opened(config)
    missing = [t.name for t in source.trials() if board.outcome(t.name) is None]
    if missing or not source.exhausted():
        _run(config, source, board)
    trials = source.trials()
    results = collect(config, trials, board.outcomes([trial.name for trial in trials]))
    search = source if isinstance(source, Search) else None
    if search is not None:
        _measure_best(search)
    _write(results, search)
    if shown:
        _show(results, search)
    _refuse_failures(results, board)
    return results


def _opened(config: AblationConfig) -> tuple[Board, TrialSource]:
    """The board, and the trials after all checks; failed and unmeasured ones will be tried anew."""
    if config.search is None:
        planned = trials_of(config, grid(config))
    else:
        planned = [t for corner in search_corners(config) for t in trials_of(config, [corner])[:1]]
    check_search(config)
    check_trials(config, planned)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(config.out / CONFIG_FILE, text)
    board = Board.of(config)
    source = source_of(config, board)
    board.forgive([trial.name for trial in source.trials()])
    _reopen_unmeasured(config, board, source.trials())
    return board, source


def _reopen_unmeasured(config: AblationConfig, board: Board, trials: Sequence[StudyTrial]) -> None:
    """Trials whose results are gone, or were measured on another part: they are trained or measured again."""
    for trial in trials:
        folder = trial.config.run_folder / "eval" / config.measured_part
        if board.outcome(trial.name) is not None and not (folder / METRICS_FILE).exists():
            board.reopen(trial.name, "unmeasured")


def _run(config: AblationConfig, source: TrialSource, board: Board) -> None:
    watch = Watch(source, board, show)
    n_seeds = len(config.seeds)
    planned = len(source.trials()) if config.search is None else config.search.trials * n_seeds
    show(
        f"Ablation: {planned} trials, {len(watch.seen)} there; {config.jobs} at once; results: {config.out}/"
    )
    if config.jobs == 1:
        work(config, source, board, lambda trial, outcome: watch.look())
    else:
        run_workers(config, watch.look)
    watch.look()


@dataclass
class Watch:
    """Tells of each trial that ended since it began to look, wherever it ran.

    Args:
        source: of the trials.
        board: of the study.
        told: takes a line.
    """

    source: TrialSource
    board: Board
    told: Callable[[str], None]

    def __post_init__(self) -> None:
        self.seen = set(self.board.outcomes([trial.name for trial in self.source.trials()]))

    def look(self) -> None:
        """Tells what is new."""
        names = [trial.name for trial in self.source.trials()]
        for name, outcome in self.board.outcomes([n for n in names if n not in self.seen]).items():
            self.seen.add(name)
            ending = "done" if outcome.status == "done" else f"FAILED: {outcome.error}"
            self.told(f"  {name}: {ending} after {outcome.seconds:.0f} s ({len(self.seen)} of {len(names)})")


def _measure_best(search: Search) -> None:
    """Measures the best proposal on validation on test, where the study says so; writes which it is."""
    best = search.best()
    if best is None:
        return
    content = {
        "proposal": best.name,
        "values": dict(best.values),
        "objective": search.search.objective,
        "valid": search.value(best),
        "runs": [trial.name for trial in best.trials],
    }
    write_text(search.config.out / BEST_FILE, json.dumps(content, indent=2) + "\n")
    if search.config.measure == "test":
        for trial in best.trials:
            if not (trial.config.run_folder / "eval" / "test" / METRICS_FILE).exists():
                _measure_on_test(trial, search.board.log(trial.name), report=search.config.report)


def _measure_on_test(trial: StudyTrial, log: Path, *, report: bool) -> None:
    from contextlib import redirect_stdout

    from crossrec.experiment.evaluate import run_evaluation

    with log.open("a", encoding="utf-8") as file, redirect_stdout(file):
        run_evaluation(trial.config, "test", report=report)


def _write(results: Results, search: Search | None) -> None:
    from crossrec.studies.grid.report import dot_plot, markdown

    out = results.config.out
    if not results.done:
        return
    for name, frame in ((LONG_FILE, results.long), (SUMMARY_FILE, results.summary)):
        with atomic_path(out / name) as temporary:
            frame.write_parquet(temporary)
    write_text(out / MARKDOWN_FILE, markdown(results, _note(results), search))
    if results.comparison is not None:
        write_comparison(results.comparison, out)
        with atomic_path(out / PLOT_FILE) as temporary:
            dot_plot(results, results.comparison.metrics).savefig(temporary, dpi=110, format="png")


def _note(results: Results) -> str:
    """The data, with its note: that of the demo says that it is generated."""
    source = results.done[0].config.data.source
    name = str(getattr(source, "type", type(source).__name__))
    return f"{name} (generated products and simulated shoppers)" if name == "demo" else name


def _show(results: Results, search: Search | None) -> None:
    from crossrec.studies.grid.report import proposals_table, show_results

    if search is None and results.done:
        show_results(results, _note(results))
    if search is not None:
        for line in proposals_table(search):
            show(line)
        best = search.best()
        if best is not None:
            show(f"Best on validation: {best.name}; see {results.config.out / BEST_FILE}")
    show(f"Tables, all numbers, plots: {results.config.out}/")


def _refuse_failures(results: Results, board: Board) -> None:
    if not results.failed:
        return
    lines = [f"  {trial.name}: {results.outcomes[trial.name].error}" for trial in results.failed]
    raise InputError(
        f"{len(lines)} of {len(results.trials)} trials failed; the same command tries them anew, their "
        f"output stands in {board.log(results.failed[0].name).parent}:\n" + "\n".join(lines)
    )
