"""Tuning of an item encoder on training clicks, before the sequence model is trained."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from crossrec.config import Config
from crossrec.encoders.base import Encoder
from crossrec.random import hash_ids
from crossrec.runtime import distributed
from crossrec.runtime.device import AUTO, pick_device
from crossrec.runtime.files import atomic_path, is_sound, write_checksum
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError, Sequences

logger = logging.getLogger(__name__)

VERSION = 1
"""Part of the key of tuned weights: raised when the same options give other weights."""

ENCODED = 64
"""Number of items per forward pass; those of a step are sorted by length first."""

PARTNERS = 3
"""Maximum number of co-clicked items that a step encodes beside an item, so that both get a gradient."""

WARMUP, FINAL, WEIGHT_DECAY, CLIP = 0.05, 0.05, 0.01, 1.0


class AdaptOptions(Config):
    """Tuning of an encoder on co-clicks, once, before the sequence model is trained.

    Items that the same user clicked at most ``window`` places apart in the training split are positive
    pairs. The loss is InfoNCE over the cosines of the encoder's vectors; all other items that are not
    co-clicked with the anchor are its negatives. Each step encodes ``batch_size`` items and compares them
    with each other and with the latest vectors of ``negatives`` more, so that an epoch encodes each item
    once. Negatives are drawn uniformly, so that they need no correction by popularity.

    Source:
        Oord et al. 2018, "Representation learning with contrastive predictive coding" (InfoNCE); Wang et al.
        2020, "Cross-batch memory for embedding learning" (vectors of earlier steps as negatives); Chen et al.
        2024, "HLLM", where an item encoder that is tuned once and cached keeps most of the gain; He et al.
        2025, "LLM2Rec", which tunes on co-clicks.
    """

    objective: Literal["co_clicks"] = "co_clicks"
    epochs: int = Field(4, ge=1, le=10_000, description="times that each item is encoded")
    lr: float = Field(1e-4, gt=0, le=100, description="rate of AdamW, with warmup and cosine decay")
    batch_size: int = Field(256, ge=2, le=1_000_000, description="items encoded per step")
    negatives: int = Field(
        8_192, ge=1, le=100_000_000, description="further items per step, by their latest vectors"
    )
    window: int = Field(3, ge=1, le=10_000, description="largest distance of two clicks that make a pair")
    temperature: float = Field(0.05, gt=0, le=1_000, description="divisor of the cosine")
    popularity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of an item's log popularity that is added to its logits, so that its vector need "
        "not hold it",
    )
    seed: int = Field(0, ge=0, description="seed of the tuning; runs with other seeds share its result")


@dataclass(frozen=True)
class ItemInputs:
    """Raw inputs of an encoder for N items.

    Args:
        item_ids: N ids.
        keys: N digests of the raw inputs; None for an item without any.
        present_N: (N,) bool, items with an input that can be read.
        load: function from item indices to the encoder's input tensors.
    """

    item_ids: np.ndarray
    keys: Sequence[str | None]
    present_N: np.ndarray
    load: Callable[[np.ndarray], dict[str, Tensor]]


def adapt(
    encoder: Encoder,
    options: AdaptOptions,
    items: ItemInputs,
    train: Sequences,
    folder: Path,
    *,
    name: str,
) -> None:
    """Tune the encoder's trained parameters in place; every process must call this.

    The main process tunes, unless the folder has the weights that the same encoder, options, items and
    training clicks gave. The parameters require no gradient afterwards.

    Args:
        encoder: encoder with trained parameters: finetuned, or with adapters.
        options: objective and steps.
        items: raw inputs of the catalogue.
        train: training clicks, one row per user.
        folder: folder of tuned weights, shared by all processes.
        name: name of the modality, for messages.

    Raises:
        InputError: if no two items with an input were clicked by the same user.
    """
    pairs = co_clicks(train, items.present_N, options.window)
    if pairs.nnz == 0:
        raise InputError(
            f"model.modalities.{name}.adapt: no user has training clicks on two items with {name} at most "
            f"{options.window} places apart, so there is nothing to tune on: set adapt=null"
        )
    path = folder / f"{tuning_key(encoder, options, items, train)}.safetensors"
    try:
        if distributed.is_main() and not is_sound(path):
            _tune(encoder, options, items, pairs, name)
            _write(encoder, path)
    finally:
        distributed.barrier()  # also after an error, so that no process waits
    load_tuned(encoder, _read(path))


def load_tuned(encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Load tuned weights by name; no parameter requires a gradient afterwards."""
    encoder.load_state_dict(tensors, strict=False)
    encoder.requires_grad_(False)
    encoder.eval()


def tuning_key(encoder: Encoder, options: AdaptOptions, items: ItemInputs, train: Sequences) -> str:
    """Return a digest of everything that tuned weights depend on, whatever the order of the catalogue.

    Args:
        encoder: encoder before the tuning.
        options: objective and steps.
        items: raw inputs.
        train: training clicks.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(
        f"{VERSION}|{encoder.identity}|{sorted(encoder.tuned_names)}|{options.model_dump_json()}".encode()
    )
    for item_id, key in sorted(zip(items.item_ids.tolist(), items.keys, strict=True)):
        digest.update(f"{item_id}\0{key}\n".encode("utf-8", "surrogatepass"))
    digest.update(hash_ids(map(str, items.item_ids))[train.items].tobytes())
    digest.update(np.asarray(train.offsets, np.int64).tobytes())
    return digest.hexdigest()


def co_clicks(train: Sequences, present_N: np.ndarray, window: int) -> csr_matrix:
    """Return (N, N) symmetric counts of clicks by the same user at most ``window`` places apart.

    Args:
        train: training clicks, one row per user.
        present_N: (N,) bool, items that may be in a pair.
        window: largest distance of two clicks.
    """
    n_items, row_T = len(present_N), train.row_of_click
    counts = csr_matrix((n_items, n_items), dtype=np.float32)
    for distance in range(1, min(window, int(train.lengths.max(initial=1)) - 1) + 1):
        first, second = train.items[:-distance], train.items[distance:]
        kept = (row_T[:-distance] == row_T[distance:]) & (first != second)
        kept &= present_N[first] & present_N[second]
        ones = np.ones(int(kept.sum()), np.float32)
        counts += csr_matrix((ones, (first[kept], second[kept])), shape=counts.shape)
    return (counts + counts.T).tocsr()


def batches_of_partners(pairs: csr_matrix, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the items of an epoch, each once, in batches where co-clicked items are often together.

    Args:
        pairs: (T, T) symmetric counts.
        batch_size: items per batch; the last one is smaller.
        rng: random numbers.
    """
    waiting = np.ones(pairs.shape[0], dtype=bool)
    batch: list[int] = []
    for item in rng.permutation(pairs.shape[0]).tolist():
        if not waiting[item]:
            continue
        own = slice(pairs.indptr[item], pairs.indptr[item + 1])
        free = waiting[pairs.indices[own]]
        partners, weights = pairs.indices[own][free], pairs.data[own][free]
        count = min(PARTNERS, len(partners))
        drawn = rng.choice(partners, count, replace=False, p=weights / weights.sum()) if count else partners
        for taken in (item, *drawn.tolist()):
            waiting[taken] = False
            batch.append(taken)
            if len(batch) == batch_size:
                yield np.asarray(batch)
                batch = []
    if batch:
        yield np.asarray(batch)


def contrastive_loss(logits_BC: Tensor, counts_BC: Tensor, negative_BC: Tensor) -> Tensor:
    """Return the mean InfoNCE over anchors, each over its positives by their counts.

    Each positive competes with the anchor's negatives alone: ``-log(e^s / (e^s + sum of e^n))``.

    Args:
        logits_BC: scores of B anchors with C candidates.
        counts_BC: weight of each candidate as a positive; 0 for others.
        negative_BC: bool, which candidates are negatives.
    """
    negatives_B1 = logits_BC.masked_fill(~negative_BC, -torch.inf).logsumexp(1, keepdim=True)
    losses_BC = F.softplus(negatives_B1 - logits_BC)
    weights_BC = counts_BC / counts_BC.sum(1, keepdim=True).clamp(min=1e-9)
    has_B = (counts_BC.sum(1) > 0) & negative_BC.any(1)
    losses_B = (losses_BC * weights_BC).sum(1)
    return losses_B[has_B].sum() / has_B.sum().clamp(min=1)


def _tune(
    encoder: Encoder, options: AdaptOptions, items: ItemInputs, pairs_NN: csr_matrix, name: str
) -> None:
    rows_T = np.flatnonzero(pairs_NN.getnnz(axis=1))
    pairs = pairs_NN[rows_T][:, rows_T].tocsr()
    device, rng = pick_device(AUTO), np.random.default_rng(options.seed)
    n_items = len(rows_T)
    counts_T = np.asarray(pairs.sum(axis=1)).ravel()
    shift_T = torch.from_numpy(options.popularity * np.log(counts_T / counts_T.sum())).float().to(device)
    steps_total = options.epochs * math.ceil(n_items / options.batch_size)
    encoder.to(device)
    cuda = [device] if device.type == "cuda" else []
    label = f"{name} encoder tuned on {options.objective}"
    with (
        torch.random.fork_rng(devices=cuda),
        progress_bar(label, n_items * (options.epochs + 1)) as advance,
    ):
        torch.manual_seed(options.seed)
        memory_TD = _initial_memory(encoder, items, rows_T, advance)
        trained = [p for p in encoder.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=options.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps_total))
        _train_adapters_alone(encoder)
        for epoch in range(options.epochs):
            total, count = 0.0, 0
            for batch in batches_of_partners(pairs, options.batch_size, rng):
                columns, counts_BC, negative_BC = _candidates(pairs, batch, options.negatives, rng)
                fresh_BD = _vectors(encoder, items.load(rows_T[batch]))
                candidates_CD = memory_TD[torch.from_numpy(columns).to(device)]
                places = torch.from_numpy(np.searchsorted(columns, batch)).to(device)
                candidates_CD = candidates_CD.index_put((places,), fresh_BD)
                logits_BC = fresh_BD @ candidates_CD.T / options.temperature
                logits_BC = logits_BC + shift_T[torch.from_numpy(columns).to(device)]
                loss = contrastive_loss(logits_BC, counts_BC.to(device), negative_BC.to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, CLIP)
                optimizer.step()
                schedule.step()
                memory_TD[torch.from_numpy(batch).to(device)] = fresh_BD.detach()
                total, count = total + float(loss.detach()) * len(batch), count + len(batch)
                advance(len(batch))
            logger.info("%s: epoch %d of %d, loss %.4f", label, epoch + 1, options.epochs, total / count)
    encoder.eval()
    encoder.to("cpu")


def _train_adapters_alone(encoder: Encoder) -> None:
    """Turn off the pretrained model's dropout, which would set apart fresh and earlier vectors of an item."""
    encoder.eval()
    for name, module in encoder.named_modules():
        if name.rpartition("lora_dropout")[1]:
            module.train()


def _candidates(
    pairs: csr_matrix, batch: np.ndarray, n_negatives: int, rng: np.random.Generator
) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return C ascending candidates of a batch, (B, C) counts as positives, and (B, C) bool, negatives."""
    n_items = pairs.shape[0]
    if n_items <= n_negatives + len(batch):
        columns = drawn = np.arange(n_items)
    else:
        drawn = np.union1d(batch, rng.choice(n_items, n_negatives, replace=False))
        columns = np.union1d(drawn, pairs[batch].indices)
    counts_BC = torch.from_numpy(pairs[batch][:, columns].toarray())
    is_drawn_C = torch.from_numpy(np.isin(columns, drawn, assume_unique=True))
    own_BC = torch.from_numpy(batch)[:, None] == torch.from_numpy(columns)
    return columns, counts_BC, (counts_BC == 0) & is_drawn_C & ~own_BC


@torch.no_grad()
def _initial_memory(
    encoder: Encoder, items: ItemInputs, rows_T: np.ndarray, advance: Callable[[int], None]
) -> Tensor:
    encoder.eval()
    found: list[Tensor] = []
    for start in range(0, len(rows_T), 4 * ENCODED):
        rows = rows_T[start : start + 4 * ENCODED]
        found.append(_vectors(encoder, items.load(rows)))
        advance(len(rows))
    return torch.cat(found)


def _vectors(encoder: Encoder, inputs: dict[str, Tensor]) -> Tensor:
    """Return (B, D) float32 unit vectors; texts of similar length go through the encoder together."""
    size = len(next(iter(inputs.values())))
    mask_BL = inputs.get("attention_mask")
    order = torch.arange(size) if mask_BL is None else mask_BL.sum(1).argsort(stable=True)
    parts = []
    for rows in order.split(ENCODED):
        taken = {name: value[rows] for name, value in inputs.items()}
        if mask_BL is not None:
            longest = int(taken["attention_mask"].sum(1).max())
            taken = {name: value[:, :longest] for name, value in taken.items()}
        with encoder.autocast():
            parts.append(encoder(**{name: value.to(encoder.device) for name, value in taken.items()}))
    vectors_BD = torch.cat(parts).float()
    return F.normalize(vectors_BD[order.argsort().to(vectors_BD.device)], dim=-1)


def _rate(progress: float) -> float:
    if progress < WARMUP:
        return max(progress, WARMUP / 10) / WARMUP
    left = min((progress - WARMUP) / (1 - WARMUP), 1.0)
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * left))


def _write(encoder: Encoder, path: Path) -> None:
    from safetensors.torch import save_file

    state = encoder.state_dict()
    tuned = {name: state[name].detach().contiguous().clone() for name in sorted(encoder.tuned_names)}
    with atomic_path(path) as temporary:
        save_file(tuned, temporary)
    write_checksum(path)


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    if not is_sound(path):
        raise InputError(f"{path}: the tuned encoder is missing or damaged; start the same command again")
    found: dict[str, Tensor] = load_file(path)
    return found
