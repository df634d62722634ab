"""Copies of modules that can be changed while the original is in use."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def sharing_copy(module: AnyModule, *also: object) -> AnyModule:
    """A copy whose parameters and buffers are those of the original, not copies of them.

    Args:
        module: with the weights.
        also: other objects that hang on the module and are to be shared.
    """
    shared = [*module.parameters(), *module.buffers(), *also]
    return copy.deepcopy(module, {id(thing): thing for thing in shared})
