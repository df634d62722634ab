"""Commands on one run: train, evaluate, recommend, serve; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.cli.guard import add_trust, guarded

if TYPE_CHECKING:
    from crossrec.exploration.off_policy import PolicyValue
    from crossrec.serving.results import Recommendations


def train(arguments: Sequence[str] | None = None) -> int:
    """``train.py CONFIG [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train a recommender and measure it beside the baselines. Run it again to resume.",
        epilog="Several processes: accelerate launch train.py … "
        "(on the CPU: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 train.py …)",
    )
    parser.add_argument(
        "config", type=Path, help="a YAML file, such as configs/demo.yaml, or a run's config.yaml"
    )
    parser.add_argument(
        "overrides", nargs="*", help="overrides such as model.fusion.type=attention trainer.epochs=3"
    )
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.experiment.run_folder import load_experiment

        config = load_experiment(parsed.config, parsed.overrides, trust_code=parsed.trust_code)
        from crossrec.serving.training import run_training

        run_training(config)

    return guarded(run)


def evaluate(arguments: Sequence[str] | None = None) -> int:
    """``evaluate.py RUN [--split test] [--predictions FILE] [key=value …]``."""
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Measure a run, or a file of predictions under the run's protocol, with intervals.",
    )
    parser.add_argument("run", type=Path, help="a run folder, such as runs/demo")
    parser.add_argument("overrides", nargs="*", help="overrides such as evaluation.ks=[5,10,20]")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument(
        "--predictions",
        type=Path,
        help="a .parquet or .csv file: user_id, item_id, rank or score (and query, if users have several)",
    )
    add_trust(parser)
    parsed = parser.parse_args(arguments)

    def run() -> None:
        from crossrec.experiment.run_folder import read_run

        config = read_run(parsed.run, parsed.overrides, trust_code=parsed.trust_code)
        from crossrec.experiment.evaluate import run_evaluation
        from crossrec.runtime import distributed

        with distributed.explained(config.trainer.collective_timeout):
            run_evaluation(config, parsed.split, parsed.predictions)

    return guarded(run)


def recommend(arguments: Sequence[str] | None = None) -> int:
    """``crossrec recommend RUN (--user U | --history A B … | --out FILE) [-k 10] [--rerank mmr]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec recommend",
        description="Recommend for one user or history as a table, or for all users as a Parquet file.",
    )
    parser.add_argument("run", help="a run folder, a folder of save_pretrained, or user/name on the hub")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", help="a user of the log")
    whose.add_argument("--history", nargs="+", metavar="ITEM", help="item ids, oldest first")
    parser.add_argument("--out", type=Path, help="Parquet file of the lists of all users of the log")
    parser.add_argument("-k", type=int, default=10, help="list length")
    parser.add_argument("--rerank", help="a reranker such as mmr, or 'run' for the run's own")
    parser.add_argument(
        "--strength", type=float, help="weight of diversity, 0 to 1 (the reranker's key diversity)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "overrides", nargs="*", help="overrides of a run's configuration, such as data.root=FOLDER"
    )
    add_trust(parser)
    parsed = parser.parse_intermixed_args(arguments)
    asked = parsed.user is not None or parsed.history is not None
    if asked == (parsed.out is not None):
        parser.error("give --user, --history, or --out for all users")
    if parsed.strength is not None and parsed.rerank is None:
        parser.error("--strength needs --rerank")

    def run() -> None:
        import crossrec
        from crossrec.experiment.results import show

        shop = crossrec.load(
            parsed.run, overrides=parsed.overrides, device=parsed.device, trust_code=parsed.trust_code
        )
        k = min(parsed.k, shop.n_items)
        if k < parsed.k:
            show(f"There are {k:,} items: lists end with the last one")
        rerank: Any = parsed.rerank
        if parsed.strength is not None:
            rerank = {"type": parsed.rerank, "diversity": parsed.strength}
        if parsed.out is not None:
            show(f"Lists of {len(shop.user_ids):,} users: {parsed.out}")
            shop.recommend_batch(parsed.out, k=k, rerank=rerank)
            return
        found = shop.recommend(parsed.history, user_id=parsed.user, k=k, rerank=rerank)
        whose = f"user {parsed.user}" if parsed.user is not None else " ".join(parsed.history)
        _show_list(found, f"{shop.name}: for {whose} ({shop.about.data_note or shop.about.data_name})")

    return guarded(run)


def _show_list(found: Recommendations, title: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from crossrec.experiment.results import console

    table = Table(title=Text(title))
    for name in ("rank", "item", "score", "title", "categories", "price"):
        table.add_column(name, justify="right" if name in ("rank", "score", "price") else "left")
    for place in found.details():
        price = "" if place["price"] is None else f"{place['price']:,.2f}"
        cells = [place["rank"], place["item_id"], f"{place['score']:.4f}", place["title"] or ""]
        cells += [", ".join(place["categories"] or []), price]
        # As texts: a title may contain rich's markup.
        table.add_row(*(Text(str(cell)) for cell in cells))
    console().print(table)


def serve(arguments: Sequence[str] | None = None) -> int:
    """``crossrec serve RUN [--host 127.0.0.1] [--port 8000] [key=value …]``."""
    from crossrec.server.config import ServerConfig

    default = ServerConfig()
    parser = argparse.ArgumentParser(
        prog="crossrec serve",
        description="Serve a trained recommender: a page with pictures, and an API with its description.",
    )
    parser.add_argument("run", help="a run folder, a folder of save_pretrained, or a hub name user/name")
    parser.add_argument("--host", default=default.host, help="address to listen on (this machine only)")
    parser.add_argument("--port", type=int, default=default.port)
    parser.add_argument(
        "--name",
        dest="hosts",
        action="append",
        default=[],
        metavar="HOST",
        help="allowed host name of requests besides the loopback's; may be repeated",
    )
    parser.add_argument(
        "--feedback-log", type=Path, metavar="PATH", help="JSONL file in which thumbs are stored"
    )
    parser.add_argument(
        "--exposure-account",
        type=Path,
        metavar="PATH",
        help="SQLite file with the account of the run's quota, shared by servers (default: in memory)",
    )
    parser.add_argument(
        "--timeout", type=float, default=default.timeout_s, help="maximum seconds per request"
    )
    parser.add_argument(
        "--connections-per-client",
        type=int,
        default=default.connections_per_client,
        help="maximum number of connections per address; raise it behind a proxy",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=default.batch_size,
        help="maximum number of requests scored together",
    )
    parser.add_argument(
        "--batch-wait-ms",
        type=float,
        default=default.batch_wait_ms,
        help="maximum wait of a request for others, milliseconds",
    )
    parser.add_argument("--queue", type=int, default=default.queue, help="maximum number of waiting requests")
    parser.add_argument(
        "--max-upload-mb", type=float, default=default.max_upload_bytes / 1e6, help="of a new item"
    )
    parser.add_argument(
        "--faiss-from",
        type=int,
        default=default.faiss_from,
        help="catalogue size from which FAISS finds plain lists",
    )
    parser.add_argument(
        "--faiss-vectors",
        choices=("float32", "int8", "pq"),
        default=default.faiss_vectors,
        help="vectors in the FAISS index",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        help="overrides of a run's configuration, such as data.root=FOLDER",
    )
    add_trust(parser)
    parsed = parser.parse_intermixed_args(arguments)

    def run() -> None:
        from crossrec.config import validate
        from crossrec.types import ConfigError

        if not math.isfinite(parsed.max_upload_mb):
            raise ConfigError(f"--max-upload-mb: needs a finite number, not {parsed.max_upload_mb}")
        content = {
            "host": parsed.host,
            "port": parsed.port,
            "hosts": tuple(parsed.hosts),
            "feedback_log": parsed.feedback_log,
            "exposure_account": parsed.exposure_account,
            "timeout_s": parsed.timeout,
            "connections_per_client": parsed.connections_per_client,
            "batch_size": parsed.batch_size,
            "batch_wait_ms": parsed.batch_wait_ms,
            "queue": parsed.queue,
            "max_upload_bytes": int(parsed.max_upload_mb * 1e6),
            "faiss_from": parsed.faiss_from,
            "faiss_vectors": parsed.faiss_vectors,
        }
        config = validate(ServerConfig, content, parser.prog)
        import crossrec
        from crossrec.server.run import serve as start

        options = {"overrides": parsed.overrides, "trust_code": parsed.trust_code}
        start(lambda: crossrec.load(parsed.run, **options), config)

    return guarded(run)


def off_policy(arguments: Sequence[str] | None = None) -> int:
    """``crossrec off-policy LOG [--lists FILE] [--cap 10] [--interval bootstrap]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec off-policy",
        description="Estimate the reward per list of another policy from lists that were logged with their "
        "propensities: IPS, SNIPS and, with a reward model's columns, DR.",
    )
    parser.add_argument(
        "log",
        type=Path,
        help="a .parquet or .csv file, a row per shown item: propensity, reward, target; list_id, rank, "
        "user_id, item_id; predicted, expected",
    )
    parser.add_argument(
        "--lists",
        type=Path,
        help="lists of a deterministic target policy, in place of the column target: user_id, item_id, rank, "
        "as crossrec recommend --out writes them",
    )
    parser.add_argument("--cap", type=float, help="largest weight; lowers the variance and biases")
    parser.add_argument("--interval", choices=("asymptotic", "bootstrap"), default="asymptotic")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of users or lists")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file for the estimates")
    parsed = parser.parse_args(arguments)
    if parsed.cap is not None and not parsed.cap > 0:
        parser.error("--cap needs a number above 0")
    if parsed.resamples < 1:
        parser.error("--resamples needs at least 1")
    if parsed.seed < 0:
        parser.error("--seed needs at least 0")

    def run() -> None:
        import json
        from dataclasses import asdict

        from crossrec.exploration.bandit_log import read_bandit_log
        from crossrec.exploration.off_policy import Settings
        from crossrec.runtime.files import write_text

        log = read_bandit_log(parsed.log, parsed.lists)
        found = log.values(Settings(parsed.cap, parsed.interval, parsed.resamples, parsed.seed))
        _show_values(found, log.logged.groups().max() + 1, log.logged.users_T is not None)
        if parsed.out is not None:
            content = {name: asdict(value) for name, value in found.items()}
            write_text(parsed.out, json.dumps(content, indent=2, allow_nan=False) + "\n")

    return guarded(run)


def _show_values(found: Mapping[str, PolicyValue], n_groups: int, by_user: bool) -> None:
    from rich.table import Table

    from crossrec.experiment.results import console, show

    table = Table(
        title=f"Reward per list, {found['logged'].n:,} logged lists",
        caption=f"95 % intervals over {n_groups:,} {'users' if by_user else 'lists'}; effective: sample size "
        "after weighting, at the worst rank; logged: value of the logging policy",
    )
    for name in ("estimator", "value", "95 % interval", "effective", "largest weight"):
        table.add_column(name, justify="left" if name == "estimator" else "right")
    for name, value in found.items():
        low, high = value.ci95
        cells = (f"{value.value:.4f}", f"[{low:.4f}, {high:.4f}]", f"{value.effective:,.1f}")
        table.add_row(name, *cells, f"{value.greatest_weight:,.2f}")
    console().print(table)
    for warning in dict.fromkeys(
        w for name, value in found.items() if name != "logged" for w in value.warnings
    ):
        show(f"Warning: {warning}")
