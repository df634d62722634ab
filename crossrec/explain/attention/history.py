"""Where a sequence model's attention goes when it asks for the next item."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.explain.attention.pointwise import recorded_hstu
from crossrec.explain.attention.recording import AttentionRecorder
from crossrec.explain.attention.rollout import rollout
from crossrec.explain.explanation import HistoryAttention, Unavailable
from crossrec.explain.score import Pair
from crossrec.model.network import SequentialNetwork
from crossrec.model.sequence.base import History
from crossrec.model.sequence.hstu import HSTU


def history_attention(pair: Pair) -> HistoryAttention:
    """Attention of the asking position to each click, by layer and head, and rolled out.

    The asking position is the last click, or the masked place of a bidirectional model. Attention says where
    a layer looked and not what came of it; see how :mod:`crossrec.explain.faithfulness` judges it.

    Args:
        pair: a history; the scored item does not matter.

    Raises:
        Unavailable: the model has no attention over the history, or computes it in a way that hides it.
    """
    layers, softmax = attention_maps(pair)
    length = len(pair.clicks_L)
    # A prompt stands before the clicks, the place of a guess behind them.
    after = int(pair.network.sequence.mask_share is not None)
    before = layers[0].shape[-1] - length - after
    asked_SHL = torch.stack([weights_HLL[:, -1] for weights_HLL in layers]).double().cpu()
    rolled_L = rollout(layers)[-1].double().cpu()
    clicks = slice(before, before + length)
    return HistoryAttention(
        by_head=asked_SHL[:, :, clicks].numpy(),
        elsewhere=(asked_SHL.sum(2) - asked_SHL[:, :, clicks].sum(2)).numpy(),
        rollout_L=rolled_L[clicks].numpy(),
        rollout_elsewhere=float(rolled_L.sum() - rolled_L[clicks].sum()),
        softmax=softmax,
    )


@torch.no_grad()
def attention_maps(pair: Pair) -> tuple[list[Tensor], bool]:
    """(heads, L', L') weights of every layer, and whether a softmax made them.

    L' counts all positions that the model reads: clicks, a prompt's tokens, the place of a guess. HSTU's
    weights, which no softmax makes, are divided by the sum of their sizes, so that here too rows sum to 1.

    Raises:
        Unavailable: as of :func:`history_attention`.
    """
    network = pair.network
    history = pair.history(pair.vectors_KD[None, :-1])
    if network.sequence.mask_share is not None:
        history = history.append_mask()
    if isinstance(network.sequence, HSTU):
        return _pointwise(network, network.sequence, history), False
    with AttentionRecorder() as recorder:
        network.hidden(history)
    if not recorder.weights:
        raise Unavailable(
            f"{type(network.sequence).__name__} has no attention over the history, or computes it by other "
            "means than PyTorch's scaled_dot_product_attention, so that its weights can't be seen"
        )
    return [weights_BHLL[0] for weights_BHLL in recorder.weights], True


def _pointwise(network: SequentialNetwork, sequence: HSTU, history: History) -> list[Tensor]:
    twin, found = recorded_hstu(sequence)
    SequentialNetwork(
        network.items,
        twin,
        network.n_items,
        similarity="cosine" if network.normalise else "dot",
        temperature=network.temperature,
        history_scale=network.history_scale,
    ).eval().hidden(history)
    sizes = [weights_BHLL[0].abs() for weights_BHLL in found]
    return [size / size.sum(-1, keepdim=True).clamp(min=torch.finfo(size.dtype).tiny) for size in sizes]
