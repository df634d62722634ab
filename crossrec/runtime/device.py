"""Devices, their memory, and reuse of freed memory."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

from crossrec.types import InputError

AUTO = "auto"


def pick_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is the GPU where there is one.

    Raises:
        InputError: if there is no such device here.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # A name may be valid and the device still missing.
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device: '{name}' can't be used here ({reason}); use auto, cpu or cuda") from error
    return device


def computes_bf16(precision: str, device: torch.device) -> bool:
    """Return whether matrices are multiplied in bf16.

    Args:
        precision: ``bf16``, ``fp32``, or ``auto`` for bf16 where the hardware supports it natively.
        device: device of the matrices.
    """
    if precision != AUTO:
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


_M_TRIM_THRESHOLD = -1


_M_MMAP_THRESHOLD = -3


_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files of containers' limits (cgroups, versions 2 and 1)."""


def memory_of(device: torch.device) -> int:
    """Return a device's memory in bytes; of the CPU, what this container may use."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, _GROUP_LIMITS):
        limit = path.read_text().strip() if path.exists() else ""
        if limit.isdecimal():
            there = min(there, int(limit))
    return there


def keep_freed_memory() -> bool:
    """Make glibc reuse large freed blocks instead of returning them to the system.

    A training step allocates the same large tensors repeatedly; fresh pages cost more than the arithmetic
    on them. Returns False if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    limit = 2**31 - 1
    return bool(mallopt(_M_MMAP_THRESHOLD, limit)) and bool(mallopt(_M_TRIM_THRESHOLD, limit))
