"""Are the explanations of a run's scores true of its model? Deletion checks, and a surrogate tree.

    python benchmarks/explanations.py RUN [--pairs 60] [--random 10] [--pictures FOLDER] [--skip-tree]

Each pair is a user of the test part and the item that the model ranks first for the user. Of each explanation
the parts that it names are deleted, most important first, up to half of them, beside as many parts in random
orders. AOPC is the mean fall of the score over these steps; the difference of the two is paired, its interval
resamples pairs, p is of Fisher's randomisation test. An explanation passes where the whole interval is above
zero. For integrated gradients the error of the integration stands beside, as a share of what the attributions
should add up to. ``--pictures`` writes a few of the heat maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from crossrec.evaluation.bootstrap import Estimate
from crossrec.evaluation.report.glossary import format_range
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import read_run
from crossrec.explain import (
    METHODS,
    Deletion,
    Explainer,
    ItemContent,
    ItemFeatures,
    Method,
    Unavailable,
    faithfulness,
    surrogate,
)
from crossrec.explain.explainer import Found, Question
from crossrec.explain.explanation import ClickEffects, Completeness, ModalityEffects, WordWeights
from crossrec.explain.faithfulness import deletion_of_found
from crossrec.explain.picture import heat_map
from crossrec.types import Sequences

PARTS = {
    "modality_leave_one_out": "modalities",
    "modality_gradients": "modalities",
    "click_leave_one_out": "clicks",
    "click_gradients": "clicks",
    "attention": "clicks (any change)",
    "picture": "64 patches",
    "words": "words",
}
SHOWN_PICTURES = 8

Answer = Callable[[Question], Found]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--random", type=int, default=10, help="random orders beside each explanation")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pictures", type=Path, help="folder for some of the heat maps")
    parser.add_argument("--skip-tree", action="store_true", help="no surrogate tree")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Gaps:
    """Errors of integrated gradients, as shares of what they should add up to."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def note(self, found: Found) -> None:
        """Takes one in, where the explanation has one."""
        if isinstance(found, ClickEffects | ModalityEffects | WordWeights) and found.completeness:
            self.shares.append(_share(found.completeness))

    def __str__(self) -> str:
        if not self.shares:
            return ""
        return f"{np.median(self.shares):.1e} / {np.percentile(self.shares, 95):.1e}"


def _share(completeness: Completeness) -> float:
    return abs(completeness.gap) / max(abs(completeness.difference), 1e-6)


def deletions(questions: list[Question], answer: Answer, gaps: Gaps) -> Iterator[Deletion]:
    """One a question that has such an explanation."""
    for question in questions:
        try:
            found = answer(question)
        except Unavailable:
            continue
        gaps.note(found)
        yield deletion_of_found(question, found)


def answers(methods: list[Method]) -> Iterator[tuple[str, str, Answer]]:
    """Row of the table, what is deleted, and how to explain."""
    for method in methods:
        yield method, PARTS[method], partial(_answer, method)
        if method == "picture":
            yield "  by Grad-CAM", PARTS[method], _grad_cam


def _answer(method: Method, question: Question) -> Found:
    return question.answer(method)


def _grad_cam(question: Question) -> Found:
    return heat_map(question.shown, "grad_cam")


def check(questions: list[Question], args: argparse.Namespace) -> Table:
    """A row a method."""
    table = Table(title=f"{args.run.name}: deleting what an explanation names, beside random parts")
    for column in ("method", "deleted", "pairs", "AOPC", "random", "difference [95 %]", "p", "gap", ""):
        table.add_column(column, justify="left" if column in ("method", "deleted", "") else "right")
    for name, parts, answer in answers(args.methods):
        gaps = Gaps()
        found = faithfulness(deletions(questions, answer, gaps), n_random=args.random, seed=args.seed)
        if not found.n_pairs:
            table.add_row(name, parts, "0", *[""] * 5, "not available")
            continue
        table.add_row(
            name,
            parts,
            str(found.n_pairs),
            f"{found.aopc['value']:.3f}",
            f"{found.random_aopc['value']:.3f}",
            _interval(found.difference),
            f"{found.p:.4f}",
            str(gaps),
            "passes" if found.passes else "DOES NOT PASS",
        )
    return table


def _interval(estimate: Estimate) -> str:
    return f"{estimate['value']:.3f} [{format_range(estimate['ci95'], 3, sign='')}]"


def write_pictures(questions: list[Question], folder: Path) -> None:
    """Pictures beside their heat maps, of the first questions that have one."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for question in questions:
        try:
            heat = heat_map(question.shown)
        except Unavailable:
            continue
        picture = question.shown.picture
        pair = Image.new("RGB", (2 * picture.width, picture.height))
        pair.paste(picture, (0, 0))
        pair.paste(heat.overlay(picture), (picture.width, 0))
        pair.resize((4 * pair.width, 4 * pair.height), Image.Resampling.NEAREST).save(
            folder / f"item-{question.item}.png"
        )
        written += 1
        if written == SHOWN_PICTURES:
            return


def test_histories(prepared: PreparedExperiment) -> Sequences:
    """What the test part asks after: one history a user, the first."""
    split = prepared.data.split
    _, first = np.unique(split.test.users, return_index=True)
    first = first[split.test.ends[first] > 0]
    return split.clicks.take(split.test.users[first], split.test.ends[first])


def main() -> None:
    """Prints both tables."""
    args = arguments()
    out = Console(width=160)
    prepared = PreparedExperiment.of(read_run(args.run, []))
    recommender = load_recommender(prepared)
    config = prepared.config
    content = ItemContent(prepared.data.catalog, config.model, config.data.cache_dir)
    explainer = Explainer(recommender, content)
    histories = test_histories(prepared)
    rng = np.random.default_rng(args.seed)
    chosen = rng.permutation(len(histories))[: args.pairs]
    asked = histories.take(chosen)
    items = recommender.recommend(asked, 1, exclude=asked).ids[:, 0]
    questions = [
        Question(explainer, asked.take(np.asarray([row])), int(item)) for row, item in enumerate(items)
    ]
    out.print(f"{recommender.name} on {prepared.data.name} ({prepared.data.note})", highlight=False)
    out.print(check(questions, args))
    if args.pictures:
        write_pictures(questions, args.pictures)
    if not args.skip_tree:
        features = ItemFeatures.of(prepared.data.catalog, prepared.data.split.train_counts)
        tree = surrogate(recommender, histories, features, seed=args.seed)
        out.print(str(tree), highlight=False, markup=False)


if __name__ == "__main__":
    main()
