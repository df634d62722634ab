"""The command line of a trained recommender; heavy libraries are imported after parsing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.cli.guard import add_trust, guarded

if TYPE_CHECKING:
    from crossrec.serving.results import Recommendations


def recommend(arguments: Sequence[str] | None = None) -> int:
    """``crossrec recommend RUN (--user U | --history A B … | --out FILE) [-k 10] [--rerank mmr]``."""
    parser = argparse.ArgumentParser(
        prog="crossrec recommend",
        description="Lists for one user or history as a table, or for all users as a Parquet file.",
    )
    parser.add_argument("run", help="a run folder, a folder of save_pretrained, or user/name on the hub")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", help="a user of the log")
    whose.add_argument("--history", nargs="+", metavar="ITEM", help="item ids, oldest first")
    parser.add_argument("--out", type=Path, help="a Parquet file: the lists of all users of the log")
    parser.add_argument("-k", type=int, default=10, help="length of a list")
    parser.add_argument("--rerank", help="a reranker such as mmr, or 'run' for the run's own")
    parser.add_argument("--strength", type=float, help="of the reranker, 0 to 1: its key diversity")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("overrides", nargs="*", help="of a run's configuration, such as data.root=FOLDER")
    add_trust(parser)
    parsed = parser.parse_intermixed_args(arguments)
    asked = parsed.user is not None or parsed.history is not None
    if asked == (parsed.out is not None):
        parser.error("say whose list: --user, --history, or --out for all users")
    if parsed.strength is not None and parsed.rerank is None:
        parser.error("--strength needs --rerank")

    def run() -> None:
        import crossrec
        from crossrec.experiment.tables import show

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

    from crossrec.experiment.tables import console

    table = Table(title=Text(title))
    for name in ("rank", "item", "score", "title", "categories", "price"):
        table.add_column(name, justify="right" if name in ("rank", "score", "price") else "left")
    for place in found.details():
        price = "" if place["price"] is None else f"{place['price']:,.2f}"
        cells = [place["rank"], place["item_id"], f"{place['score']:.4f}", place["title"] or ""]
        cells += [", ".join(place["categories"] or []), price]
        # As texts: a title may hold what rich would take for markup.
        table.add_row(*(Text(str(cell)) for cell in cells))
    console().print(table)
