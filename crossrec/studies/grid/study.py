"""Ablation study: plan, check, train missing runs, compare, write, show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from crossrec.config import load_config
from crossrec.data.sources import SOURCES
from crossrec.evaluation.comparison.page import write_comparison
from crossrec.evaluation.results import METRICS_FILE
from crossrec.experiment.evaluate import run_evaluation
from crossrec.experiment.results import show
from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, write_text
from crossrec.studies.folder import write_config, write_json
from crossrec.studies.grid.config import AblationConfig
from crossrec.studies.grid.plan import StudyTrial, check_trials, grid, search_corners, trials_of
from crossrec.studies.grid.report import dot_plot, markdown, proposals_table, show_results
from crossrec.studies.grid.results import Results, collect
from crossrec.studies.grid.scheduler import LOGS_FOLDER, Scheduler, TrialResult, require_optuna
from crossrec.studies.grid.search import Search, open_scheduler
from crossrec.studies.grid.workers import run_jobs, work
from crossrec.types import InputError

LONG_FILE, SUMMARY_FILE = "results.parquet", "summary.parquet"
MARKDOWN_FILE, PLOT_FILE, BEST_FILE = "results.md", "results.png", "best.json"


def ablate(path: Path | str, overrides: Sequence[str] = ()) -> Results:
    """Train the missing runs of a study, and read the rest: the entry point for notebooks.

    Args:
        path: path of the study's configuration.
        overrides: overrides of the configuration, as on the command line.

    Raises:
        InputError: if the configuration can't be used, or trials failed.
    """
    return run_ablation(load_config(AblationConfig, Path(path), overrides), shown=False)


def run_ablation(config: AblationConfig, *, shown: bool = True) -> Results:
    """Train, measure, compare, and write tables and plots to ``config.out``.

    Finished trials are read; killed ones are resumed from their checkpoints. Any number of commands may work
    on the same folder, on any machines that share it.

    Args:
        config: configuration of the study.
        shown: whether to print the tables.

    Raises:
        InputError: if the configuration can't be used or, once all is written, if trials failed.
    """
    distributed.require_one_process("crossrec ablate")
    scheduler = _opened(config)
    if not scheduler.over():
        _run(scheduler)
    trials = [trial for assignment in scheduler.assignments() for trial in assignment.trials]
    results = collect(config, trials, scheduler.results())
    search = scheduler if isinstance(scheduler, Search) else None
    if search is not None:
        _measure_best(search)
    _write(results, search)
    if shown:
        _show(results, search)
    _refuse_failures(results)
    return results


def _opened(config: AblationConfig) -> Scheduler:
    """Return the scheduler, after all checks; failed and unmeasured trials will be tried again."""
    require_optuna()
    if config.search is None:
        planned = trials_of(config, grid(config))
    else:
        planned = [t for corner in search_corners(config) for t in trials_of(config, [corner])[:1]]
    check_trials(config, planned)
    write_config(config.out, config)
    return open_scheduler(config)


def _run(scheduler: Scheduler) -> None:
    config, watch = scheduler.config, Watch(scheduler, show)
    search = config.search
    planned = f"{len(scheduler.assignments())} trials" if search is None else f"{search.trials} proposals"
    show(
        f"Ablation: {planned}, {len(watch.seen)} finished; {config.jobs} in parallel; results: {config.out}/"
    )
    if config.jobs == 1:
        work(scheduler, watch.look)
    else:
        run_jobs(config, scheduler.since, watch.look)
    watch.look()


@dataclass
class Watch:
    """Reports assignments of all processes as they end.

    Args:
        scheduler: scheduler of the study.
        told: function called with each line.
    """

    scheduler: Scheduler
    told: Callable[[str], None]

    def __post_init__(self) -> None:
        self.seen = set(self._ended())

    def look(self) -> None:
        """Report newly ended assignments."""
        n_known = len(self.scheduler.assignments())
        for name, result in self._ended().items():
            if name not in self.seen:
                self.seen.add(name)
                ending = "done" if result.status == "done" else f"FAILED: {result.error}"
                self.told(f"  {name}: {ending} after {result.seconds:.0f} s ({len(self.seen)} of {n_known})")

    def _ended(self) -> dict[str, TrialResult]:
        results = {one.name: self.scheduler.result(one) for one in self.scheduler.assignments()}
        return {name: result for name, result in results.items() if result is not None}


def _measure_best(search: Search) -> None:
    """Record the best proposal, and measure it on test if configured."""
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
    write_json(search.config.out / BEST_FILE, content)
    if search.config.measure == "test":
        for trial in best.trials:
            if not (trial.config.run_folder / "eval" / "test" / METRICS_FILE).exists():
                _measure_on_test(trial, search.log(trial), report=search.config.report)


def _measure_on_test(trial: StudyTrial, log: Path, *, report: bool) -> None:
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file):
        run_evaluation(trial.config, "test", report=report)


def _write(results: Results, search: Search | None) -> None:
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
    """Return the data with its note; the demo's note says that the data are generated."""
    name = SOURCES.name_of(results.done[0].config.data.source)
    return f"{name} (generated products and simulated shoppers)" if name == "demo" else name


def _show(results: Results, search: Search | None) -> None:
    if search is None and results.done:
        show_results(results, _note(results))
    if search is not None:
        for line in proposals_table(search):
            show(line)
        best = search.best()
        if best is not None:
            show(f"Best on validation: {best.name}; see {results.config.out / BEST_FILE}")
    show(f"Tables, all numbers, plots: {results.config.out}/")


def _refuse_failures(results: Results) -> None:
    if not results.failed:
        return
    lines = [f"  {trial.name}: {results.outcomes[trial.name].error}" for trial in results.failed]
    raise InputError(
        f"{len(lines)} of {len(results.trials)} trials failed; the same command tries them again, their "
        f"output is in {results.config.out / LOGS_FOLDER}:\n" + "\n".join(lines)
    )
