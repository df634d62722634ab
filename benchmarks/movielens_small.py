"""Modalities, fusions and language models on MovieLens latest-small: trains every variant, prints tables.

    python benchmarks/movielens_small.py --root PATH/TO/ml-latest-small [--tables NAME …] [--only TEXT]

Within a table all variants have the same data, loss and seeds; nothing is chosen on test. Finished runs are
not repeated, so the command may be stopped and started again, and several may share the work through
``--only``. Intervals are 95 % bootstraps over users of the mean over seeds, ± is the standard deviation over
seeds; coverage, gini and ild are means over seeds.

``language`` gives every model the scores of item-kNN (``neighbours``) and the same training; its variants
differ in what reads the items and what reads the history. ``decoders`` needs a GPU and is trained only when
named: whole decoders over item vectors, and over items that a second decoder reads (HLLM, Chen et al. 2024).
It runs small on a CPU with ``--set``:

    … --tables decoders --set data.cleaning.k_users=300 data.cleaning.k_items=150 trainer.epochs=1 \
        trainer.precision=no model.sequence.max_length=8 objective.negatives=16
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "movielens_small.yaml"
LLM_CONFIG = CONFIG.with_name("movielens_llm.yaml")
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

SASREC = ["model.sequence={type: sasrec, max_length: 200, layers: 2, heads: 2, dropout: 0.2}"]
FROZEN = ["model.text.training=frozen", "model.text.adapt=null"]
LANGUAGE = {
    "sasrec-ids": [*SASREC, NO_TEXT, NO_IMAGE],
    "sasrec-content": [*SASREC, *FROZEN, NO_ID],
    "sasrec": [*SASREC, *FROZEN],
    "sasrec-tuned-text": SASREC,
    "sasrec-tuned-random-text": [*SASREC, "model.text.weights=random"],
    "llm": FROZEN,
    "llm-random": [*FROZEN, "model.sequence.weights=random"],
    "llm-tuned-text": [],
    # Codes are generated, so item-kNN's scores can't be mixed in.
    "semantic-ids": [
        *FROZEN,
        "neighbours=null",
        "objective={type: full_softmax}",
        "model.sequence={type: semantic_id, codes: 64, max_length: 200, layers: 2, heads: 2, dropout: 0.2}",
    ],
}

WHOLE = "model.sequence={type: llm, weights: package:smollm2-135m, max_length: 50, lora: {r: 16, alpha: 32}}"
READ_BY_DECODER = (
    "model.text={weights: package:smollm2-135m, max_tokens: 64, training: lora, lora: {r: 16, alpha: 32}}"
)
DECODERS = {
    "sasrec": ["model.sequence.max_length=50"],
    "llm": [WHOLE],
    "sasrec-read-by-decoder": ["model.sequence.max_length=50", READ_BY_DECODER],
    "hllm": [WHOLE, READ_BY_DECODER, NO_ID],
}

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
    "language": Table([], LANGUAGE, config=LLM_CONFIG),
    "decoders": Table(["trainer.precision=bf16", NO_IMAGE], DECODERS, needs_gpu=True),
    "last1": Table(["data.split.n_last=1"], VARIANTS),
    # Without a least number of clicks for films, some are clicked for the first time in the test part.
    "last5-all-films": Table(
        ["data.cleaning.k_items=1"],
        {
            **{n: VARIANTS[n] for n in ("sasrec-id", "sasrec-text-image-gated", "sasrec-id-text-image")},
            "sasrec-id-text-image-neighbours": ["neighbours={}"],
        },
    ),
}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, SEEDS)
