"""The only place with collectives. Everything works unchanged in a single process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.runtime.peers import PeerGoneError, Peers, gone
from crossrec.types import InputError

if TYPE_CHECKING:
    from torch import nn


_peers: Peers | None = None


def watch(seconds: float) -> None:
    """Ends this process, with a message, once another one has given no sign of life for some seconds.

    Needs the store of a launcher (``MASTER_ADDR``); process groups made otherwise have their time-out alone.
    """
    global _peers  # as the process group is one for the whole process
    if _active() and _peers is None and world_size() > 1 and "MASTER_ADDR" in os.environ:
        _peers = Peers(rank(), world_size(), seconds)


def unwatch() -> None:
    """Tells the others that this process ends of itself."""
    global _peers
    if _peers is not None:
        _peers.leave()
        _peers = None


@contextmanager
def explained(seconds: float) -> Iterator[None]:
    """Says in plain words that a collective failed because another process is gone.

    Args:
        seconds: after which collectives give up.

    Raises:
        PeerGoneError: it failed.
    """
    try:
        yield
    except RuntimeError as error:
        import torch.distributed

        if world_size() > 1 and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise PeerGoneError(f"{gone('another process', seconds)} ({error})") from error
        raise


def rank() -> int:
    """This process's number, 0 for the main one."""
    return _group().get_rank() if _active() else 0


def world_size() -> int:
    """How many processes work together."""
    return _group().get_world_size() if _active() else 1


def launched() -> int:
    """How many processes the launcher started, told by its environment before they find each other."""
    return int(os.environ.get("WORLD_SIZE") or "1")


def require_one_process(what: str) -> None:
    """Refuses to run under a launcher that started several processes.

    Args:
        what: runs alone, such as ``a trade-off study``.

    Raises:
        InputError: several processes were started.
    """
    found = max(launched(), world_size())
    if found > 1:
        raise InputError(
            f"{what} runs in one process, but the launcher started {found}; start it without accelerate "
            "launch or torchrun (train.py may train the runs with them first)"
        )


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Waits until every process is here; one may have hours of work, as long as all give signs of life."""
    if _peers is not None:
        _peers.barrier()
    elif _active():
        _group().barrier()


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """Concatenates every process's rows, in order of rank; the same result on every process."""
    return np.concatenate(gather_objects(rows)) if _active() else rows


def gather_objects(value: Any) -> list[Any]:
    """Every process's value, in order of rank, on every process."""
    if not _active():
        return [value]
    gathered: list[Any] = [None] * world_size()
    _group().all_gather_object(gathered, value)
    return gathered


def share_buffers(module: nn.Module) -> None:
    """Gives every process the main one's buffers, in place: tables computed on unlike machines may differ."""
    if not _active():
        return
    import torch

    for buffer in module.buffers():
        # gloo has no bool.
        _group().broadcast(buffer.view(torch.uint8) if buffer.dtype == torch.bool else buffer, 0)


def shard(n: int) -> slice:
    """This process's contiguous share of n rows; gathering the shares in rank order restores them."""
    bounds = np.linspace(0, n, world_size() + 1).astype(int)
    return slice(int(bounds[rank()]), int(bounds[rank() + 1]))


def _group() -> Any:
    import torch.distributed

    return torch.distributed


def _active() -> bool:
    import sys

    if "torch" not in sys.modules:
        return False
    group = _group()
    return bool(group.is_available() and group.is_initialized())
