"""Dropout on a CPU: the rate, the scale, the gradient, and what the seed decides."""

from __future__ import annotations

import pytest
import torch

from crossrec.runtime.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_scale(rate: float) -> None:
    torch.manual_seed(0)
    out = Dropout(rate)(torch.ones(1000, 333))
    share = float((out == 0).double().mean())
    # Five standard errors of 333,000 draws.
    assert abs(share - rate) < 5 * (rate * (1 - rate) / out.numel()) ** 0.5 + 1 / 65536
    torch.testing.assert_close(out[out > 0], torch.full_like(out[out > 0], 1 / (1 - rate)), rtol=1e-3, atol=0)
    # No pattern along rows or columns: neighbours are dropped independently.
    zero = (out == 0).double() - rate
    assert abs(float((zero[:, 1:] * zero[:, :-1]).mean())) < 0.003
    assert abs(float((zero[:, 4:] * zero[:, :-4]).mean())) < 0.003


def test_gradient_goes_through_what_is_kept() -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 7, requires_grad=True)
    out = Dropout(0.4)(rows)
    out.sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad * rows, out)


@pytest.mark.parametrize("shape", [(3,), (5, 1, 2), (0, 4)])
def test_any_shape_and_no_change_in_evaluation(shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape)
    assert Dropout(0.5)(rows).shape == shape
    assert Dropout(0.5).eval()(rows) is rows
    assert not Dropout(1.0)(rows).any()


def test_the_seed_decides() -> None:
    rows = torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = Dropout(0.5)(rows), Dropout(0.5)(rows)
    torch.manual_seed(3)
    assert torch.equal(Dropout(0.5)(rows), first)
    assert not torch.equal(first, second)
