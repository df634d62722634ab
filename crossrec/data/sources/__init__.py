"""Sources: one module per data set format; all later code uses only ``Catalog`` and ``Interactions``."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

SOURCES = Family(
    "source",
    {
        "demo": "crossrec.data.sources.demo.source:DemoSource",
        "table": "crossrec.data.sources.table:TableSource",
        "frames": "crossrec.data.sources.frames:FrameSource",
        "movielens": "crossrec.data.sources.movielens:MovieLensSource",
        "amazon_reviews_2023": "crossrec.data.sources.amazon:AmazonReviews2023Source",
        "microlens": "crossrec.data.sources.microlens:MicroLensSource",
        "recbole": "crossrec.data.sources.recbole:RecBoleSource",
        "hf_dataset": "crossrec.data.sources.hf_dataset:HFDatasetSource",
    },
)
SourceOptions = Annotated[ComponentOptions, SOURCES]
