"""Every loss on one model: SASRec by ids alone on MovieLens latest-small, each user's last five films.

    python benchmarks/losses.py --root PATH/TO/ml-latest-small [--only TEXT] [--table]

All else is equal: learning rate, epochs, dropout and scale were chosen for the sampled softmax with even
negatives and for no other loss. Intervals are 95 % bootstraps over users of the mean over seeds, ± is the
standard deviation over seeds.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "movielens_small.yaml"

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
TABLES = {"losses": Table(["model.text=null", "model.image=null", "baselines=[]"], LOSSES)}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, (0, 1, 2))
