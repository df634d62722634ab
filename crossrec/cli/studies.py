"""Commands of studies over several runs; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from crossrec.cli.guard import add_trust, guarded


def compare(arguments: Sequence[str] | None = None) -> int:
    """``crossrec compare RUN RUN … [--metrics ndcg@10,coverage@10] [--test randomisation] [--group]``."""
    from crossrec.evaluation.config import ComparisonConfig, TestName

    default = ComparisonConfig()
    parser = argparse.ArgumentParser(
        prog="crossrec compare",
        description="Compare measured runs with the first one, with intervals and paired tests.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or name=RUN,RUN for its seeds")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--metrics", type=_names, default=(), help="metrics such as ndcg@10,coverage@10")
    parser.add_argument("--diversity", type=_names, default=(), help="metrics plotted against accuracy")
    parser.add_argument("--test", choices=get_args(TestName), default=default.test)
    parser.add_argument("--group", action="store_true", help="treat base.0 and base.1 as seeds of one system")
    parser.add_argument("--baselines", action="store_true", help="add the first run's own baselines")
    parser.add_argument(
        "--resamples", type=int, default=default.n_bootstrap, help="bootstrap resamples of the users"
    )
    parser.add_argument("--permutations", type=int, default=default.n_permutations)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--out", type=Path, help="a folder; compare-<names> beside the first run by default")
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import validate

        content = {
            "metrics": parsed.metrics,
            "diversity": parsed.diversity,
            "test": parsed.test,
            "n_bootstrap": parsed.resamples,
            "n_permutations": parsed.permutations,
            "seed": parsed.seed,
        }
        config = validate(ComparisonConfig, content, parser.prog)
        from crossrec.experiment.compare import ComparisonRequest, run_comparison

        request = ComparisonRequest(
            parsed.runs, parsed.split, parsed.group, parsed.baselines, parsed.out, parsed.trust_code
        )
        run_comparison(request, config)

    return guarded(run)


def ablate(arguments: Sequence[str] | None = None) -> int:
    """``crossrec ablate CONFIG [key=value …]``."""
    parsed = _config_parser(
        "ablate",
        "Train every variant of a grid, or search settings, over several seeds, and compare. "
        "Run it again to resume; run it on several machines that share the folder to go faster.",
        overrides="overrides of the study, such as jobs=2 changes.trainer.epochs=3",
    ).parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.grid.config import AblationConfig

        config = load_config(AblationConfig, parsed.config, parsed.overrides)
        from crossrec.studies.grid.study import run_ablation

        run_ablation(config)

    return guarded(run)


def tradeoff(arguments: Sequence[str] | None = None) -> int:
    """``crossrec tradeoff CONFIG [key=value …]``."""
    parser = _config_parser(
        "tradeoff", "Sweep rerankers over trained runs, pick on validation, report on test."
    )
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.tradeoff.config import TradeoffConfig

        config = load_config(TradeoffConfig, parsed.config, parsed.overrides)
        from crossrec.studies.tradeoff.study import run_tradeoff

        run_tradeoff(config, trust_code=parsed.trust_code)

    return guarded(run)


def ensemble(arguments: Sequence[str] | None = None) -> int:
    """``crossrec ensemble RUN RUN … [item_knn …] --out FOLDER``."""
    from crossrec.ensemble.learning import LearningConfig
    from crossrec.ensemble.list_fusion import ALL_FUSIONS

    learning = LearningConfig()
    fusions = {fusion.label: fusion for fusion in ALL_FUSIONS}
    parser = argparse.ArgumentParser(
        prog="crossrec ensemble",
        description="Learn weights of runs and baselines on validation, and measure the ensemble on test.",
    )
    parser.add_argument(
        "members", nargs="+", metavar="MEMBER", help="a run folder, name=RUN, or a baseline such as item_knn"
    )
    parser.add_argument("--k", type=int, default=learning.k, help="length of the lists")
    parser.add_argument("--budget", type=int, default=learning.budget, help="number of weightings to try")
    parser.add_argument(
        "--cross-fits", type=int, default=learning.cross_fits, help="random halvings of the users"
    )
    parser.add_argument("--seed", type=int, default=learning.seed)
    parser.add_argument("--fusions", nargs="+", choices=tuple(fusions), default=list(fusions))
    parser.add_argument("--candidates", type=int, default=200, help="candidates per member")
    parser.add_argument(
        "--missing", choices=("lowest", "veto"), default="lowest", help="meaning of a score of -inf"
    )
    _add_member_options(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import validate
        from crossrec.studies.ensemble import EnsembleStudyConfig, run_ensemble

        content = {
            "members": parsed.members,
            "learning": {
                "k": parsed.k,
                "budget": parsed.budget,
                "cross_fits": parsed.cross_fits,
                "seed": parsed.seed,
            },
            "fusions": [fusions[label] for label in parsed.fusions],
            "candidates": parsed.candidates,
            "missing": parsed.missing,
            **_member_options(parsed),
        }
        config = validate(EnsembleStudyConfig, content, parser.prog)
        run_ensemble(config, trust_code=parsed.trust_code)

    return guarded(run)


def cascade(arguments: Sequence[str] | None = None) -> int:
    """``crossrec cascade RETRIEVER RANKER --out FOLDER [--candidates 100 300]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec cascade",
        description="Measure cascades, in which a ranker scores a retriever's candidates only, beside the "
        "ranker over the whole catalogue.",
    )
    parser.add_argument(
        "retriever",
        help="a run folder, name=RUN, a baseline such as item_knn, or 'neighbours': the items nearest to the "
        "history's in the ranker's own vectors",
    )
    parser.add_argument("ranker", help="a run folder, name=RUN, or a baseline")
    parser.add_argument(
        "--candidates", type=int, nargs="+", default=[100], help="numbers of candidates, a cascade for each"
    )
    parser.add_argument(
        "--index",
        choices=("exact", "faiss", "int8", "pq", "auto"),
        default="exact",
        help="search of the retriever's vectors",
    )
    parser.add_argument("--rerank", help="a reranker such as mmr, of all lists")
    parser.add_argument("--strength", type=float, help="weight of diversity, 0 to 1, with --rerank")
    parser.add_argument("--k", type=int, default=10, help="length of the lists")
    _add_member_options(parser)
    parsed = parser.parse_args(arguments)
    if parsed.strength is not None and parsed.rerank is None:
        parser.error("--strength needs --rerank")

    def run() -> None:
        from crossrec.config import validate
        from crossrec.studies.cascade import CascadeStudyConfig, run_cascade

        stage = {"type": parsed.rerank}
        if parsed.strength is not None:
            stage["diversity"] = parsed.strength
        content = {
            "retriever": parsed.retriever,
            "ranker": parsed.ranker,
            "candidates": parsed.candidates,
            "index": parsed.index,
            "rerank": None if parsed.rerank is None else {"stages": [stage]},
            "k": parsed.k,
            **_member_options(parsed),
        }
        config = validate(CascadeStudyConfig, content, parser.prog, trust_code=True)
        run_cascade(config, trust_code=parsed.trust_code)

    return guarded(run)


def _add_member_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of studies over finished runs and baselines."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--metric", default="ndcg", help="accuracy metric of the verdict, and of weights")
    parser.add_argument("--tune", action="store_true", help="tune baselines without settings in a run")
    parser.add_argument("--test", choices=("randomisation", "t"), default="randomisation")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples of the users")
    parser.add_argument("--device", default="auto")
    add_trust(parser)


def _member_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of :func:`_add_member_options` configure."""
    return {
        "out": parsed.out,
        "metric": parsed.metric,
        "tune": parsed.tune,
        "comparison": {"test": parsed.test, "n_bootstrap": parsed.resamples},
        "device": parsed.device,
    }


def large_model(arguments: Sequence[str] | None = None) -> int:
    """``crossrec large-model CONFIG [key=value …]``."""
    parsed = _config_parser(
        "large-model", "Train a small and a large model as a pair and compare their diversity."
    ).parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.large_model import LargeModelConfig, run_large_model

        run_large_model(load_config(LargeModelConfig, parsed.config, parsed.overrides))

    return guarded(run)


def synthesis(arguments: Sequence[str] | None = None) -> int:
    """``crossrec synthesis CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec synthesis",
        description="Train generators of item features, profiles and pictures on a run's training items and "
        "measure their samples beside a Gaussian fit.",
    )
    parser.add_argument("config", type=Path, help="a run's YAML file, such as configs/demo.yaml")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="overrides of the study, such as out=runs/mine image_gan=null spaces=[text]",
    )
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import parse_overrides, validate
        from crossrec.studies.synthesis import SynthesisConfig, run_synthesis

        content = {"base": parsed.config, **parse_overrides(parsed.overrides)}
        config = validate(SynthesisConfig, content, parser.prog, trust_code=True)
        run_synthesis(config)

    return guarded(run)


def simulate(arguments: Sequence[str] | None = None) -> int:
    """``crossrec simulate CONFIG [key=value …]``."""
    parsed = _config_parser(
        "simulate",
        "Play policies against simulated users, round after round. Run it again to resume.",
        overrides="overrides such as rounds=5 seeds=[0,1] users=200",
    ).parse_args(arguments)

    def run() -> None:
        from crossrec.config import load_config
        from crossrec.studies.feedback_loop.config import FeedbackLoopConfig

        config = load_config(FeedbackLoopConfig, parsed.config, parsed.overrides)
        from crossrec.studies.feedback_loop.study import run_feedback_loop

        run_feedback_loop(config)

    return guarded(run)


def _config_parser(
    command: str, description: str, overrides: str = "overrides such as out=runs/another_study"
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"crossrec {command}", description=description)
    parser.add_argument(
        "config", type=Path, help="a YAML file, such as those in configs/studies and configs/ablations"
    )
    parser.add_argument("overrides", nargs="*", help=overrides)
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
