"""Models from short settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from crossrec.model.sequence import SequenceOptions
from crossrec.model.sequence.base import SequenceModel

WIDTH = 16


@pytest.fixture
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., SequenceModel]:
    """``build(settings, seed=0, **changes)``: a model of width 16; decoders are the tiny one."""

    def make(settings: dict[str, Any], seed: int = 0, **changes: Any) -> SequenceModel:
        settings = {"max_length": 9, **settings, **changes}
        if settings["type"] == "llm":
            settings["weights"] = str(request.getfixturevalue("tiny_llama"))
        torch.manual_seed(seed)
        return TypeAdapter(SequenceOptions).validate_python(settings).build(WIDTH, tmp_path)

    return make
