"""Evaluation of a trained run, or of a file of predictions, beside the baselines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from crossrec.baselines.base import Baseline
from crossrec.data.identity import TRAIN
from crossrec.experiment.baselines import fitted_baselines
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment, describe_model, describe_reranking
from crossrec.experiment.results import (
    MeasuredRecommender,
    NamedRecommender,
    SplitPart,
    evaluate_predictions,
    evaluate_recommenders,
    save_results,
    show,
    show_results,
    slug,
)
from crossrec.experiment.run_folder import changed_counts
from crossrec.experiment.text_scorer import first_stage, text_scored
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.semantic_ids.recommender import recommender_of
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.runtime import distributed
from crossrec.training.checkpoint import WEIGHTS
from crossrec.training.parallel import build_accelerator
from crossrec.types import InputError

logger = logging.getLogger(__name__)


def load_recommender(prepared: PreparedExperiment, *, measured: bool = True) -> NeuralRecommender:
    """Return the best weights of a run, ready to recommend.

    Args:
        prepared: prepared experiment of the run, with the current data.
        measured: whether to warn if the current training clicks differ from those of the run's training, so
            that targets may be among the latter.

    Raises:
        InputError: if the run has no weights yet.
    """
    path = prepared.config.run_folder / "checkpoints" / "best" / WEIGHTS
    if not path.exists():
        raise InputError(
            f"{path} does not exist: the run has not reached its first validation; train it first"
        )
    recommender = recommender_of(prepared.trained_network(path), name=describe_model(prepared.config))
    if measured and prepared.trained_on is not None and distributed.is_main():
        there, here = (i.digests.get(TRAIN) for i in (prepared.trained_on, prepared.data.identity))
        if there != here:
            logger.warning(
                "%s was trained on other clicks than the current training part: figures may include "
                "clicks that it was trained on",
                prepared.config.run_folder,
            )
    return recommender


def run_baselines(prepared: PreparedExperiment, part: SplitPart) -> list[Baseline]:
    """Return the fitted baselines of a run; prints first how the data differ from those of the training.

    Args:
        prepared: prepared experiment of the run.
        part: split to measure, on which the folder of the results depends.
    """
    target, changes = results_folder(prepared, part)
    _show_changes(target, changes)
    return fitted_baselines(prepared, target if changes else prepared.config.run_folder)


def evaluate_run(
    prepared: PreparedExperiment,
    recommender: NeuralRecommender | TextScoredRecommender,
    baselines: Sequence[Baseline],
    part: SplitPart,
    *,
    report: bool = True,
) -> list[MeasuredRecommender]:
    """Measure the model and its baselines on one split, save everything, and print the table.

    With a reranker, the reranked lists come first, followed by the model's own; with a text scorer, those of
    the model alone follow, and with neighbours those of the network alone.

    Args:
        prepared: prepared experiment of the run.
        recommender: trained recommender.
        baselines: fitted baselines, from :func:`run_baselines`.
        part: split to measure; nothing is ranked on the other.
        report: whether to write the page with plots and pictures.

    Returns:
        The measured recommenders, the run's own first.
    """
    target, log = results_folder(prepared, part)[0], prepared.config.run_folder / "log.jsonl"
    first = first_stage(recommender)
    models: list[NamedRecommender] = [recommender] if recommender is first else [recommender, first]
    if prepared.config.rerank is not None:
        rerank = prepared.config.rerank
        name = f"{recommender.name}, {describe_reranking(rerank)}"
        models.insert(0, rerank.wrap(recommender, prepared.items_of(first), name))
    if first.neighbours is not None:
        name = describe_model(prepared.config.model_copy(update={"neighbours": None}))
        models.append(NeuralRecommender(first.network, name=name, mixed=False))
    found = evaluate_recommenders(prepared, [*models, *baselines], part)
    save_results(prepared, found, target, part, log, report=report)
    show_results(prepared, found, part)
    if report:
        show(f"Report with pictures: {target / 'report.html'}")
    return found


def results_folder(prepared: PreparedExperiment, part: SplitPart) -> tuple[Path, list[str]]:
    """Return the folder for results on a split: results on other data never replace the run's own.

    Args:
        prepared: prepared experiment of the run, with the current data.
        part: split to evaluate.

    Returns:
        ``eval/<part>`` and no clause if the data are those of the run's training, otherwise
        ``eval/<part>-<digest>`` and clauses on the differences.
    """
    folder, here = prepared.config.run_folder / "eval", prepared.data.identity
    if prepared.trained_on is None:
        changes = changed_counts(prepared.config, prepared.data.summary())
    else:
        changes = prepared.trained_on.differences(here, (TRAIN, part))
    return (folder / f"{part}-{here.of_part(part)[:8]}" if changes else folder / part), changes


def _show_changes(target: Path, changes: list[str]) -> None:
    if changes:
        show(
            f"Other data than the run was trained on: {'; '.join(changes)}. Clicks it was trained on may "
            f"be among the targets, and baselines are fitted to the data of now. Results: {target}/"
        )


def run_evaluation(
    config: ExperimentConfig, part: SplitPart, predictions: Path | None = None, *, report: bool = True
) -> None:
    """Evaluate a run's model, or the lists in a file, with the run's protocol (``evaluate.py``).

    Args:
        config: configuration of the run.
        part: split to measure.
        predictions: file of lists, in place of the model.
        report: whether to write the page with plots and pictures.
    """

    if predictions is not None and not predictions.is_file():
        raise InputError(f"{predictions}: no such predictions file")
    accelerator = build_accelerator(config.trainer, config.run_folder)
    prepared = PreparedExperiment.of(config)
    if predictions is None:
        recommender = load_recommender(prepared, measured=False)  # the changes are shown with the results
        recommender.network.to(accelerator.device)
        scored = text_scored(prepared, recommender)
        evaluate_run(prepared, scored, run_baselines(prepared, part), part, report=report)
        return
    folder, results, changes = config.run_folder, *results_folder(prepared, part)
    _show_changes(results, changes)
    found = [
        evaluate_predictions(prepared, predictions, part),
        *evaluate_recommenders(prepared, fitted_baselines(prepared, results if changes else folder), part),
    ]
    target = results / f"predictions-{slug(predictions.stem)}"
    save_results(prepared, found, target, part, folder / "no-training-log", report=report)
    show_results(prepared, found, part)
    if report:
        show(f"Report with pictures: {target / 'report.html'}")
