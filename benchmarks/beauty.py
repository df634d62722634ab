"""Sequence models on Amazon Beauty, by ids and with titles: trains every variant and prints tables.

    python benchmarks/beauty.py --root PATH/TO/amazon-beauty [--tables NAME …] [--only TEXT] [--table]

``models`` has ids alone. Its settings were searched on validation (``searches/amazon_beauty.jsonl``), mostly
with SASRec, sampled softmax; the other architectures take what was best for SASRec, except where a comment
says so. ``narrow`` is the size that most papers use.

``language`` needs ``items_with_titles.csv``, which is ``items.csv`` with a column ``title``. All its variants
have the same training, smoothed ids, and the scores of item-kNN (``neighbours``); they differ in what reads
the titles and what reads the history. ``decoders`` needs a GPU and is trained only when named: whole decoders
over item vectors, and over items that a second decoder reads (HLLM, Chen et al. 2024).

Finished runs are not repeated. Intervals are 95 % bootstraps over users of the mean over seeds, ± is the
standard deviation over seeds.
"""

from __future__ import annotations

from pathlib import Path

from comparison import Table, main

CONFIG = Path(__file__).parents[1] / "configs" / "amazon_beauty.yaml"
TITLES = CONFIG.with_name("amazon_beauty_titles.yaml")

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
FROZEN = ["model.text.training=frozen", "model.text.adapt=null"]
NO_ID = ["model.item_id=false", "model.smoothing=null"]
DECODER = [
    "model.sequence={type: llm, weights: package:smollm2-135m, layers: 1, max_length: 50, dropout: 0.4, "
    "lora: {r: 8, alpha: 16, dropout: 0.0}}"
]
LANGUAGE = {
    "sasrec-ids": ["model.text=null", "model.smoothing.similarity=clicks", "model.item_dropout=0"],
    "sasrec-titles": [*NO_ID, *FROZEN],
    "sasrec": FROZEN,
    "sasrec-tuned-titles": [],
    "sasrec-tuned-random-titles": ["model.text.weights=random"],
    "sasrec-tuned-titles-alone": NO_ID,
    "llm-tuned-titles": DECODER,
    # Codes are generated, so item-kNN's scores can't be mixed in.
    "semantic-ids": [
        *FROZEN,
        "neighbours=null",
        "model.smoothing=null",
        "objective={type: full_softmax}",
        "model.sequence={type: semantic_id, codes: 128, max_length: 50, layers: 2, heads: 2, dropout: 0.4}",
    ],
}

WHOLE = "model.sequence={type: llm, weights: package:smollm2-135m, max_length: 50, lora: {r: 16, alpha: 32}}"
READ_BY_DECODER = (
    "model.text={weights: package:smollm2-135m, max_tokens: 32, training: lora, adapt: null, "
    "lora: {r: 16, alpha: 32}}"
)
DECODERS = {
    "sasrec": FROZEN,
    "llm": [*FROZEN, WHOLE],
    "sasrec-read-by-decoder": [*NO_ID, READ_BY_DECODER],
    "hllm": [*NO_ID, READ_BY_DECODER, WHOLE],
}
TABLES = {
    "models": Table([], MODELS),
    "language": Table([], LANGUAGE, config=TITLES),
    "decoders": Table(["trainer.precision=bf16"], DECODERS, needs_gpu=True, config=TITLES),
}

if __name__ == "__main__":
    main(__doc__.split("\n")[0], CONFIG, TABLES, (0, 1, 2))
