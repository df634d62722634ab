"""Soft top-k: differentiable lists, in which each item is to some degree."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

MAX_STEPS = 60
"""Newton steps at most; those that do not converge halve the bracket. A handful is usual."""


def soft_top_k(logits_BN: Tensor, k: int, temperature: float) -> Tensor:
    """Compute how far each item is in its row's top k.

    ``sigmoid((logit - t) / temperature)`` with a threshold t for each row, such that the row sums to k. The
    lower the temperature, the closer to the hard list. The gradient is that of the whole operator,
    t included, by the implicit function theorem: with ``g = p (1 - p)``,
    ``dp_i / dlogit_j = g_i (1[i = j] - g_j / sum(g)) / temperature``.

    Args:
        logits_BN: fp32 or fp64; -inf for an item that can't be in the list.
        k: length of the list, less than N.
        temperature: in units of the logits.

    Returns:
        (B, N) in 0 to 1, each row with sum k (up to 1e-5 k in fp32); a row with at most k possible items
        gets them all, with hardly any gradient.

    Raises:
        ValueError: if k is not below N, or not above 0.

    Source:
        The same relaxation of the capped simplex as Sander et al. 2023, "Fast, differentiable and sparse
        top-k", with the binary entropy as regulariser; Struski et al. 2025, "LapSum", solve the same equation
        with a Laplace distribution in place of the logistic. Xie et al. 2020, "Differentiable top-k with
        optimal transport" (SOFT), instead regularise the transport of all items to the two places in and out.
    """
    if not 0 < k < logits_BN.shape[1]:
        raise ValueError(f"a soft list of {k} needs more than {k} items, there are {logits_BN.shape[1]}")
    selected: Tensor = _SoftTopK.apply(logits_BN, k, temperature)
    return selected


class _SoftTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_BN: Tensor, k: int, temperature: float) -> Tensor:
        selected_BN = _solve(logits_BN, k, temperature)
        ctx.save_for_backward(selected_BN)
        ctx.temperature = temperature
        return selected_BN

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (selected_BN,) = ctx.saved_tensors
        (gradient_BN,) = gradients
        slope_BN = torch.addcmul(selected_BN, selected_BN, selected_BN, value=-1)
        total_B = slope_BN.sum(1).clamp(min=torch.finfo(slope_BN.dtype).tiny)
        mean_B = (slope_BN * gradient_BN).sum(1) / total_B
        return slope_BN.mul_((gradient_BN - mean_B[:, None]).div_(ctx.temperature)), None, None


def _solve(logits_BN: Tensor, k: int, temperature: float) -> Tensor:
    """Compute the soft list by Newton's method on the log of the sum within a shrinking bracket.

    With ``e = exp(logit / temperature)`` and ``c = exp(t / temperature)`` the sigmoid is ``e / (e + c)``:
    one exponential per item, then only divisions.
    """
    centre_B, low_B, high_B = _bracket(logits_BN, k, temperature)
    # Beyond 80 temperatures an item is in or out; fp32 holds up to 88.
    weight_BN = ((logits_BN - centre_B[:, None]) / temperature).clamp_(-80, 80).exp_()
    possible_BN = logits_BN != -torch.inf
    weight_BN.masked_fill_(~possible_BN, 0.0)
    # A row with fewer than k never sums to k: all of them are in at any threshold of its bracket.
    enough_B = possible_BN.sum(1) >= k
    tolerance = k * (1e-5 if logits_BN.dtype == torch.float32 else 1e-13)
    at_B = torch.zeros_like(centre_B).clamp(low_B, high_B)
    moved_B = torch.full_like(at_B, torch.inf)
    selected_BN = torch.empty_like(weight_BN)
    for _ in range(MAX_STEPS):
        torch.add(weight_BN, at_B.exp()[:, None], out=selected_BN)
        torch.div(weight_BN, selected_BN, out=selected_BN)
        sum_B = selected_BN.sum(1)
        open_B = ((sum_B - k).abs() > tolerance) & enough_B
        if not bool(open_B.any()):
            break
        slope_B = sum_B - torch.linalg.vector_norm(selected_BN, dim=1).square()
        low_B = torch.where(sum_B > k, at_B, low_B)
        high_B = torch.where(sum_B > k, high_B, at_B)
        next_B = at_B + sum_B * (sum_B / k).log() / slope_B
        # Steps that leave the bracket, or don't get shorter fast enough, give way to halving it.
        trusted_B = (next_B > low_B) & (next_B < high_B) & ((next_B - at_B).abs() < moved_B / 2)
        next_B = torch.where(trusted_B, next_B, (low_B + high_B) / 2)
        moved_B = (next_B - at_B).abs()
        at_B = torch.where(open_B, next_B, at_B)
    return selected_BN


def _bracket(logits_BN: Tensor, k: int, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Bracket the threshold: a center, and its least and greatest distance from there in temperatures.

    The k-th logit bounds it from above, since N - k others can add at most as much as one lacks; the one
    after it from below, since k above can lack at most as much as that one adds.
    """
    top_BK = logits_BN.topk(k + 1, dim=1).values
    lowest_B = top_BK.masked_fill(top_BK == -torch.inf, torch.inf).amin(1)
    lowest_B = lowest_B.nan_to_num(posinf=0.0)
    inside_B, outside_B = (
        torch.where(v.isinf(), lowest_B - 40 * temperature, v) for v in top_BK.unbind(1)[-2:]
    )
    centre_B = (inside_B + outside_B) / 2
    half_B = (inside_B - outside_B) / (2 * temperature)
    low_B = -half_B - math.log(k) - 1e-3
    high_B = half_B + math.log(logits_BN.shape[1] - k) + 1e-3
    return centre_B, low_B.clamp(min=-80), high_B.clamp(max=80)
