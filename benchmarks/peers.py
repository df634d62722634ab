"""crossrec beside RecTools, RecBole and RePlay on equal terms: same data, model, loss, batch, epochs, cores.

    python benchmarks/peers.py --root PATH/TO/amazon-beauty [--lengths 20 50] [--epochs 3] [--repeats 1]
    python benchmarks/peers.py --synthetic-full [--lengths 50]

Each framework is installed once into an environment of its own (exact pins: ``peer_drivers/environments.py``)
and runs in its own process. All of them read the clicks that crossrec cleaned and divided (leave-one-out: the
last click tests, the one before it trains nobody), train SASRec with full softmax, and rank the catalogue for
every test user without seen items. One scorer measures the lists that they saved. Finished runs are not
repeated, so the command may be stopped and started again. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from peer_drivers.contract import RESULT, Request
from peer_drivers.environments import DRIVERS, PEERS, InstallError, python_of
from peer_drivers.peer_data import SYNTHETIC, make_data
from peer_drivers.scoring import summarise
from peer_drivers.table import add_ratios, cells, markdown, merge_repeats, notes, show
from rich.console import Console

OURS = "crossrec"
K = 10
RANK_BATCHES = (256, 1024, 4096, 65_536)
RANK_ROUNDS = 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS")
SETUP_MINUTES = 15
"""A run is killed when it lasts twice its limit and so much longer: an epoch can't be cut short otherwise."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--root", type=Path, help="folder with Amazon Beauty's items.csv and interactions.csv"
    )
    parser.add_argument("--synthetic-full", action="store_true", help="synthetic data with little padding")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, in the order of running")
    parser.add_argument("--models", nargs="+", choices=["sasrec"], default=["sasrec"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 50])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--users", type=int, help="keep only so many users, to try things out")
    parser.add_argument("--repeats", type=int, default=1, help="every other one runs in reverse order")
    parser.add_argument("--limit-minutes", type=float, help="training ends after the epoch that passes it")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--crossrec-overrides", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--recbole-as-is", action="store_true", help="with the anomaly detection it switches on"
    )
    parser.add_argument("--again", nargs="*", metavar="PEER", help="repeat finished runs: of these, or all")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/peers"))
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter of the peers' environments"
    )
    args = parser.parse_args()
    args.peers = args.peers.split(",")
    unknown = [name for name in args.peers if name not in PEERS]
    if unknown:
        parser.error(f"unknown peer '{unknown[0]}'; valid: {', '.join(PEERS)}")
    if not args.synthetic_full and args.root is None:
        parser.error("--root PATH/TO/amazon-beauty is missing (or --synthetic-full)")
    args.work_dir = args.work_dir.resolve()
    return args


def data_name(args: argparse.Namespace) -> str:
    """What tables and files call the data: its folder's name."""
    return SYNTHETIC if args.synthetic_full else str(args.root.resolve().name)


def environment(threads: int) -> dict[str, str]:
    """The same number of threads for everyone, no graphics card, nobody's user packages."""
    own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    same = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**own, **same, "CUDA_VISIBLE_DEVICES": "", "PYTHONNOUSERSITE": "1"}


def run_peer(name: str, request: Request, args: argparse.Namespace) -> None:
    """Runs one driver where its result is missing; what goes wrong becomes the result."""
    out = Path(request.out)
    result = out / RESULT
    again = args.again is not None and (not args.again or name in args.again)
    if result.exists() and not again:
        found = json.loads(result.read_text())
        if "error" not in found and found["request"] == json.loads(json.dumps(asdict(request))):
            return
    # What a killed run left, too: a framework that resumes from its checkpoint would be timed wrongly.
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "request.json").write_text(json.dumps(asdict(request), indent=2))
    limit = None if request.limit_seconds is None else 2 * request.limit_seconds + 60 * SETUP_MINUTES
    reason = None
    try:
        python = python_of(name, args.work_dir, args.peer_python)
        with (out / "output.log").open("w") as log:
            subprocess.run(
                [str(python), str(DRIVERS / PEERS[name].driver), str(out / "request.json")],
                cwd=out,
                env=environment(request.threads),
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=limit,
            )
    except InstallError as error:
        reason = str(error)
    except subprocess.TimeoutExpired:
        reason = f"killed after {limit or 0:.0f} s: no epoch ended in time"
    if not result.exists():
        reason = reason or f"ended without a result: {last_line(out / 'output.log')}"
        result.write_text(json.dumps({"request": asdict(request), "error": reason}))


def last_line(log: Path) -> str:
    """What a driver said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else "no output")[:300]


def requests(args: argparse.Namespace, data: Path, length: int) -> list[tuple[str, Request]]:
    """All runs of one table in the order of running."""
    common = Request(
        data=str(data),
        out="",
        length=length,
        width=64,
        blocks=2,
        heads=args.heads,
        dropout=0.2,
        batch=128,
        epochs=args.epochs,
        lr=args.lr,
        seed=0,
        threads=args.threads,
        limit_seconds=None if args.limit_minutes is None else 60 * args.limit_minutes,
        k=K,
        rank_batches=RANK_BATCHES,
        rank_rounds=RANK_ROUNDS,
        recbole_as_is=args.recbole_as_is,
    )
    planned = []
    for repeat in range(args.repeats):
        for name in args.peers if repeat % 2 == 0 else reversed(args.peers):
            overrides = tuple(args.crossrec_overrides) if name == OURS else ()
            setting = "-".join(
                ["sasrec", f"L{length}", f"e{args.epochs}", f"lr{args.lr:g}", f"h{args.heads}"]
            )
            folder = args.work_dir / "results" / data.name / setting / f"{name}-{repeat}"
            planned.append((name, replace(common, out=str(folder), seed=repeat, overrides=overrides)))
    return planned


def compare(args: argparse.Namespace, length: int, console: Console) -> tuple[dict[str, Any], str]:
    """Runs everything at one length; the rows, and the table as Markdown."""
    name = data_name(args)
    folder = args.work_dir / "data" / (f"{name}-{args.users}" if args.users else name)
    data = make_data(name, folder, args.root, args.users)
    runs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in args.peers}
    for peer, request in requests(args, folder, length):
        console.print(f"{peer}: length {length}, seed {request.seed} …", highlight=False)
        run_peer(peer, request, args)
        runs[peer].append(summarise(Path(request.out), data))
    rows = {peer: merge_repeats(found) for peer, found in runs.items()}
    add_ratios(rows, OURS)
    titles = {peer: PEERS[peer].title for peer in rows}
    users = f"{len(data.split.clicks):,} users, {len(data.catalog):,} items"
    caption = f"{data.name}{f' ({data.note})' if data.note else ''}, {users}: SASRec, length {length}, "
    caption += f"{args.epochs} epochs, lr {args.lr:g}, {args.threads} threads, {args.repeats} repeats"
    lines = [cells(titles[peer], row) for peer, row in rows.items()]
    remarks = notes(titles, rows)
    show(console, caption, lines, remarks)
    return {"caption": caption, "rows": rows, "runs": runs}, markdown(caption, lines, remarks)


def main() -> None:
    """Compares at every length; writes ``peers-<data>.json`` and ``.md`` into the work folder."""
    args = arguments()
    console = Console() if sys.stdout.isatty() else Console(width=200)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    found = [compare(args, length, console) for length in args.lengths]
    stem = f"peers-{data_name(args)}{f'-{args.users}' if args.users else ''}"
    (args.work_dir / f"{stem}.json").write_text(json.dumps([rows for rows, _ in found], indent=2))
    (args.work_dir / f"{stem}.md").write_text("\n".join(text for _, text in found))
    console.print(f"Written: {args.work_dir / stem}.md and .json", highlight=False)


if __name__ == "__main__":
    main()
