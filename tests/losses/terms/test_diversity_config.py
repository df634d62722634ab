"""Configurations of diversity losses: round trips, clear errors, weights."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from crossrec.config import Config, validate
from crossrec.data.item_table import ItemTable
from crossrec.losses import DiversityOptions
from crossrec.losses.terms import DIVERSITY_TERMS
from crossrec.losses.terms.base import TermInputs
from crossrec.losses.terms.positions import PositionSample
from crossrec.losses.terms.term_set import DiversityTerms, TermSet, UserItemDiversity
from crossrec.losses.terms.weighting import (
    RANKING,
    FixedWeighting,
    ScheduledWeighting,
    UncertaintyWeighting,
)
from crossrec.types import ConfigError, InputError

ALL = [*DIVERSITY_TERMS]


class Holder(Config):
    diversity: DiversityOptions | None = None


def info(groups: int = 3) -> ItemTable:
    return ItemTable(torch.ones(20), torch.ones(20, groups), {"text": torch.randn(20, 4)})


def held(content: dict[str, Any]) -> Any:
    return validate(Holder, {"diversity": content}, "x.yaml").diversity


def test_every_term_is_built_by_name_and_comes_back_from_its_dump() -> None:
    content = {"type": "terms", "terms": {f"my_{name}": {"type": name} for name in ALL}}
    config = held(content)
    dumped = Holder(diversity=config).model_dump(mode="json")
    assert validate(Holder, dumped, "again").diversity == config
    terms = config.build(info(), 8)
    assert isinstance(terms, TermSet)
    assert terms.names == [f"my_{name}" for name in ALL]
    assert terms.positions.needs_lists


def test_no_terms_are_nothing() -> None:
    for weighting in ("fixed", "uncertainty"):
        terms = held({"type": "terms", "weighting": {"type": weighting}}).build(info(), 8)
        assert terms.names == []
        assert list(terms.parameters()) == []
        assert terms.weighting(torch.tensor(5.0), {}, 10, 0.5) == {RANKING: 5}
    assert Holder().diversity is None


def test_preset_is_user_item_and_lambda_times_diversity() -> None:
    config = held(
        {"type": "user_item_diversity", "item_weight": 0.5, "diversity": {"type": "gini", "weight": 0.3}}
    )
    assert isinstance(config, UserItemDiversity.Options)
    terms = config.build(info(), 8)
    assert terms.weighting.weights == {"item_to_user": 0.5, "diversity": 0.3}


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"loss": {"type": "gini"}}, "already has a field"),
        ({"x": {"type": "ginni"}}, "did you mean 'gini'"),
        ({"x": {"type": "gini", "weigth": 1}}, "did you mean 'weight'"),
        ({"X.y": {"type": "gini"}}, "terms"),
        ({"x": {"type": "adversarial", "weight": 0}}, "never learns"),
        ({"x": {"type": "jaccard", "candidates": 5}}, "candidates=5 can't hold a list of k=10"),
        ({"x": {"type": "dpp", "k": 101}}, "candidates=100 can't hold a list of k=101"),
    ],
)
def test_a_slip_is_named(terms: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        held({"type": "terms", "terms": terms})


@pytest.mark.parametrize(
    ("term", "options", "groups", "told"),
    [
        ({"type": "similarity", "space": "sound"}, {}, 3, "'sound'; there are category, text"),
        ({"type": "jaccard"}, {}, 0, "needs item categories"),
        ({"type": "adversarial"}, {}, 0, "needs item categories"),
        ({"type": "gini", "k": 20}, {}, 3, "k=20"),
        ({"type": "gini", "k": 10}, {"items": 10}, 3, "raise diversity.items"),
        ({"type": "gini"}, {"rows": 2**22}, 3, f"rows={2**22}.*over 20 items.*diversity.items to at most 16"),
        ({"type": "gini"}, {"rows": 2**22, "items": 17}, 3, "over 17 items.*lower diversity.rows"),
    ],
)
def test_what_the_data_can_not_give_is_named(
    term: dict[str, Any], options: dict[str, Any], groups: int, told: str
) -> None:
    config = held({"type": "terms", "terms": {"x": term}, **options})
    with pytest.raises(InputError, match=told):
        config.build(info(groups), 8)


def test_many_rows_are_no_matter_without_lists_or_over_few_items() -> None:
    for term, items in (("item_to_user", None), ("gini", 16)):
        content = {"type": "terms", "terms": {"x": {"type": term}}, "rows": 2**22, "items": items}
        assert held(content).build(info(), 8).positions.rows == 2**22


def test_only_the_spaces_that_terms_compare_in_are_kept() -> None:
    terms = {"a": {"type": "similarity", "space": "text"}, "b": {"type": "dpp", "space": "model"}}
    built = held({"type": "terms", "terms": terms}).build(info(), 8)
    assert list(built.positions.tables()) == ["text"]
    assert [name for name, _ in built.named_buffers()] == ["positions.table_text"]
    assert built.positions.tables()["text"].norm(dim=1) == pytest.approx(1, abs=1e-6)


def test_configurations_are_read_without_torch() -> None:
    program = "import sys, crossrec.losses.terms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_fixed_and_scheduled_weights() -> None:
    ranking, values = torch.tensor(50.0), {"a": torch.tensor(0.5), "b": torch.tensor(2.0)}
    fixed = FixedWeighting.Options().build({"a": 3.0, "b": 0.0}, {})(ranking, values, 10, 0.2)
    assert {name: float(loss) for name, loss in fixed.items()} == {RANKING: 50, "a": 15}
    schedule = ScheduledWeighting.Options(start=0.2, end=0.6).build({"a": 3.0, "b": 1.0}, {})
    for progress, share in ((0.0, 0.0), (0.2, 0.0), (0.4, 0.5), (0.6, 1.0), (1.0, 1.0)):
        found = schedule(ranking, values, 10, progress)
        assert float(found[RANKING]) == 50
        assert float(sum(found.values())) == pytest.approx(50 + share * 35)


def test_learned_weights_settle_at_half_of_one_over_the_loss() -> None:
    weighting = UncertaintyWeighting.Options().build(
        {"a": 3.0, "b": 0.0, "c": 0.5}, {"a": -1.0, "b": 0.0, "c": 0.0}
    )
    assert weighting.log_variances.shape == (3,)
    values = {"a": torch.tensor(-0.75), "b": torch.tensor(9.0), "c": torch.tensor(2.0)}
    # Where exp(-s) is 1 / (2 l) nothing pulls any more: l is 7, 0.25 above its bound, and 2.
    weighting.log_variances.data = torch.tensor([14.0, 0.5, 4.0]).log()
    losses = weighting(torch.tensor(70.0), values, 10, 0.0)
    assert list(losses) == [RANKING, "a", "c"]
    sum(losses.values(), torch.zeros(())).backward()
    torch.testing.assert_close(weighting.log_variances.grad, torch.zeros(3), atol=1e-5, rtol=0)
    assert float(losses["a"].detach()) == pytest.approx(3 * 10 * (0.5 + math.log(0.5) / 2), rel=1e-5)


def test_a_term_that_only_measures_leaves_the_lists_of_others_their_gradient() -> None:
    config = DiversityTerms.Options.model_validate(
        {"terms": {"seen": {"type": "gini", "weight": 0, "k": 3}, "used": {"type": "entropy", "k": 3}}}
    )
    known = info()
    terms = config.build(known, 4)
    nothing = torch.full((2, 1), -1)
    queries = torch.randn(2, 4, requires_grad=True)
    one = torch.zeros(2, dtype=torch.long)
    step = PositionSample(
        queries, queries, one, one, nothing, 20, torch.randn(20, 4), tables=terms.positions.tables()
    )
    values = terms(TermInputs(positions=step), 0.0)
    assert list(values) == ["seen", "used"]
    assert not values["seen"].requires_grad
    assert values["used"].requires_grad


def test_draws_are_distinct_and_within_bounds() -> None:
    config = TypeAdapter(DiversityOptions).validate_python(
        {"type": "terms", "rows": 5, "items": 15, "terms": {"gini": {"type": "gini"}}}
    )
    terms = config.build(info(), 8)
    for drawn, size, bound in (
        (terms.positions.draw_positions(50, torch.device("cpu")), 5, 50),
        (terms.positions.draw_positions(3, torch.device("cpu")), 3, 3),
        (terms.positions.draw_items(torch.device("cpu")), 15, 20),
    ):
        assert len(set(drawn.tolist())) == size
        assert 0 <= min(drawn.tolist()) <= max(drawn.tolist()) < bound


def test_draws_follow_the_seed_and_leave_the_generator_alone() -> None:
    content = {"type": "terms", "rows": 5, "items": 15, "terms": {"gini": {"type": "gini"}}}
    terms, again = (held(content).build(info(), 8) for _ in range(2))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = (terms.positions.draw_positions(500, torch.device("cpu")).tolist() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first != second
    assert again.positions.draw_positions(500, torch.device("cpu")).tolist() == first
    torch.manual_seed(2)
    assert terms.positions.draw_positions(500, torch.device("cpu")).tolist() not in (first, second)
