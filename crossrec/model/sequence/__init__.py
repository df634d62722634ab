"""Sequence models: the vectors of clicked items in, one hidden state per position out."""

from typing import Annotated

from crossrec.config import Family
from crossrec.model.sequence.base import SequenceModelOptions

SEQUENCE_MODELS = Family(
    "sequence model",
    {
        "sasrec": "crossrec.model.sequence.sasrec:SASRec",
        "esasrec": "crossrec.model.sequence.esasrec:ESASRec",
        "bert4rec": "crossrec.model.sequence.bert4rec:BERT4Rec",
        "hstu": "crossrec.model.sequence.hstu:HSTU",
        "gru4rec": "crossrec.model.sequence.gru4rec:GRU4Rec",
        "llm": "crossrec.model.sequence.llm:LLMSequenceModel",
        "semantic_id": "crossrec.model.sequence.semantic_id:SemanticId",
    },
)
SequenceOptions = Annotated[SequenceModelOptions, SEQUENCE_MODELS]
