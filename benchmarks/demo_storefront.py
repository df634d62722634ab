"""The demo's decoder beside like models: trains every variant with three seeds and prints one table.

    python benchmarks/demo_storefront.py [--only TEXT] [--table]

Each variant differs from configs/demo.yaml in one thing. SASRec has one layer, as the decoder has; the
student is that SASRec, distilled from the decoder. Each run also measures its network without the scores of
item-kNN, and the first one the tuned baselines. Finished runs are not repeated. Differences over all seeds,
in a shell that expands braces:

    crossrec compare --group runs/demo_storefront/demo.{sasrec,llm}.{0,1,2}

The storefront is generated; nothing is chosen on test.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "demo.yaml"
SEEDS = (0, 1, 2)
RUNS = Path("runs") / "demo_storefront"  # runs/demo is the run of make train
SASREC = ["model.sequence={type: sasrec, layers: 1, max_length: 30, dropout: 0.0}"]
IDS = ["model.text=null", "model.image=null"]

VARIANTS: dict[str, list[str]] = {
    "llm": [],
    "sasrec": SASREC,
    "llm-random-weights": ["model.sequence.weights=random"],
    "sasrec-ids": [*SASREC, *IDS],
    "llm-no-bonus": ["neighbours.cold_bonus=0"],
    "llm-no-shrinkage": ["neighbours.shrinkage=0"],
    "llm-text": ["model.image=null"],
    "llm-image": ["model.text=null"],
    "student": [*SASREC, "distil={teacher: RUN/llm, weight: 0.3}"],
}
TABLES = {"demo": Table([], VARIANTS)}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, SEEDS, RUNS, needs_root=False)
