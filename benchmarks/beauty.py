"""Sequence models on Amazon Beauty by ids alone: trains every variant and prints one table.

    python benchmarks/beauty.py --root PATH/TO/amazon-beauty [--only TEXT] [--table]

Settings were searched on validation (``searches/amazon_beauty.jsonl``), mostly with SASRec, sampled softmax;
the other architectures take what was best for SASRec, except where a comment says so. ``narrow`` is the size
that most papers use. Intervals are 95 % bootstraps over users of the mean over seeds, ± is the standard
deviation over seeds.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "amazon_beauty.yaml"

PLAIN = ["model.smoothing=null", "objective.label_smoothing=0"]
NARROW = ["model.width=64", "model.sequence.dropout=0.3", "trainer.lr=0.004"]
MODELS = {
    "sasrec": [],
    "sasrec-unsmoothed": PLAIN,
    "sasrec-narrow": NARROW,
    "sasrec-narrow-unsmoothed": [*NARROW, *PLAIN],
    # Chosen by hand on validation: it learns slowly, and takes no label smoothing.
    "sasrec-narrow-bce": [
        *NARROW,
        "model.smoothing=null",
        "objective.type=bce",
        "model.similarity=dot",
        "model.sequence.dropout=0.5",
        "trainer.lr=0.003",
        "trainer.weight_decay=0",
        "trainer.epochs=100",
        "trainer.eval_every=10",
    ],
    # Its own heads; times are not known here.
    "hstu": ["model.sequence.type=hstu", "model.sequence.time_bias=false", "model.sequence.heads=2"],
    "esasrec": ["model.sequence.type=esasrec"],
    "gru4rec": ["model.sequence.type=gru4rec"],
    # A smaller rate by guess: it was not searched.
    "bert4rec": ["model.sequence.type=bert4rec", "trainer.lr=0.001"],
}
TABLES = {"models": Table([], MODELS)}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, (0, 1, 2))
