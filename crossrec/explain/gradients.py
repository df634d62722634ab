"""Integrated gradients of a score."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.explain.explanation import Completeness, Unavailable

STEPS = 64
BATCH = 32
"""Points of the path that the model sees at once."""


@dataclass(frozen=True)
class Attribution:
    """Integrated gradients of one input.

    Args:
        values: of the input's shape, in units of the score.
        completeness: what they add up to.
    """

    values: Tensor
    completeness: Completeness


def integrated_gradients(
    scores: Callable[[Tensor], Tensor], given: Tensor, baseline: Tensor, steps: int = STEPS
) -> Attribution:
    """What each entry of an input adds to a score, compared with a baseline input.

    (x_i - x'_i) times the integral over a from 0 to 1 of dF / dx_i at x' + a (x - x'), by Gauss-Legendre
    quadrature. The sum over i is F(x) - F(x'): completeness; its error is reported.

    Args:
        scores: F, from (B, ...) inputs to (B,) scores.
        given: x.
        baseline: x', of the same shape.
        steps: points of the quadrature.

    Raises:
        Unavailable: captum is not installed.

    Source:
        Sundararajan, Taly, Yan: Axiomatic attribution for deep networks (ICML 2017), equation 1; computed
        by captum (Kokhlikyan et al. 2020).
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise Unavailable("integrated gradients need captum: pip install 'crossrec[explain]'") from error
    with torch.enable_grad(), warnings.catch_warnings():
        # captum asks autograd for gradients in a way that newer PyTorch announces to change.
        warnings.filterwarnings("ignore", category=UserWarning, module="captum")
        values, _ = IntegratedGradients(scores).attribute(
            given.detach()[None].float(),
            baselines=baseline.detach()[None].float(),
            n_steps=steps,
            internal_batch_size=BATCH,
            return_convergence_delta=True,
        )
    with torch.no_grad():
        ends_2 = scores(torch.stack([given, baseline]).float()).double()
    difference = float(ends_2[0] - ends_2[1])
    return Attribution(values[0], Completeness(difference, float(values.double().sum()) - difference))
