"""Modalities, fusions and the LLM on MovieLens latest-small: trains every variant and prints one table.

    python benchmarks/movielens_small.py --root PATH/TO/ml-latest-small [--only TEXT] [--table]

All variants have the same data, loss and seeds; nothing is chosen on test. Finished runs are not repeated,
so the command may be stopped and started again, and several may share the work through ``--only``.
Intervals are 95 % bootstraps over users of the mean over seeds, ± is the standard deviation over seeds;
coverage, gini and ild are means over seeds.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "movielens_small.yaml"
SEEDS = (0, 1, 2)
NO_TEXT, NO_IMAGE, NO_ID = "model.text=null", "model.image=null", "model.item_id=false"
LLM = [
    "model.sequence.type=llm",
    "model.sequence.layers=1",
    "model.sequence.max_length=50",
    "trainer.epochs=10",
    "trainer.lr=0.003",
    "trainer.encoder_lr=0.001",
    "trainer.eval_every=5",
]

VARIANTS: dict[str, list[str]] = {
    "sasrec-id": [NO_TEXT, NO_IMAGE],
    "sasrec-text": [NO_ID, NO_IMAGE],
    "sasrec-image": [NO_ID, NO_TEXT],
    "sasrec-text-image-concat": [NO_ID, "model.fusion.type=concat"],
    "sasrec-text-image-weighted": [NO_ID, "model.fusion.type=weighted"],
    "sasrec-text-image-attention": [NO_ID, "model.fusion.type=attention"],
    "sasrec-text-image-gated": [NO_ID, "model.fusion.type=gated"],
    "sasrec-id-text-image": [],
    "llm-lora-id-text-image": LLM,
}
TABLES = {
    "last5": Table([], VARIANTS),
    "last1": Table(["data.split.n_last=1"], VARIANTS),
    # Without a least number of clicks for films, some are clicked for the first time in the test part.
    "last5-all-films": Table(
        ["data.cleaning.k_items=1"],
        {name: VARIANTS[name] for name in ("sasrec-id", "sasrec-text-image-gated", "sasrec-id-text-image")},
    ),
}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, SEEDS)
