"""The text scorer of a run: tuned after the network is trained, its weight chosen on validation, saved."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from crossrec.data.catalog import Catalog
from crossrec.data.identity import DataIdentity
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import show
from crossrec.experiment.run_folder import add_account
from crossrec.experiment.validation import metrics_of, sample_queries, smallest_close
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.text_scored import TextScoredRecommender, rescored
from crossrec.model.text_scorer import KEY, TextScorer
from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, write_checksums
from crossrec.training.checkpoint import load_tensors, read_state, save_state
from crossrec.training.text_scorer import PROGRESS, sample_examples, tune
from crossrec.types import ABSENT, InputError, TopK

FOLDER = "text_scorer"
"""Folder of the text scorer in a run folder."""
SCORER_FILE = "text_scorer.safetensors"
LOG_FILE = "log.jsonl"
"""Loss of each step; a resumed tuning writes the steps since its checkpoint again."""
WEIGHTS_TRIED = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Weights in units of the ratio of both scores' spreads within a list."""


def check_text_scorer(options: TextScorer.Options | None, catalog: Catalog) -> None:
    """Check that the catalog has titles for the text scorer.

    Raises:
        InputError: if there is no such column, or no item has a text in it.
    """
    if options is not None and not catalog.has_text_in(options.column).any():
        raise InputError(
            f"{KEY}.column: no item has a text in column '{options.column}'; name another column, or set "
            f"{KEY}=null"
        )


def check_no_text_scorer(config: ExperimentConfig, what: str) -> None:
    """Check that a run has no text scorer, where only the model itself is used.

    Args:
        config: configuration of the run.
        what: user of the run, for the message.

    Raises:
        InputError: if it has one.
    """
    if config.text_scorer is not None:
        raise InputError(
            f"{what}: run '{config.name}' has a text scorer, which is not supported here; train it with "
            f"{KEY}=null under another name"
        )


def titles_of(catalog: Catalog, column: str) -> list[str]:
    """Return N titles; "" where one is missing."""
    return catalog.texts(np.arange(len(catalog)), column)


def build_text_scorer(
    options: TextScorer.Options, catalog: Catalog, width: int, cache_dir: Path, seed: int
) -> TextScorer:
    """Return an untuned scorer of a catalog's items; arguments as in :class:`TextScorer`."""
    scorer: TextScorer = options.build(titles_of(catalog, options.column), width, cache_dir, seed)
    return scorer


def fit_text_scorer(prepared: PreparedExperiment, recommender: NeuralRecommender) -> None:
    """Tune the text scorer of a run, choose its weight and save it; every process must call this.

    A scorer that is saved already is kept, and a killed tuning is resumed.

    Args:
        prepared: prepared experiment.
        recommender: its trained recommender, the first stage.
    """
    config = prepared.config
    options, folder = config.text_scorer, config.run_folder / FOLDER
    if options is None or (folder / SCORER_FILE).exists():
        return
    width = config.model.width
    scorer = build_text_scorer(options, prepared.data.catalog, width, config.data.cache_dir, config.seed)
    scorer.to(recommender.device)
    trained = sum(p.numel() for p in scorer.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in scorer.parameters() if not p.requires_grad)
    show(
        f"Text scorer: {options.weights}, {trained:,} trained and {frozen:,} frozen parameters, "
        f"{options.steps:,} steps of {options.batch_size} clicks"
    )
    started, split = time.perf_counter(), prepared.data.split
    examples = sample_examples(
        split.train,
        recommender,
        scorer,
        split.train_counts,
        exclude_seen=config.evaluation.exclude_seen,
        seed=config.seed,
    )
    vectors_ND = recommender.item_vectors() if options.item_tokens else None
    loss = tune(
        scorer,
        examples,
        vectors_ND,
        folder,
        seed=config.seed,
        checkpoint_every=config.trainer.checkpoint_every,
        write=partial(_log_step, folder / LOG_FILE),
    )
    tuned = time.perf_counter()
    choice = _choose_weight(prepared, recommender, scorer)
    scorer.mix_weight.fill_(choice.weight)
    scorer.center.fill_(choice.center)
    if distributed.is_main():
        save_text_scorer(scorer, folder / SCORER_FILE, prepared.data.identity)
        write_checksums(folder, (SCORER_FILE,))
        (folder / PROGRESS).unlink(missing_ok=True)
        seconds = {"tuning": round(tuned - started, 1), "choice": round(time.perf_counter() - tuned, 1)}
        add_account(config, KEY, {**asdict(choice), "loss": loss, "seconds": seconds})
    show(choice.describe(config.trainer.metric))
    distributed.barrier()


def _log_step(path: Path, step: int, loss: float) -> None:
    if distributed.is_main():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "loss": round(loss, 5)}) + "\n")


def save_text_scorer(scorer: TextScorer, path: Path, identity: DataIdentity | None) -> None:
    """Write the tuned parameters, the weight and the center."""
    with atomic_path(path) as temporary:
        save_state(scorer, temporary, identity)


def load_text_scorer(scorer: TextScorer, path: Path) -> TextScorer:
    """Load what :func:`save_text_scorer` wrote into a scorer of the same options.

    Raises:
        InputError: if the file is missing or damaged, or of another configuration.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist: the text scorer has not been tuned to the end; start the training again"
        )
    load_tensors(scorer, read_state(path).tensors, path)
    return scorer.eval()


def text_scored(
    prepared: PreparedExperiment, recommender: NeuralRecommender
) -> NeuralRecommender | TextScoredRecommender:
    """Return a run's recommender with its text scorer behind it; itself if the run has none.

    Raises:
        InputError: as in :func:`load_text_scorer`.
    """
    config = prepared.config
    if config.text_scorer is None:
        return recommender
    width = config.model.width
    scorer = build_text_scorer(
        config.text_scorer, prepared.data.catalog, width, config.data.cache_dir, config.seed
    )
    load_text_scorer(scorer, config.run_folder / FOLDER / SCORER_FILE)
    return with_text_scorer(recommender, scorer.to(recommender.device))


def with_text_scorer(recommender: NeuralRecommender, scorer: TextScorer) -> TextScoredRecommender:
    """Return a recommender with a tuned text scorer behind it."""
    name = f"{recommender.name}, scored by {describe(scorer.options)}"
    return TextScoredRecommender(recommender, scorer, recommender.item_vectors, name)


def first_stage(recommender: NeuralRecommender | TextScoredRecommender) -> NeuralRecommender:
    """Return the network's recommender, without the text scorer."""
    if isinstance(recommender, NeuralRecommender):
        return recommender
    assert isinstance(recommender.inner, NeuralRecommender)
    return recommender.inner


def describe(options: TextScorer.Options) -> str:
    """Return the name of the language model in tables."""
    return options.weights.rpartition(":")[2].rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class ChosenWeight:
    """The chosen weight of the text score, and its validation figures.

    Args:
        weight: weight of the text score.
        center: mean text score of the first stage's candidates.
        alone: validation value of the first stage alone, over the sampled queries.
        mixed: value with the weight.
        text_alone: value of the candidates in the order of the text score alone.
        ceiling: share of the queries with a target among the candidates.
        n_queries: number of sampled validation queries.
        ms_per_query: milliseconds of the text scorer per query, on one process.
    """

    weight: float
    center: float
    alone: float
    mixed: float
    text_alone: float
    ceiling: float
    n_queries: int
    ms_per_query: float

    def describe(self, metric: str) -> str:
        """Return one line for the log."""
        return (
            f"Text scorer: weight {self.weight:.4g}; validation {metric} {self.alone:.4f} without, "
            f"{self.mixed:.4f} with it, {self.text_alone:.4f} by its order alone ({self.n_queries:,} "
            f"queries, {self.ceiling:.1%} with a target among the candidates; "
            f"{self.ms_per_query:,.1f} ms per query)"
        )


def _choose_weight(
    prepared: PreparedExperiment, recommender: NeuralRecommender, scorer: TextScorer
) -> ChosenWeight:
    """Return the smallest weight whose validation value is close to the best; the same on all processes."""
    options, config, split = scorer.options, prepared.config, prepared.data.split
    queries = sample_queries(split, options.queries, (config.seed, 4))
    histories = split.histories(queries)
    exclude = histories if config.evaluation.exclude_seen else None
    width = min(max(options.candidates, *config.evaluation.ks), split.n_items)
    first = recommender.recommend(histories, width, exclude)
    share = distributed.shard(len(queries))
    own = np.arange(len(queries))[share]
    vectors_ND = recommender.item_vectors() if options.item_tokens else None
    started = time.perf_counter()
    text_own = (
        scorer.score(histories.take(own), first.ids[own, : options.candidates], vectors_ND).cpu().numpy()
    )
    spent = time.perf_counter() - started
    text_QC = distributed.gather_rows(text_own)
    read_QC = ~np.isnan(text_QC)
    center = float(text_QC[read_QC].mean()) if read_QC.any() else 0.0

    def value(lists: TopK, weight: float) -> float:
        ordered = rescored(lists, text_QC, weight, center)
        k = max(config.evaluation.ks)
        lists = TopK(ordered.ids[:, :k], ordered.scores[:, :k])
        return metrics_of(prepared, lists, queries)[config.trainer.metric]

    unit = _spread(first.scores[:, : options.candidates], first.ids[:, : options.candidates] != ABSENT)
    unit /= max(_spread(text_QC, read_QC), 1e-9)
    weights = [0.0, options.weight] if options.weight is not None else [w * unit for w in WEIGHTS_TRIED]
    values = {weight: value(first, weight) for weight in weights}
    chosen = options.weight
    if chosen is None:
        chosen = float(distributed.gather_objects(smallest_close(values))[0])
    equal = TopK(first.ids, np.where(first.ids == ABSENT, -np.inf, 0).astype(np.float32))
    return ChosenWeight(
        weight=chosen,
        center=center,
        alone=values[0.0],
        mixed=value(first, chosen),
        text_alone=value(equal, 1.0),
        ceiling=float(queries.targets.contains(first.ids[:, : options.candidates]).any(1).mean())
        if len(queries)
        else 0.0,
        n_queries=len(queries),
        ms_per_query=round(1e3 * spent / max(len(own), 1), 3),
    )


def _spread(scores_QC: np.ndarray, there_QC: np.ndarray) -> float:
    """Return the mean standard deviation of the scores within a list."""
    rows = zip(scores_QC, there_QC, strict=True)
    found = [scores_C[there_C].std() for scores_C, there_C in rows if there_C.sum() > 1]
    return float(np.mean(found)) if found else 0.0
