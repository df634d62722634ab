"""LightGCN, NGCF, VBPR and two towers against their papers' formulas written out densely."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines.base import history_matrix
from crossrec.baselines.negatives import UnclickedSampler
from crossrec.baselines.neural.base import ClickGraph
from crossrec.baselines.neural.lightgcn import LightGCN, LightGCNModule
from crossrec.baselines.neural.ngcf import NGCF, NGCFModule
from crossrec.baselines.neural.two_tower import TwoTower, click_loss
from crossrec.baselines.neural.vbpr import VBPR, VBPRModule
from crossrec.data.item_table import ItemTable, VectorSpace
from crossrec.types import Sequences

U, N, D = 7, 9, 4
CPU = torch.device("cpu")


def random_clicks(seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.from_lists(rng.integers(0, N - 1, size=rng.integers(2, 6)) for _ in range(U))


def dense_graph(clicks: csr_matrix) -> torch.Tensor:
    """(U + N, U + N) adjacency with both degrees' roots divided out; LightGCN equation 7 and below."""
    joined = np.zeros((U + N, U + N))
    joined[:U, U:] = clicks.toarray() > 0
    joined += joined.T
    degrees = joined.sum(1)
    root = np.divide(1, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
    return torch.from_numpy(root[:, None] * joined * root).float()


def test_lightgcn_propagates_like_the_dense_matrix_and_so_do_its_gradients() -> None:
    clicks = history_matrix(random_clicks(), N)
    module = LightGCNModule(ClickGraph(clicks, CPU), (U, N), LightGCN.Options(width=D, layers=3))
    adjacency = dense_graph(clicks)
    start = torch.cat([module.users_UD, module.items_ND]).detach().requires_grad_()
    layer, expected = start, start
    for _ in range(3):
        layer = adjacency @ layer
        expected = expected + layer
    users, items = module.layers()
    found = torch.cat([torch.stack(users).mean(0), torch.stack(items).mean(0)])
    torch.testing.assert_close(found, expected / 4)
    weights = torch.randn(U + N, D)
    (found * weights).sum().backward()
    (expected / 4 * weights).sum().backward()
    assert module.users_UD.grad is not None
    assert start.grad is not None
    torch.testing.assert_close(module.users_UD.grad, start.grad[:U])
    torch.testing.assert_close(module.items_ND.grad, start.grad[U:])


def test_lightgcn_scores_a_history_as_a_user_outside_the_graph() -> None:
    train = random_clicks()
    model = LightGCN(LightGCN.Options(width=D, layers=2, epochs=3, batch_size=8), ItemTable.of_size(N)).fit(
        train
    )
    degrees = (history_matrix(train, N).toarray() > 0).sum(0)
    history = [0, 3, 3, 5]
    edges = np.zeros(N)
    for item in {i for i in history if degrees[i]}:
        edges[item] = 1 / np.sqrt(len(set(history)) * degrees[item])
    received = [edges @ layer for layer in model._item_layers]
    user = (model._own_layer(received[0][None].astype(np.float32))[0] + received[0] + received[1]) / 3
    expected = np.mean(model._item_layers, axis=0) @ user
    scores = model.score(Sequences.from_lists([history])).numpy()[0]
    np.testing.assert_allclose(scores[degrees > 0], expected[degrees > 0], rtol=1e-4, atol=1e-6)
    assert np.isneginf(scores[degrees == 0]).all()


def test_ngcf_layer_equals_the_messages_of_the_paper() -> None:
    """Wang et al. 2019, equations 3 to 5, one node and one neighbour at a time."""
    clicks = history_matrix(random_clicks(), N)
    module = NGCFModule(ClickGraph(clicks, CPU), (U, N), NGCF.Options(width=D, layers=1)).eval()
    seen = clicks.toarray() > 0
    users, items = module.users_UD.detach(), module.items_ND.detach()
    w1, w2 = module.convolutions[0].sum_DD.detach(), module.convolutions[0].product_DD.detach()
    found_users, found_items = module.layers()
    for own, others, edges, found in (
        (users, items, seen, found_users[1]),
        (items, users, seen.T, found_items[1]),
    ):
        for node, neighbours in enumerate(edges):
            message = own[node] @ w1
            for other in np.flatnonzero(neighbours):
                weight = 1 / np.sqrt(neighbours.sum() * edges[:, other].sum())
                message = message + weight * (others[other] @ w1 + (others[other] * own[node]) @ w2)
            expected = torch.where(message > 0, message, 0.2 * message)
            torch.testing.assert_close(found[node].detach(), expected, atol=1e-5, rtol=1e-4)


def test_vbpr_score_is_the_sum_of_its_parts() -> None:
    """He and McAuley 2016, equation 4, without the terms that are the same for all items."""
    pictures = torch.randn(N, 5)
    config = VBPR.Options(width=3, visual_width=2, regularization=0.0)
    module = VBPRModule(pictures, U, config)
    with torch.no_grad():
        module.bias_N.normal_()
        module.visual_bias_W.normal_()

    def score(u: int, i: int) -> torch.Tensor:
        visual = module.visual_users_UV[u] @ (module.projection_WV.T @ pictures[i])
        bias = module.bias_N[i] + module.visual_bias_W @ pictures[i]
        return bias + module.users_UD[u] @ module.items_ND[i] + visual

    triples = [(0, 1, 2), (3, 4, 1), (3, 1, 8)]
    expected = torch.stack([-torch.log(torch.sigmoid(score(u, i) - score(u, j))) for u, i, j in triples])
    torch.testing.assert_close(module.loss(*torch.tensor(triples).T), expected.mean())
    users, items, bias = module.joined(torch.ones(N, dtype=torch.bool))
    torch.testing.assert_close(users[3] @ items[4] + bias[4], score(3, 4))


def test_vbpr_penalty_is_half_the_mean_of_the_squares() -> None:
    module = VBPRModule(torch.randn(N, 5), U, VBPR.Options(width=3, visual_width=2, regularization=1.0))
    plain = VBPRModule(module.pictures_NW, U, module.options.model_copy(update={"regularization": 0.0}))
    plain.load_state_dict(module.state_dict())
    batch = torch.tensor([[0, 1], [2, 3], [4, 5]])
    parts = [
        module.users_UD[batch[0]],
        module.visual_users_UV[batch[0]],
        *(table[rows] for rows in batch[1:] for table in (module.items_ND, module.bias_N)),
    ]
    shared = module.projection_WV.square().sum() + module.visual_bias_W.square().sum()
    expected = sum(part.square().sum() for part in parts) / 4 + shared / (2 * N)
    torch.testing.assert_close(module.loss(*batch) - plain.loss(*batch), expected)


def test_vbpr_knows_a_cold_item_by_its_picture_alone() -> None:
    train = random_clicks()
    pictures = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    context = ItemTable.of_size(N, spaces={"image": VectorSpace(pictures, np.ones(N, bool))})
    model = VBPR(VBPR.Options(width=3, visual_width=2, epochs=2, batch_size=8), context).fit(train)
    assert (model._items_ND[N - 1, :3] == 0).all()
    assert (model._items_ND[N - 1, 3:] != 0).all()


def test_click_loss_is_binary_cross_entropy_with_the_click_first() -> None:
    logits = torch.randn(6, 4)
    labels = torch.zeros(6, 4)
    labels[:, 0] = 1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    torch.testing.assert_close(click_loss(logits), expected.sum(1).mean())


def test_log_q_correction_brings_popularity_back() -> None:
    """All histories are alike, so only the clicks' frequency is to be learned."""
    rng = np.random.default_rng(0)
    rows = [[0, item] for item in rng.choice([1, 2, 3], p=[0.8, 0.15, 0.05], size=400)]
    vectors = np.eye(4, dtype=np.float32)
    context = ItemTable.of_size(4, spaces={"text": VectorSpace(vectors, np.ones(4, bool))})
    history = Sequences.from_lists([[0]])
    config = TwoTower.Options(width=4, hidden=8, power=1.0, negatives=4, epochs=20, learning_rate=0.02)
    with_log_q, without = (
        config.model_copy(update={"log_q": log_q, "batch_size": 100})
        .build(context)
        .fit(Sequences.from_lists(rows))
        .score(history)[0]
        for log_q in (True, False)
    )
    assert with_log_q[1] - with_log_q[3] > 1.5
    assert abs(without[1] - without[3]) < with_log_q[1] - with_log_q[3] - 0.7


def test_negatives_are_unclicked_and_follow_their_chances() -> None:
    clicks = Sequences.from_lists([[0, 1, 2], [3]])
    chances = np.array([0.1, 0.1, 0.1, 0.1, 0.6, 0.0])
    drawn = UnclickedSampler(clicks, 6, 0, chances).draw(np.repeat([0, 1], 4000))
    assert not set(drawn[:4000].tolist()) & {0, 1, 2, 5}
    assert not set(drawn[4000:].tolist()) & {3, 5}
    assert (drawn[:4000] == 4).mean() == pytest.approx(0.6 / 0.7, abs=0.03)
