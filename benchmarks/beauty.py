"""Sequence models and losses on Amazon Beauty by ids alone: trains every variant and prints the tables.

    python benchmarks/beauty.py --root PATH/TO/amazon-beauty [--only TEXT] [--table]

``models``: each at the settings that a search on validation gave it (docs/results.md lists the trials).
``losses``: one SASRec with every loss and balance, all else equal and nothing tuned for any of them.
Intervals are 95 % bootstraps over users of the mean over seeds, ± is the standard deviation over seeds.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "amazon_beauty.yaml"

SAMPLED = ["objective.type=sampled_softmax", "objective.negatives=2048"]
MODELS = {
    "sasrec-sampled-softmax": SAMPLED,
    "sasrec-bce": [
        "objective.type=bce",
        "model.similarity=dot",
        # Undoes the network's 1 / sqrt(D): the plain dot product of the paper.
        "objective.temperature=0.125",
        "trainer.lr=0.001",
    ],
    "esasrec": [*SAMPLED, "model.sequence.type=esasrec"],
    "hstu": [*SAMPLED, "model.sequence.type=hstu", "model.sequence.time_bias=false"],
    "gru4rec": [*SAMPLED, "model.sequence.type=gru4rec"],
    "bert4rec": [*SAMPLED, "model.sequence.type=bert4rec", "trainer.lr=0.001"],
}
LOSSES = {
    "full_softmax": ["objective.type=full_softmax"],
    "sampled_softmax-uniform": ["objective.type=sampled_softmax"],
    "sampled_softmax-popularity": ["objective.type=sampled_softmax", "objective.distribution=popularity"],
    "sampled_softmax-in_batch": ["objective.type=sampled_softmax", "objective.distribution=in_batch"],
    "sampled_softmax-mixed": [
        "objective.type=sampled_softmax",
        "objective.distribution=mixed",
        "objective.mix_with=in_batch",
    ],
    "gbce": ["objective.type=gbce"],
    "bce": ["objective.type=bce"],
    "bpr": ["objective.type=bpr"],
    "full_softmax-label_smoothing": ["objective.type=full_softmax", "objective.label_smoothing=0.1"],
    "full_softmax-inverse_propensity": [
        "objective.type=full_softmax",
        "objective.balance.type=inverse_propensity",
    ],
    "full_softmax-class_balanced": ["objective.type=full_softmax", "objective.balance.type=class_balanced"],
    "full_softmax-focal": ["objective.type=full_softmax", "objective.balance.type=focal"],
}
TABLES = {
    "models": Table([], MODELS),
    "losses": Table(["trainer.epochs=16", "trainer.eval_every=4"], LOSSES),
}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, (0, 1, 2))
