"""Training from a configuration: the build calls of Python, as ``train.py`` makes them."""

from __future__ import annotations

from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import evaluate_run, results_folder, run_baselines
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import SplitPart
from crossrec.experiment.train import open_training
from crossrec.serving.sequential import SequentialRecommender
from crossrec.training.tracking import finish_trackers, track_results


def run_training(
    config: ExperimentConfig,
    part: SplitPart = "test",
    *,
    shared: PreparedExperiment | None = None,
    report: bool = True,
) -> SequentialRecommender:
    """Train, evaluate beside the baselines, and write the run folder; a killed run is resumed.

    Args:
        config: configuration of the experiment.
        part: split measured at the end.
        shared: experiment with loaded data; loaded when None.
        report: whether to write the page with plots and pictures.

    Returns:
        The fitted model.

    Raises:
        InputError: if another training uses the run folder, or a process of this one is gone.
    """
    model = SequentialRecommender.from_config(config)
    with open_training(config) as accelerator:
        prepared = PreparedExperiment.of(config) if shared is None else shared.in_saved_order()
        outcome = model.fit_prepared(prepared, accelerator)
        baselines = run_baselines(prepared, part)
        found = evaluate_run(prepared, model.recommender, baselines, part, report=report)

        values = {name: float(value["value"]) for name, value in found[0].evaluation.metrics.items()}
        page = results_folder(prepared, part)[0] / "report.html" if report else None
        track_results(accelerator, part, values, outcome.steps, page)
        finish_trackers(accelerator)
        accelerator.end_training()
    return model
