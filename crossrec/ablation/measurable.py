"""Which of a study's metrics its data allows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from crossrec.evaluation.config import MetricName
from crossrec.evaluation.facts import ItemFacts
from crossrec.evaluation.metrics import missing_for
from crossrec.types import InputError

logger = logging.getLogger(__name__)


def measurable_metrics(
    metrics: Sequence[MetricName], facts: ItemFacts, needed: Collection[MetricName] = ()
) -> tuple[MetricName, ...]:
    """The metrics that can be measured; each that can't be is logged with its reason.

    Args:
        metrics: names without ``@k``.
        facts: of the items.
        needed: those without which there is no study.

    Raises:
        InputError: one of ``needed`` can't be measured.
    """
    found: list[MetricName] = []
    for name in metrics:
        why = missing_for(name, facts)
        if why is None:
            found.append(name)
        elif name in needed:
            raise InputError(
                f"'{name}' can't be measured: {why}; take it out of diversity and goals in the study"
            )
        else:
            logger.warning("%s is left out: %s", name, why)
    return tuple(found)
