"""Softmax over the whole catalogue, computed chunk by chunk so that the logits never exist at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 256}
"""Positions at once where a configuration leaves it open (4096 on other devices, whose kernels should be
large). On a CPU a chunk should stay in the cache: forward and backward of 6,400 positions and 12,101
items, 64 wide, took one core 0.68 s with 256 positions, 0.98 s with 2,048, 1.39 s with PyTorch's own."""


class FullSoftmax(nn.Module):
    """Negative log-likelihood of the next item among all items.

    Backward computes the logits again instead of keeping them, so memory is ``chunk * N`` values
    whatever the number of positions. That memory is kept between steps: on a CPU, first writing to
    fresh pages costs more than the matrix product itself.

    Args:
        chunk: positions whose logits are held at once; when None, what suits the device.
        label_smoothing: share of the target's probability that is spread evenly over the catalogue.

    Source:
        Chen et al. 2016, "Training deep nets with sublinear memory cost" (computing again in
        backward); Wijmans et al. 2025, "Cut your losses in large-vocabulary language models".
    """

    samples_negatives = False

    def __init__(self, chunk: int | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.chunk = chunk
        self.label_smoothing = label_smoothing
        self._scratch = _Scratch()

    def forward(
        self, queries_TD: Tensor, items_ND: Tensor, targets_T: Tensor, bias_N: Tensor | None = None
    ) -> Tensor:
        """Losses of T positions; under autocast the products run in its dtype, the rest in fp32.

        Args:
            queries_TD: hidden states, normalised and scaled as the logits need them.
            items_ND: vectors of the whole catalogue.
            targets_T: int64 catalogue index of the item clicked next.
            bias_N: added to every position's logits.

        Returns:
            (T,) fp32 losses in nats (fp64 for fp64 input).

        Raises:
            ValueError: the shapes do not fit together.
        """
        if queries_TD.shape[1:] != items_ND.shape[1:] or targets_T.shape != queries_TD.shape[:1]:
            raise ValueError(
                f"queries {tuple(queries_TD.shape)}, items {tuple(items_ND.shape)} and targets "
                f"{tuple(targets_T.shape)} do not fit; expected (T, D), (N, D) and (T,)"
            )
        chunk = self.chunk or CHUNK.get(queries_TD.device.type, 4096)
        loss: Tensor = _ChunkedSoftmax.apply(
            queries_TD, items_ND, bias_N, targets_T, chunk, self.label_smoothing, self._scratch
        )
        return loss


class _Scratch:
    """Memory for one chunk of logits, kept between calls; what it holds is never used twice."""

    def __init__(self) -> None:
        self._kept: dict[torch.dtype, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> _Scratch:
        return _Scratch()

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": {}}

    def take(self, rows: int, columns: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        kept = self._kept.get(dtype)
        if kept is None or kept.device != like.device or kept.numel() < rows * columns:
            self._kept.pop(dtype, None)
            kept = self._kept[dtype] = torch.empty(rows * columns, dtype=dtype, device=like.device)
        return kept[: rows * columns].view(rows, columns)


def _compute_dtypes(queries: Tensor, items: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The dtype of matrix products, and that of everything summed."""
    product = torch.promote_types(queries.dtype, items.dtype)
    device = queries.device.type
    if product != torch.float64 and torch.is_autocast_enabled(device):
        product = torch.get_autocast_dtype(device)
    return product, torch.promote_types(product, torch.float32)


class _ChunkedSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries_TD: Tensor,
        items_ND: Tensor,
        bias_N: Tensor | None,
        targets_T: Tensor,
        chunk: int,
        smoothing: float,
        scratch: _Scratch,
    ) -> Tensor:
        product, total = _compute_dtypes(queries_TD, items_ND)
        queries, items = queries_TD.to(product), items_ND.to(product)
        log_sum_T = torch.empty(len(queries), dtype=total, device=queries.device)
        loss_T = torch.empty_like(log_sum_T)
        for rows in _chunks(len(queries), chunk):
            logits = _logits(queries[rows], items, bias_N, scratch, total)
            expected = logits.gather(1, targets_T[rows, None]).squeeze(1)
            if smoothing:
                expected = (1 - smoothing) * expected + smoothing * logits.mean(1)
            peak = logits.amax(1)
            log_sum_T[rows] = logits.sub_(peak[:, None]).exp_().sum(1).log_().add_(peak)
            loss_T[rows] = log_sum_T[rows] - expected
        ctx.save_for_backward(queries_TD, items_ND, bias_N, targets_T, log_sum_T)
        ctx.settings = (chunk, smoothing, scratch, product)
        return loss_T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_T: Tensor) -> tuple[Tensor | None, ...]:
        queries_TD, items_ND, bias_N, targets_T, log_sum_T = ctx.saved_tensors
        chunk, smoothing, scratch, product = ctx.settings
        total = log_sum_T.dtype
        queries, items = queries_TD.to(product), items_ND.to(product)
        # The upstream gradient scales rows, so it goes to the narrow side of each product.
        scaled = (queries_TD.to(total) * upstream_T[:, None]).to(product)
        grad_queries = torch.empty(queries.shape, dtype=total, device=queries.device)
        grad_items = torch.zeros(items.shape, dtype=total, device=items.device)
        grad_bias = None if bias_N is None else torch.zeros(len(items), dtype=total, device=items.device)
        for rows in _chunks(len(queries), chunk):
            logits = _logits(queries[rows], items, bias_N, scratch, total)
            slope = logits.sub_(log_sum_T[rows, None]).exp_()
            if smoothing:
                slope.sub_(smoothing / len(items))
            target = targets_T[rows, None]
            slope.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=total))
            if grad_bias is not None:
                grad_bias.addmv_(slope.T, upstream_T[rows])
            if product != total:
                slope = scratch.take(*slope.shape, slope, product).copy_(slope)
            grad_queries[rows] = (slope @ items).to(total)
            if product == total:
                grad_items.addmm_(slope.T, scaled[rows])
            else:
                grad_items += slope.T @ scaled[rows]
        grad_queries *= upstream_T[:, None]
        bias_gradient = None if grad_bias is None or bias_N is None else grad_bias.to(bias_N.dtype)
        return (
            grad_queries.to(queries_TD.dtype),
            grad_items.to(items_ND.dtype),
            bias_gradient,
            None,
            None,
            None,
            None,
        )


def _chunks(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _logits(
    queries_CD: Tensor, items_ND: Tensor, bias_N: Tensor | None, scratch: _Scratch, total: torch.dtype
) -> Tensor:
    """(C, N) logits of one chunk in the summing dtype, in kept memory."""
    rows, columns = len(queries_CD), len(items_ND)
    logits = scratch.take(rows, columns, items_ND, total)
    if items_ND.dtype == total:
        torch.mm(queries_CD, items_ND.T, out=logits)
    else:
        narrow = scratch.take(rows, columns, items_ND, items_ND.dtype)
        logits.copy_(torch.mm(queries_CD, items_ND.T, out=narrow))
    if bias_N is not None:
        logits.add_(bias_N)
    return logits
