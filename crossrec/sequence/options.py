"""Names that configurations choose parts by."""

from __future__ import annotations

from typing import Literal

Positions = Literal["learned", "rotary", "none"]
Norm = Literal["layer", "rms"]
Activation = Literal["relu", "gelu", "swiglu"]
