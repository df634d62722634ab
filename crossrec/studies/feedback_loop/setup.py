"""Setup of a simulation: participants, initial log, and one policy played with one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from crossrec.data.co_clicks import behaviour_space
from crossrec.data.item_table import BEHAVIOUR, ItemTable
from crossrec.data.sources.demo.source import DemoSource
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.rerank.base import reranking
from crossrec.simulation.choice_model import ChoiceModel, fit_choice_model
from crossrec.simulation.environment import Environment
from crossrec.simulation.loop import Policy, Refit, joined, run_loop
from crossrec.simulation.metrics import RoundMetrics
from crossrec.simulation.tastes import TasteModel, load_demo_tastes, spread_evenly
from crossrec.studies.feedback_loop.config import (
    TASTES,
    BaselineLearnerConfig,
    FeedbackLoopConfig,
    FittedTastesConfig,
    LearnerConfig,
    NeuralLearnerConfig,
    PolicyConfig,
)
from crossrec.studies.feedback_loop.neural import NeuralLearner
from crossrec.studies.folder import key_of
from crossrec.types import InputError, Recommender, Sequences

FIRST_RUNS = "first_runs"
SIMULATION_VERSION = 3
"""Version of the simulation, increased by changes, so that files of an earlier one are not reused."""


@dataclass(frozen=True)
class SimulationSetup:
    """Data, hidden tastes and the log at the start, of all users.

    Args:
        config: configuration of the study.
        prepared: prepared base experiment.
        tastes: tastes of all U users.
        log: initial log of U rows.
        choice: fitted choice model, if the tastes come from one.
        device: device of the models.
    """

    config: FeedbackLoopConfig
    prepared: PreparedExperiment
    tastes: TasteModel
    log: Sequences
    choice: ChoiceModel | None
    device: torch.device

    @classmethod
    def of(
        cls, config: FeedbackLoopConfig, prepared: PreparedExperiment, device: torch.device
    ) -> SimulationSetup:
        """Load or fit the tastes.

        Raises:
            InputError: if true tastes are configured, and the data are not the demo.
        """
        data, clicks = prepared.data, prepared.data.clicks.sequences
        if isinstance(config.tastes, FittedTastesConfig):
            categories_NG = spread_evenly(data.catalog.category_matrix.toarray())
            choice = fit_choice_model(clicks, categories_NG, config.tastes)
            return cls(config, prepared, choice.tastes, choice.start, choice, device)
        source = prepared.config.data.source
        if not isinstance(source, DemoSource.Options):
            raise InputError(
                f"tastes: type '{TASTES.name_of(config.tastes)}' needs the demo as data; for {data.name} set "
                f"tastes.type={TASTES.name_of(FittedTastesConfig())}"
            )
        cache_dir = prepared.config.data.cache_dir
        tastes = load_demo_tastes(source, cache_dir, data.catalog.item_ids, data.clicks.user_ids)
        return cls(config, prepared, tastes, clicks, None, device)

    @cached_property
    def items(self) -> ItemTable:
        """Features of the items, with the co-clicks of the log from which the loop starts.

        The training part of the data may hold clicks that tastes are fitted to, which no policy knows.
        """
        items, config = self.prepared.items, self.prepared.config
        if BEHAVIOUR not in items.spaces or config.spaces.behaviour is None:
            return items
        options, folder = config.spaces.behaviour, config.data.cache_dir
        make = partial(behaviour_space, self.log, len(items), options, folder)
        return items.with_lazy_space(BEHAVIOUR, make)

    def users(self, seed: int) -> np.ndarray:
        """Return (B,) participants, ascending."""
        n_users, wanted = self.tastes.n_users, self.config.users
        if wanted is None or wanted >= n_users:
            return np.arange(n_users)
        return np.sort(np.random.default_rng((seed, n_users)).choice(n_users, wanted, replace=False))

    def play(self, policy: PolicyConfig, seed: int) -> Iterator[dict[str, float]]:
        """Yield the figures round by round; clicks of users who don't take part are known too."""
        users = self.users(seed)
        log, tastes = self.log.take(users), self.tastes.take(users)
        others = self.log.take(np.setdiff1d(np.arange(len(self.log)), users))
        counts_N = np.bincount(joined(log, others).items, minlength=self.tastes.n_items)
        environment = Environment(tastes, self.config.environment, seed, owned=log)
        items = self.items.with_counts(counts_N)
        view = items.with_categories(self.tastes.categories_NG)
        measures = RoundMetrics(view, len(users), self.config.k, seed, self.config.tail_share)
        made = self._policy(policy, seed, others, items)
        for happened in run_loop(environment, made, log, self.config.rounds, self.config.k):
            yield {"round": happened.number, **measures.of(happened)}

    def _policy(self, policy: PolicyConfig, seed: int, others: Sequences, items: ItemTable) -> Policy:
        stages = [stage.build(items) for stage in policy.rerank]
        learn = self._learn(policy.learner, seed)
        return Policy(
            # The last rows never grow, so that learners see who has clicked since.
            refit=lambda log: learn(joined(log, others)),
            finish=reranking(stages) if stages else None,
            explorer=None if policy.explore is None else policy.explore.build(items),
            every=policy.every,
            candidates=policy.candidates,
        )

    def _learn(self, learner: LearnerConfig, seed: int) -> Refit:
        if isinstance(learner, NeuralLearnerConfig):
            return NeuralLearner(self.prepared, learner, seed, self.device, self._first_run(learner, seed))
        assert isinstance(learner, BaselineLearnerConfig)
        baseline, items = learner.baseline, self.prepared.items

        def learn(log: Sequences) -> Recommender:
            fitted: Recommender = baseline.build(items).fit(log)
            return fitted

        return learn

    def _first_run(self, learner: NeuralLearnerConfig, seed: int) -> Path:
        made_from = {
            **base_content(self.prepared),
            "tastes": TASTES.dump(self.config.tastes),
            "users": self.config.users,
            "seed": seed,
            "epochs": learner.first_epochs,
        }
        return self.config.out / FIRST_RUNS / key_of(made_from)


def base_content(prepared: PreparedExperiment) -> dict[str, object]:
    """Return everything of the base experiment that a simulation depends on, and the simulation's version."""
    parts = {"data", "model", "objective", "trainer", "spaces", "segments"}
    made_from = prepared.config.model_dump(mode="json", include=parts, exclude={"data": {"cache_dir"}})
    dumped = {name: part for name, part in made_from.items() if part is not None}
    # Stored weights have a row per item: other items in the same files are another simulation.
    return {**dumped, "simulation": SIMULATION_VERSION, "identity": prepared.data.identity.key}
