"""The contract of every fusion."""

from __future__ import annotations

import pytest
import torch

from crossrec.model.fusion import FUSIONS
from crossrec.model.fusion.base import Fusion, SingleModality

TYPES = [*FUSIONS]
B, M, D = 6, 3, 8


def build(name: str) -> Fusion:
    torch.manual_seed(0)
    return FUSIONS.parse({"type": name}).build(M, D).eval()


def masks() -> torch.Tensor:
    return torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)


@pytest.mark.parametrize("name", TYPES)
def test_masked_places_never_matter(name: str) -> None:
    fusion, mask = build(name), masks()
    features = torch.randn(B, M, D)
    rubbish = torch.where(mask.unsqueeze(-1), features, torch.full_like(features, float("nan")))
    torch.testing.assert_close(fusion(features, mask), fusion(rubbish, mask), rtol=0, atol=0)


@pytest.mark.parametrize("name", TYPES)
def test_present_modalities_matter_and_rows_are_independent(name: str) -> None:
    fusion, mask = build(name), masks()
    features = torch.randn(B, M, D)
    together = fusion(features, mask)
    assert together.shape == (B, D)
    for row in range(B):
        alone = fusion(features[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)
    for row, modality in mask.nonzero().tolist():
        changed = features.clone()
        changed[row, modality] += torch.randn(D)
        moved = (fusion(changed, mask) - together).abs().amax(1) > 1e-6
        assert moved.nonzero().flatten().tolist() == [row]


@pytest.mark.parametrize("name", TYPES)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    fusion = build(name).train()
    with torch.no_grad():  # output maps that start at zero hide what is before them
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    features = torch.where(masks().unsqueeze(-1), torch.randn(B, M, D), float("nan")).requires_grad_()
    (fusion(features, masks()) * torch.randn(B, D)).sum().backward()
    for label, parameter in fusion.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label
        assert parameter.grad.abs().sum() > 0, label


@pytest.mark.parametrize("name", TYPES)
def test_items_without_any_modality_share_one_vector(name: str) -> None:
    fusion = build(name)
    none = torch.zeros(2, M, dtype=torch.bool)
    fused = fusion(torch.randn(2, M, D), none)
    torch.testing.assert_close(fused, fusion.nothing.expand(2, D))


def test_weighted_is_a_mean_at_the_start() -> None:
    features = torch.randn(B, M, D)
    fused = build("weighted")(features, torch.ones(B, M, dtype=torch.bool))
    torch.testing.assert_close(fused, features.mean(1))


def test_attention_starts_as_the_mean_of_what_is_present() -> None:
    features, mask = torch.randn(B, M, D), masks()[:-1]
    mean = torch.stack([row[known].mean(0) for row, known in zip(features, mask, strict=False)])
    torch.testing.assert_close(build("attention")(features[:-1], mask), mean)


def test_attention_needs_heads_that_divide_the_width() -> None:
    config = FUSIONS.parse({"type": "attention", "heads": 3})
    with pytest.raises(ValueError, match="does not divide"):
        config.build(M, D)


def test_a_single_modality_is_handed_on_as_it_is() -> None:
    fusion = SingleModality(1, D)
    features, mask = torch.randn(B, 1, D), torch.arange(B)[:, None] > 0
    fused = fusion(features, mask)
    assert torch.equal(fused[1:], features[1:, 0])
    # An item without it has the vector that all such items share.
    assert torch.equal(fused[0], fusion.nothing)
