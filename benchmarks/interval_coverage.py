"""Do intervals hold the truth and tests their level? A simulation of every metric that has them.

    python benchmarks/interval_coverage.py [--users 60 610 5000] [--replications 2000] [--quick]

A made-up world: 1,200 items with Zipf popularity in twelve tastes, users with a history and next clicks, and
recommenders that see a user's taste through noise. Fresh users are drawn from a population of 20,000, again
and again, and measured by the functions that evaluation and ``crossrec compare`` use:

* single: how often the 95 % interval of a system's value does not miss its expectation;
* printed: how often there is one; hits of a few users have none, see ``LEAST_VARIED`` of the bootstrap;
* equal, different: the same for the difference of two systems that are equal in distribution but show every
  user other lists, and of two systems one of which is noisier;
* size: how often p < .05 (.05 included) for the two equal systems, which are exchangeable;
* size, other items: the same for two systems that show different items but have the same expected metric, so
  that they are not exchangeable. Only for metrics of all lists together, whose test is by swaps.

The two equal systems are exchangeable: a coin for each drawn user says which of them is which.
The truth of a mean is that of the population; of a metric of all lists together it is the mean over the
replications, which is its expectation for that many users. ``600x5`` means five queries a user. A finished
block of replications is kept in ``--out``, and a run that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix, vstack

from crossrec.data.item_table import CONTENT, ItemTable, VectorSpace
from crossrec.data.splits.base import Queries
from crossrec.evaluation import jackknife
from crossrec.evaluation.bootstrap import (
    estimate_difference,
    estimate_means,
    exposure_values,
    resample_exposure,
)
from crossrec.evaluation.comparison.exposure import swap_test
from crossrec.evaluation.config import EvaluationConfig, MetricName
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.metrics.exposure import UserLists
from crossrec.evaluation.report.glossary import NO_INTERVAL
from crossrec.evaluation.significance import p_values
from crossrec.evaluation.slices import UserGroups
from crossrec.types import Sequences, TopK

N_ITEMS, N_TASTES, K, HISTORY = 1200, 12, 10, 8
POPULATION = 20_000
BLOCK = 100
EXPOSURE: tuple[MetricName, ...] = tuple(AGGREGATE)
REFERENCE = {"equal": "one of equal", "different": "first", "other items": "one of equal"}
"""Which sample a sample is compared with."""
GAIN = "gain of coverage"
"""Relative, from draws around both values, as a trade-off study prints it."""
HIGHEST_SIZE, LEAST_COVERAGE = 0.07, 0.92


@dataclass(frozen=True)
class System:
    """A population's lists by one recommender: values of means and items shown, one row per user."""

    means_UM: np.ndarray
    names: list[str]
    shown_UI: csr_matrix

    def drawn(self, users: np.ndarray, n_queries: int) -> UserLists:
        """The lists of a sample of users."""
        return UserLists(self.shown_UI[users], np.full(len(users), n_queries), np.arange(N_ITEMS))


@cache
def population(n_queries: int) -> dict[str, System]:
    """The same users under several recommenders; see the notes on ``either`` within."""
    rng = np.random.default_rng(0)
    n_users = POPULATION // n_queries
    taste_N = rng.integers(0, N_TASTES, N_ITEMS)
    # Popularity does not follow the numbers of items: those of a taste are spread over head and tail.
    popularity_N = -np.log1p(rng.permutation(N_ITEMS))
    taste_U = rng.choice(N_TASTES, n_users, p=rng.dirichlet(np.full(N_TASTES, 3.0)))
    vectors_ND = (rng.normal(size=(N_TASTES, 16))[taste_N] + rng.normal(size=(N_ITEMS, 16))).astype(
        np.float32
    )
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    second_N = np.where(rng.random(N_ITEMS) < 0.4, rng.integers(0, N_TASTES, N_ITEMS), taste_N)
    categories = csr_matrix(np.maximum(np.eye(N_TASTES)[taste_N], np.eye(N_TASTES)[second_N]))
    like_TN = popularity_N + 2.5 * (np.arange(N_TASTES)[:, None] == taste_N)
    clicks = _top(like_TN, taste_U, np.ones(n_users), HISTORY + n_queries, rng)
    counts_N = np.bincount(clicks[:, :HISTORY].ravel(), minlength=N_ITEMS)
    everywhere = np.ones(N_ITEMS, bool)
    spaces = (CONTENT, "text", "image")
    facts = ItemTable(counts_N, categories, dict.fromkeys(spaces, VectorSpace(vectors_ND, everywhere)))
    users_Q = np.repeat(np.arange(n_users), n_queries)
    history_QH = clicks[users_Q, :HISTORY]
    target_Q1 = clicks[:, HISTORY:].reshape(-1, 1)
    queries = Queries(users_Q, np.full(len(users_Q), HISTORY), Sequences.from_lists(target_Q1))
    histories = Sequences.from_lists(history_QH)
    noises = {"first": 0.7, "equal": 0.7, "noisier": 0.9}
    found: dict[str, System] = {}
    for name, noise in noises.items():
        ids_QK = _top(like_TN, taste_U[users_Q], np.full(len(users_Q), noise), K, rng, history_QH, users_Q)
        found[name] = _system(ids_QK, queries, histories, facts)
    # Rows of both equal systems, from which a coin takes one for each side: in the population, too, the
    # two are then exchangeable, which lists that were drawn once for each user are not.
    both = (found["first"], found["equal"])
    means_UM = np.concatenate([system.means_UM for system in both])
    found["either"] = System(means_UM, both[0].names, vstack([system.shown_UI for system in both]).tocsr())
    renamed = found["either"].shown_UI[:, rng.permutation(N_ITEMS)].tocsr()
    found["other items"] = System(means_UM, both[0].names, renamed)
    return found


def _top(
    like_TN: np.ndarray,
    taste_Q: np.ndarray,
    noise_Q: np.ndarray,
    k: int,
    rng: np.random.Generator,
    excluded_QH: np.ndarray | None = None,
    users_Q: np.ndarray | None = None,
) -> np.ndarray:
    """(Q, k) best items by liking plus Gumbel noise, half of which a user's queries share."""
    blocks = []
    for start in range(0, len(taste_Q), 1000):
        rows = slice(start, start + 1000)
        noise_QN = rng.gumbel(size=(len(taste_Q[rows]), N_ITEMS))
        if users_Q is not None:
            user_Q = users_Q[rows] - users_Q[rows][0]
            own_UN = rng.gumbel(size=(user_Q[-1] + 1, N_ITEMS))
            noise_QN = (noise_QN + own_UN[user_Q]) / 2**0.5
        score_QN = like_TN[taste_Q[rows]] + noise_Q[rows, None] * noise_QN
        if excluded_QH is not None:
            np.put_along_axis(score_QN, excluded_QH[rows], -np.inf, axis=1)
        best = np.argpartition(-score_QN, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(score_QN, best, 1), axis=1)
        blocks.append(np.take_along_axis(best, order, 1))
    return np.concatenate(blocks)


def _system(ids_QK: np.ndarray, queries: Queries, histories: Sequences, facts: ItemTable) -> System:
    lists = TopK(ids_QK, np.zeros(ids_QK.shape, np.float32))
    found = evaluate_lists(lists, queries, histories, facts, EvaluationConfig(ks=(K,), n_bootstrap=0))
    names = [name for name in found.per_user.columns if name.endswith(f"@{K}")]
    groups = UserGroups.of(queries.users)
    rows = np.repeat(groups.group_Q, K)
    shown = csr_matrix((np.ones(len(rows)), (rows, ids_QK.ravel())), shape=(len(groups.users), N_ITEMS))
    return System(found.per_user.select(names).to_numpy(), names, shown)


def replicate(
    users: np.ndarray, n_queries: int, options: argparse.Namespace, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows (metric, what, value, low, high, p) of one sample of users."""
    systems = population(n_queries)
    names = [name.removesuffix(f"@{K}") for name in systems["first"].names]
    n_population = len(systems["first"].means_UM)
    coin_U = np.random.default_rng([seed, 1]).integers(0, 2, len(users))
    some, rest = users + coin_U * n_population, users + (1 - coin_U) * n_population
    drawn = {
        "first": ("first", users),
        "different": ("noisier", users),
        "one of equal": ("either", some),
        "equal": ("either", rest),
        "other items": ("other items", rest),
    }
    means = {name: systems[system].means_UM[rows] for name, (system, rows) in drawn.items()}
    found = estimate_means(dict(zip(names, means["first"].T, strict=True)), options.resamples, seed)
    for name in names:
        yield _row(name, "single", found[name]["value"], *found[name]["ci95"])
    p_M = p_values("randomisation", means["equal"] - means["one of equal"], options.permutations, seed)
    for what in ("equal", "different"):
        for place, name in enumerate(names):
            found_apart = estimate_difference(means[what][:, place] - means[REFERENCE[what]][:, place])
            low, high = found_apart["ci95"]
            p = float(p_M[place]) if what == "equal" else None
            yield _row(name, what, found_apart["value"], low, high, p)
    lists = {name: systems[system].drawn(rows, n_queries) for name, (system, rows) in drawn.items()}
    values = {name: exposure_values(one, EXPOSURE, N_ITEMS, K) for name, one in lists.items()}
    moved = {name: jackknife.influences(one, EXPOSURE, N_ITEMS, K) for name, one in lists.items()}
    tested = {
        what: swap_test([lists["one of equal"]], [lists[what]], EXPOSURE, N_ITEMS, K, options.swaps, seed)
        for what in ("equal", "other items")
    }
    for name in EXPOSURE:
        low, high = jackknife.interval(
            values["first"][name], moved["first"][name], 0.0, AGGREGATE[name].upper(N_ITEMS)
        )
        yield _row(name, "single", values["first"][name], low, high)
        for what, reference in REFERENCE.items():
            apart = values[what][name] - values[reference][name]
            low, high = jackknife.interval(apart, moved[what][name] - moved[reference][name])
            yield _row(name, what, apart, low, high, tested.get(what, {}).get(name))
    first, noisier = (
        resample_exposure(lists[name], ("coverage",), N_ITEMS, K, options.resamples, seed)["coverage"]
        for name in ("first", "different")
    )
    low, high = np.percentile(noisier.resampled_R / first.resampled_R - 1, [2.5, 97.5])
    yield _row(GAIN, "different", noisier.value / first.value - 1, low, high)


def _row(
    metric: str, what: str, value: float, low: float, high: float, p: float | None = None
) -> dict[str, Any]:
    return {"metric": metric, "what": what, "value": value, "low": low, "high": high, "p": p}


def simulate(n_users: int, n_queries: int, options: argparse.Namespace) -> pl.DataFrame:
    """All replications of one size, from files where they are there."""
    blocks = []
    for block in range(-(-options.replications // BLOCK)):
        path = options.out / f"{n_users}x{n_queries}-{options.resamples}-{options.swaps}-{block}.parquet"
        if not path.exists():
            rows = []
            for one in range(BLOCK):
                seed = zlib.crc32(f"{n_users} {n_queries} {block} {one}".encode())
                users = np.random.default_rng([seed, 0]).integers(0, POPULATION // n_queries, n_users)
                rows += list(replicate(users, n_queries, options, seed))
            path.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(rows, schema_overrides={"p": pl.Float64}).write_parquet(path)
        blocks.append(pl.read_parquet(path))
    return pl.concat(blocks)


def truths(rows: pl.DataFrame, n_queries: int) -> dict[tuple[str, str], float]:
    """(metric, what) -> what an interval should hold; two equal systems differ by 0."""
    found = {(m, w): v for m, w, v in rows.group_by("metric", "what").agg(pl.mean("value")).rows()}
    systems = population(n_queries)
    first_M, noisier_M = systems["first"].means_UM.mean(0), systems["noisier"].means_UM.mean(0)
    for place, name in enumerate(systems["first"].names):
        metric = name.removesuffix(f"@{K}")
        found[metric, "single"] = first_M[place]
        found[metric, "different"] = noisier_M[place] - first_M[place]
    return {pair: 0.0 if pair[1] in ("equal", "other items") else value for pair, value in found.items()}


def summarize(rows: pl.DataFrame, n_queries: int) -> dict[str, dict[str, float]]:
    """metric -> column -> share of the replications."""
    truth = truths(rows, n_queries)
    found: dict[str, dict[str, float]] = {}
    for (metric, what), part in rows.group_by("metric", "what", maintain_order=True):
        low, high = part["low"].to_numpy(), part["high"].to_numpy()
        held = (low <= truth[str(metric), str(what)]) & (truth[str(metric), str(what)] <= high)
        columns = found.setdefault(str(metric), {})
        printed = ~np.isnan(low)
        # None is printed where too few users differ: that is no miss.
        if printed.any():
            columns[str(what)] = float((held | ~printed).mean())
        if what == "single":
            columns["printed"] = float(printed.mean())
        if part["p"].null_count() == 0:
            rejected = part["p"].to_numpy() <= 0.05 + 1e-9
            columns["size" if what == "equal" else f"size, {what}"] = float(rejected.mean())
    return found


COLUMNS = ("single", "printed", "equal", "different", "other items", "size", "size, other items")


def main() -> None:
    """Prints the table, and every figure that is out of bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", nargs="+", default=["60", "610", "5000", "610x5"], help="600 or 600x5")
    parser.add_argument("--replications", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=500, help="of the bootstrap of means")
    parser.add_argument("--permutations", type=int, default=199, help="of signs")
    parser.add_argument("--swaps", type=int, default=19, help="of lists; the size doesn't depend on it")
    parser.add_argument("--quick", action="store_true", help="200 replications of 60 and 610 users")
    parser.add_argument("--out", type=Path, default=Path("runs/interval_coverage"))
    options = parser.parse_args()
    if options.quick:
        options.replications, options.users = 200, ["60", "610"]
    table = Table(title=f"Shares of {options.replications:,} replications; intervals of 95 %, tests at .05")
    for heading in ("metric", "users", *COLUMNS):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    wrong = []
    for size in options.users:
        n_users, _, n_queries = size.partition("x")
        found = summarize(simulate(int(n_users), int(n_queries or 1), options), int(n_queries or 1))
        for metric, columns in found.items():
            table.add_row(
                metric, size, *(f"{columns[c]:.3f}" if c in columns else NO_INTERVAL for c in COLUMNS)
            )
            wrong += [
                f"{metric}, {size} users, {name}: {share:.3f}"
                for name, share in columns.items()
                if (
                    share > HIGHEST_SIZE
                    if name.startswith("size")
                    else name != "printed" and share < LEAST_COVERAGE
                )
            ]
    console = Console(width=120)
    console.print(table)
    bounds = f"sizes of at most {HIGHEST_SIZE}, coverage of at least {LEAST_COVERAGE}"
    console.print(f"Out of bounds ({bounds}): {'; '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
