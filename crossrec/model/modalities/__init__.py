"""Modalities: what an item is known by. The model's configuration names any number of them."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

MODALITIES = Family(
    "modality",
    {
        "text": "crossrec.model.modalities.text:Text",
        "image": "crossrec.model.modalities.image:Image",
        "frames": "crossrec.model.modalities.frames:Frames",
        "vectors": "crossrec.model.modalities.vectors:Vectors",
        "columns": "crossrec.model.modalities.columns:TableColumns",
        "id": "crossrec.model.modalities.item_id:ItemId",
        "group": "crossrec.model.modalities.item_group:ItemGroup",
    },
)
ModalityOptions = Annotated[ComponentOptions, MODALITIES]
