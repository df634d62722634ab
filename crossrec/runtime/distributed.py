"""All collectives over processes; they work unchanged in a single process.

Processes send heartbeats, so that none waits forever for a dead one.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from crossrec.types import InputError

if TYPE_CHECKING:
    from torch import nn


_peers: Peers | None = None


def watch(seconds: float) -> None:
    """End this process, with a message, once another one has sent no heartbeat for some seconds.

    This needs the store of a launcher (``MASTER_ADDR``); other process groups have only their timeout.
    """
    global _peers  # as the process group is one for the whole process
    if _active() and _peers is None and world_size() > 1 and "MASTER_ADDR" in os.environ:
        _peers = Peers(rank(), world_size(), seconds)


def unwatch() -> None:
    """Tell the other processes that this one ends normally."""
    global _peers
    if _peers is not None:
        _peers.leave()
        _peers = None


@contextmanager
def explained(seconds: float) -> Iterator[None]:
    """Translate a failure of a collective in the block into a message that another process is gone.

    Args:
        seconds: timeout of collectives.

    Raises:
        PeerGoneError: if it failed.
    """
    try:
        yield
    except RuntimeError as error:
        import torch.distributed

        if world_size() > 1 and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise PeerGoneError(f"{gone('another process', seconds)} ({error})") from error
        raise


def rank() -> int:
    """Return this process's number, 0 for the main one."""
    return _group().get_rank() if _active() else 0


def world_size() -> int:
    """Return the number of processes that work together."""
    return _group().get_world_size() if _active() else 1


def launched() -> int:
    """Return the number of processes that the launcher started, from its environment."""
    return int(os.environ.get("WORLD_SIZE") or "1")


def require_one_process(what: str) -> None:
    """Check that the launcher started only one process.

    Args:
        what: name of the work, such as ``a trade-off study``.

    Raises:
        InputError: if several processes were started.
    """
    found = max(launched(), world_size())
    if found > 1:
        raise InputError(
            f"{what} runs in one process, but the launcher started {found}; start it without accelerate "
            "launch or torchrun (train.py may train the runs with them first)"
        )


def is_main() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Wait for every process; one may have hours of work, as long as all send heartbeats."""
    if _peers is not None:
        _peers.barrier()
    elif _active():
        _group().barrier()


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """Concatenate every process's rows, in order of rank; the same result on every process."""
    return np.concatenate(gather_objects(rows)) if _active() else rows


def gather_objects(value: Any) -> list[Any]:
    """Return every process's value, in order of rank, on every process."""
    if not _active():
        return [value]
    gathered: list[Any] = [None] * world_size()
    _group().all_gather_object(gathered, value)
    return gathered


def share_buffers(module: nn.Module) -> None:
    """Copy the main process's buffers to all, in place: tables computed on unlike machines may differ."""
    if not _active():
        return
    import torch

    for buffer in module.buffers():
        # gloo has no bool.
        _group().broadcast(buffer.view(torch.uint8) if buffer.dtype == torch.bool else buffer, 0)


def shard(n: int) -> slice:
    """Return this process's contiguous share of n rows; concatenating the shares by rank restores them."""
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


BEATS = 10
"""Number of heartbeats within the time after which a process counts as gone."""


MOST_BETWEEN_S = 5.0
"""Maximum time between two heartbeats, seconds."""


class PeerGoneError(InputError):
    """Error: another process of this training has ended."""


class Peers:
    """Processes of one training, each of which sends heartbeats through the launcher's store.

    A process that is stopped or whose machine is gone leaves the others inside a collective, which Python
    can't interrupt. Therefore a thread ends this process, with a message, once another one has been silent
    for too long. A process that is busy for hours while others wait for it still sends heartbeats.

    Args:
        rank, world: number of this process, and number of processes.
        seconds: seconds of silence after which a process counts as gone.
    """

    _made = 0

    def __init__(self, rank: int, world: int, seconds: float) -> None:
        from torch.distributed import TCPStore

        self.rank, self.world, self.seconds = rank, world, seconds
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # A separate connection: another thread may block that of the process group while it waits.
        self._store: Any = TCPStore(
            address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=seconds)
        )
        Peers._made += 1  # every process makes them in the same order
        self._prefix = f"crossrec/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{Peers._made}"
        self._others = [other for other in range(world) if other != rank]
        self._beats = dict.fromkeys(self._others, 0)
        self._heard = dict.fromkeys(self._others, time.monotonic())
        self._names: dict[int, str] = {}
        self._answered = time.monotonic()
        self._barriers = 0
        self._end = threading.Event()
        self._store.set(
            f"{self._prefix}/name/{rank}", f"process {rank} ({os.getpid()} on {socket.gethostname()})"
        )
        for work in (self._beat, self._judge):
            threading.Thread(target=work, daemon=True).start()
        atexit.register(self.leave)

    def barrier(self) -> None:
        """Wait for every process, as long as all send heartbeats.

        Raises:
            PeerGoneError: if one has ended.
        """
        self._barriers += 1
        key, pause = f"barrier/{self._barriers}", 0.001
        self._add(key, 1)
        while self._add(key, 0) < self.world:
            for other in self._others:
                if self._add(f"left/{other}", 0) and self._add(key, 0) < self.world:
                    raise PeerGoneError(f"{self._name(other)} has ended; its own output says why")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def leave(self) -> None:
        """Tell the other processes that this one ends normally."""
        if not self._end.is_set():
            self._end.set()
            atexit.unregister(self.leave)
            thread = threading.Thread(target=self._quietly, args=(lambda: self._add(f"left/{self.rank}", 1),))
            thread.daemon = True
            thread.start()
            thread.join(5)

    def _name(self, other: int) -> str:
        return self._names.get(other, f"process {other}")

    def _add(self, key: str, amount: int) -> int:
        return int(self._store.add(f"{self._prefix}/{key}", amount))

    @staticmethod
    def _quietly(work: Callable[[], object]) -> bool:
        """Return whether some work with the store could be done; it ends with the process that holds it."""
        try:
            work()
        except Exception:  # torch raises many classes for a broken connection
            return False
        return True

    def _beat(self) -> None:
        while self._quietly(self._listen):
            if self._end.wait(min(self.seconds / BEATS, MOST_BETWEEN_S)):
                return
        self._end.set()

    def _listen(self) -> None:
        self._add(f"beat/{self.rank}", 1)
        for other in self._others:
            if other not in self._names and self._store.check([f"{self._prefix}/name/{other}"]):
                self._names[other] = self._store.get(f"{self._prefix}/name/{other}").decode()
            beats, now = self._add(f"beat/{other}", 0), time.monotonic()
            if beats != self._beats[other] or self._add(f"left/{other}", 0):
                self._beats[other], self._heard[other] = beats, now
        self._answered = time.monotonic()

    def _judge(self) -> None:
        while not self._end.wait(min(self.seconds / BEATS, MOST_BETWEEN_S)):
            now = time.monotonic()
            silent = [self._name(o) for o, heard in self._heard.items() if now - heard > self.seconds]
            if now - self._answered > self.seconds:
                silent = silent[:1] or ["the process that the others meet through"]
            if silent and not self._end.is_set():
                sys.stderr.write(f"error: {gone(' and '.join(silent), self.seconds)}\n")
                sys.stderr.flush()
                # The main thread is inside a collective, which nothing else interrupts.
                os._exit(1)


def gone(who: str, seconds: float) -> str:
    """Return the message about a process that is silent."""
    return (
        f"{who} has given no sign of life for {seconds:g} seconds: it was stopped or killed, or its machine "
        "is gone. This process ends, too. End the others and start the same command again: it resumes from "
        "the latest checkpoint. If the network alone was slow, raise trainer.collective_timeout"
    )
