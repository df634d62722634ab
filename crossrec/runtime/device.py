"""Where models run."""

from __future__ import annotations

import torch

from crossrec.types import InputError

AUTO = "auto"


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is the GPU where there is one.

    Raises:
        InputError: no such device here.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # A name may be well formed and the device still not be there.
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device: '{name}' can't be used here ({reason}); say auto, cpu or cuda") from error
    return device
