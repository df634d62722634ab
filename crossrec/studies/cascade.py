"""A study of cascades: what is lost and what is saved where a model scores retrieved candidates only."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from crossrec.ensemble.cascade import Cascade, ListReranker
from crossrec.ensemble.retrievers import Index, VectorRetriever, nearest_items
from crossrec.evaluation.comparison.compare import Comparison
from crossrec.evaluation.comparison.page import HTML_FILE, write_comparison
from crossrec.evaluation.report.glossary import format_range
from crossrec.evaluation.results import to_plain
from crossrec.experiment.compare import show_comparison
from crossrec.experiment.prepared import describe_reranking
from crossrec.experiment.results import (
    MeasuredRecommender,
    NamedRecommender,
    show,
    show_results,
)
from crossrec.model.recommender import NeuralRecommender
from crossrec.rerank.base import rerank_lists
from crossrec.rerank.recommender import RerankConfig, RerankedRecommender
from crossrec.runtime import distributed
from crossrec.studies.folder import write_config, write_json
from crossrec.studies.members import MeasuredOnTest, MemberStudyConfig, Opened, open_members
from crossrec.types import InputError, Recommender, Sequences, TopK, VectorRecommender

NEIGHBOURS = "neighbours"
"""The retriever by item neighbors in the ranker's own vectors."""


class CascadeStudyConfig(MemberStudyConfig):
    """Cascades of a retriever and a ranker, with one or more numbers of candidates.

    Args:
        retriever: run folder, ``name=folder``, type of a baseline such as ``item_knn``, or ``neighbours`` for
            the items nearest to those of the history in the ranker's own vectors.
        ranker: run folder, ``name=folder``, or type of a baseline; scores the candidates.
        candidates: numbers of candidates, a cascade for each.
        k: length of the lists of the verdict.
        index: search of a retriever with vectors: ``exact``, ``faiss`` (a graph), ``int8`` or
            ``pq`` (compressed), or ``auto`` for the graph if FAISS is installed.
        rerank: rerankers over the ranked candidates, and over the ranker's own lists beside them.
        out, metric, tune, comparison, device: see :class:`MemberStudyConfig`; the comparison is of each
            cascade with the ranker over the whole catalogue.
    """

    study: ClassVar[str] = "cascade"

    retriever: str
    ranker: str
    candidates: tuple[int, ...] = Field((100,), min_length=1)
    k: int = Field(10, ge=1, le=10_000)
    index: Index = "exact"
    rerank: RerankConfig | None = None

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if len(set(self.candidates)) < len(self.candidates):
            raise ValueError(f"candidates: {list(self.candidates)} repeats a number")
        if self.retriever == self.ranker and self.index == "exact":
            raise ValueError(
                f"retriever: '{self.retriever}' is the ranker too, and finds its lists already; give "
                "another, or index: faiss"
            )
        if self.ranker == NEIGHBOURS:
            raise ValueError(f"ranker: '{NEIGHBOURS}' retrieves; a ranker is a run or a baseline")
        if self.rerank is not None and self.rerank.keeps_account:
            raise ValueError("rerank: the last stage counts what it shows; a cascade can't be timed with it")
        return self

    @property
    def given(self) -> tuple[str, ...]:
        """The retriever, unless it is made of the ranker's vectors, and the ranker."""
        both = dict.fromkeys((self.retriever, self.ranker))
        return tuple(text for text in both if text != NEIGHBOURS)

    @property
    def list_length(self) -> int:
        """Length of the lists of the verdict."""
        return self.k

    def check_lists(self, longest: int) -> None:
        """Check that there are candidates for the longest lists.

        Raises:
            InputError: if there are fewer.
        """
        if min(self.candidates) < longest:
            raise InputError(
                f"{min(self.candidates)} candidates can't fill lists of {longest} items, the longest of k "
                f"and the run's evaluation.ks; give --candidates {longest} or more"
            )

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of the cascades."""
        return tuple(f"cascade of {number}" for number in self.candidates)


FOUND_FILE = "cascade.json"


def run_cascade(config: CascadeStudyConfig, *, trust_code: bool = False) -> dict[str, Any]:
    """Measure cascades on test beside the ranker over the whole catalogue and the retriever alone.

    Writes ``config.yaml``, ``cascade.json``, ``comparison.html`` and ``comparison.json``, and ``eval/test/``
    as a run has it: the first cascade's files in the folder itself, the others' under ``baselines/``.

    Args:
        config: configuration of the study.
        trust_code: whether to import classes outside the project that the runs name.

    Returns:
        The content of ``cascade.json``.

    Raises:
        InputError: if members can't be loaded or don't share data, a list is longer than the candidates, or
            there are several processes.
    """
    distributed.require_one_process("a study of cascades")
    opened = open_members(config, trust_code=trust_code)
    prepared = opened.prepared
    recommenders = _to_measure(config, opened)
    _warm_up(recommenders, prepared.data.split.histories(prepared.data.split.test))
    test = MeasuredOnTest.of(config, prepared, recommenders)
    cascades = [one for one in recommenders if isinstance(one, Cascade)]
    reference = test.measured[len(cascades)].name
    comparison = test.compare(reference, *config.own_names)
    found = summarise(config, opened, test.measured, cascades, comparison)
    write_config(config.out, config)
    write_json(config.out / FOUND_FILE, found)
    write_comparison(comparison, config.out)
    show_results(prepared, test.measured, "test")
    show_comparison(comparison)
    for line in found["verdict"]:
        show(line)
    show(f"Times and figures: {config.out / FOUND_FILE}; differences with plots: {config.out / HTML_FILE}")
    return found


def _to_measure(config: CascadeStudyConfig, opened: Opened) -> list[NamedRecommender]:
    """Return the cascades, the ranker over the whole catalogue, reranked if configured, and the retriever."""
    ranker = opened.members[opened.names[config.ranker]]
    retriever = _retriever(config, opened, ranker)
    reference: NamedRecommender = ranker
    rerank: ListReranker | None = None
    if config.rerank is not None:
        items = opened.prepared.items
        if isinstance(ranker, NeuralRecommender):
            items = opened.prepared.items_of(ranker)
        reranked = config.rerank.wrap(ranker, items, f"{ranker.name}, {describe_reranking(config.rerank)}")
        reference, rerank = reranked, _reranking(reranked)
    found: list[NamedRecommender] = [
        Cascade(retriever, ranker, candidates=number, rerank=rerank, name=name)
        for number, name in zip(config.candidates, config.own_names, strict=True)
    ]
    return [*found, reference, retriever]


def _retriever(config: CascadeStudyConfig, opened: Opened, ranker: NamedRecommender) -> NamedRecommender:
    if config.retriever == NEIGHBOURS:
        model = _with_vectors(ranker, f"retriever '{NEIGHBOURS}'")
        return nearest_items(model, f"neighbours in {ranker.name}")
    member = opened.members[opened.names[config.retriever]]
    if config.index == "exact":
        return member
    return VectorRetriever(_with_vectors(member, f"index '{config.index}'"), config.index)


def _with_vectors(recommender: Recommender, client: str) -> VectorRecommender:
    if not isinstance(recommender, VectorRecommender):
        name = getattr(recommender, "name", type(recommender).__name__)
        raise InputError(f"{client} needs item vectors, and {name} has none; give a run, or leave it out")
    return recommender


def _reranking(reference: RerankedRecommender) -> ListReranker:
    """Return the reference's reranking of as many candidates as it has there."""

    def rerank(candidates: TopK, histories: Sequences, k: int) -> TopK:
        pool = max(reference.candidates, k)
        best = TopK(candidates.ids[:, :pool], candidates.scores[:, :pool])
        return rerank_lists(best, histories, reference.stages, k, reference.device)

    return rerank


def _warm_up(recommenders: Ordered[NamedRecommender], histories: Sequences) -> None:
    """Make item vectors and indexes, which are made once, so that they are in nobody's time."""
    for recommender in recommenders:
        recommender.recommend(histories.take(np.arange(min(len(histories), 1))), 1)
        if isinstance(recommender, Cascade):
            recommender.times.clear()


def summarise(
    config: CascadeStudyConfig,
    opened: Opened,
    measured: Ordered[MeasuredRecommender],
    cascades: Ordered[Cascade],
    comparison: Comparison,
) -> dict[str, Any]:
    """Return all results of the study as plain values; times are microseconds per list."""
    data, evaluation = opened.prepared.data, measured[0].evaluation
    times = {one.name: 1e6 * one.seconds / max(evaluation.n_queries, 1) for one in measured}
    stages = {cascade.name: cascade.times.per_user() for cascade in cascades}
    reference, *names = comparison.systems
    return {
        "data": data.name,
        "note": data.note,
        "protocol": evaluation.protocol,
        "n_users": evaluation.n_users,
        "metric": config.metric_name,
        "retriever": measured[-1].name,
        "ranker": opened.names[config.ranker],
        "reranking": None if config.rerank is None else describe_reranking(config.rerank),
        "reference": reference,
        "candidates": dict(zip(names, config.candidates, strict=True)),
        "microseconds": times,
        "stages": stages,
        "comparison": comparison.to_dict(),
        "test": {m.name: {n: to_plain(e) for n, e in m.evaluation.metrics.items()} for m in measured},
        "verdict": [_verdict(comparison, config.metric_name, name, times, stages[name]) for name in names],
    }


def _verdict(
    comparison: Comparison, metric: str, name: str, times: Mapping[str, float], stages: Mapping[str, float]
) -> str:
    """Return one sentence on what a cascade keeps of the ranker's quality and time."""
    reference = comparison.systems[0]
    entry, base = comparison.entry(name, metric), comparison.entry(reference, metric)
    difference = entry.difference
    if difference is None:
        raise ValueError(f"{name} was not compared with {reference}")
    kept = f", {entry.value / base.value:.1%} of it" if base.value > 0 else ""
    parts = " + ".join(f"{stage} {spent:,.0f}" for stage, spent in stages.items())
    return (
        f"{name}: {metric} {entry.value:.4f} against {base.value:.4f} of {reference} over the whole catalogue"
        f"{kept}; difference {difference.value:+.4f}, 95 % interval {format_range(difference.ci95)}, "
        f"p = {difference.p:.4f}; {times[name]:,.0f} us per list ({parts}) against {times[reference]:,.0f}."
    )
