"""Parallelism: a task is wrapped here for several processes and mixed precision, and nowhere else."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from crossrec.runtime import distributed
from crossrec.training.config import TrainerConfig
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


logger = logging.getLogger(__name__)


def build_accelerator(config: TrainerConfig, run_folder: Path) -> Accelerator:
    """Build an Accelerator for the processes that ``accelerate launch`` or ``torchrun`` started.

    Raises:
        InputError: if the launcher requests sharded parameters.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs

    if config.precision == "bf16" and not torch.cuda.is_available() and not _cpu_multiplies_bf16():
        logger.warning(
            "trainer.precision=bf16, but this processor has no bf16 arithmetic: far slower than precision=no"
        )
    # A process whose share of a step holds no picture (or no text) leaves that encoder unused.
    # Buffers are shared once, after wrapping: none changes in training, not even those of batch norms.
    wrapping = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    # Silent processes are reported earlier and by name; this is for a deadlock among live ones.
    patience = config.collective_timeout + 10
    accelerator = Accelerator(
        mixed_precision=config.precision,
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=str(run_folder),
        kwargs_handlers=[wrapping, InitProcessGroupKwargs(timeout=timedelta(seconds=patience))],
    )
    sharded = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
    if accelerator.distributed_type in sharded:
        raise InputError(
            f"training under {accelerator.distributed_type.value} is not supported: every process holds the "
            "whole model (DDP); launch with configs/accelerate/ddp.yaml"
        )
    distributed.watch(config.collective_timeout)
    return accelerator


def _cpu_multiplies_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def parallelize(
    accelerator: Accelerator, task: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Move the task to its device and wrap it (DDP) if there are several processes."""
    prepared = accelerator.prepare(task, optimizer)
    distributed.share_buffers(prepared[0])
    return prepared[0], prepared[1]
