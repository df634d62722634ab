"""The command line of ensembles; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossrec.cli.guard import add_trust, guarded


def ensemble(arguments: Sequence[str] | None = None) -> int:
    """``crossrec ensemble RUN RUN … [item_knn …] --out FOLDER``."""
    from crossrec.ensemble.config import ALL_FUSIONS, LearningConfig

    learning = LearningConfig()
    fusions = {fusion.label: fusion for fusion in ALL_FUSIONS}
    parser = argparse.ArgumentParser(
        prog="crossrec ensemble",
        description="Weighs finished runs and baselines on validation, and measures the ensemble on test.",
    )
    parser.add_argument(
        "members", nargs="+", metavar="MEMBER", help="a run folder, name=RUN, or a baseline such as item_knn"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--metric", default="ndcg", help="of accuracy, that weights are learned for")
    parser.add_argument("--k", type=int, default=learning.k, help="length of the lists")
    parser.add_argument("--budget", type=int, default=learning.budget, help="weightings that are tried")
    parser.add_argument("--cross-fits", type=int, default=learning.cross_fits, help="halvings of the users")
    parser.add_argument("--seed", type=int, default=learning.seed)
    parser.add_argument("--fusions", nargs="+", choices=tuple(fusions), default=list(fusions))
    parser.add_argument("--candidates", type=int, default=200, help="best items of each member looked at")
    parser.add_argument("--missing", choices=("lowest", "veto"), default="lowest", help="what -inf means")
    parser.add_argument("--tune", action="store_true", help="tune baselines that no run has settings for")
    parser.add_argument("--test", choices=("randomisation", "t"), default="randomisation")
    parser.add_argument("--resamples", type=int, default=2000, help="of the users, for intervals")
    parser.add_argument("--device", default="auto")
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.config import validate
        from crossrec.studies.ensemble import EnsembleStudyConfig

        content = {
            "members": parsed.members,
            "out": parsed.out,
            "metric": parsed.metric,
            "learning": {
                "k": parsed.k,
                "budget": parsed.budget,
                "cross_fits": parsed.cross_fits,
                "seed": parsed.seed,
            },
            "fusions": [fusions[label] for label in parsed.fusions],
            "candidates": parsed.candidates,
            "missing": parsed.missing,
            "tune": parsed.tune,
            "comparison": {"test": parsed.test, "n_bootstrap": parsed.resamples},
            "device": parsed.device,
        }
        config = validate(EnsembleStudyConfig, content, parser.prog)
        from crossrec.studies.ensemble import run_ensemble

        run_ensemble(config, trust_code=parsed.trust_code)

    return guarded(run)
