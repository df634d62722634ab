"""Simulated users against their own parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from crossrec.simulation.environment import Environment
from crossrec.types import ABSENT, Sequences

MakeWorld = Callable[..., Environment]
K = 6
KINDS, ITEMS = 4, 60


def lists(n_users: int, seed: int = 0) -> np.ndarray:
    """(U, K) random lists."""
    return np.argsort(np.random.default_rng(seed).random((n_users, ITEMS)), axis=1)[:, :K]


def same_lists(n_users: int, items: list[int]) -> np.ndarray:
    return np.tile(np.asarray(items), (n_users, 1))


def near(observed: np.ndarray, chance: np.ndarray, n: int) -> bool:
    """Whether frequencies of n draws are within five standard errors."""
    error = np.sqrt(np.maximum(chance * (1 - chance), 1 / n) / n)
    return bool((np.abs(observed - chance) < 5 * error).all())


def test_clicks_match_their_probabilities(make_world: MakeWorld) -> None:
    world = make_world(20_000, alike=True)
    ids = lists(1)[0]
    found = world.answer(world.visitors(), same_lists(20_000, ids.tolist()))
    model = world.tastes
    utility = model.tastes_UD[0] @ model.features_ND.T + model.offset_N
    outside = np.sort(utility)[-int(0.3 * ITEMS)]
    chance = expit(utility[ids] - outside)
    np.testing.assert_allclose(found.attraction_BK, np.tile(chance, (20_000, 1)), atol=1e-5)
    assert near(found.clicked_BK.mean(0), chance, 20_000)
    assert found.examined_BK.all()
    affinity = (model.tastes_UD[0] @ model.features_ND.T)[ids]
    for place in range(K):
        clicked = found.clicked_BK[:, place]
        buys = expit(-0.5 + 0.4 * affinity[place])
        assert near(found.bought_BK[clicked, place].mean(), buys, int(clicked.sum()))
    assert not found.bought_BK[~found.clicked_BK].any()


def test_the_best_share_of_the_catalogue_is_appealing(make_world: MakeWorld) -> None:
    world = make_world(50)
    appealing = np.zeros(50)
    for start in range(0, ITEMS, K):
        world.reset()
        found = world.answer(np.arange(50), same_lists(50, list(range(start, start + K))))
        appealing += (found.attraction_BK >= 0.5 - 1e-6).sum(1)
    np.testing.assert_array_equal(appealing, 0.3 * ITEMS)


@pytest.mark.parametrize("bias", [0.5, 1.0])
def test_places_are_looked_at_by_the_position_bias_curve(make_world: MakeWorld, bias: float) -> None:
    world = make_world(20_000, click={"position_bias": bias, "appealing": 0.5})
    found = world.answer(world.visitors(), lists(20_000))
    curve = np.arange(1, K + 1) ** -bias
    assert near(found.examined_BK.mean(0), curve, 20_000)
    assert not found.clicked_BK[~found.examined_BK].any()
    # Looks and clicks are independent given the item.
    assert near(found.clicked_BK.mean(0), (found.attraction_BK.mean(0) * curve), 20_000)


def test_a_cascade_stops_and_never_starts_again(make_world: MakeWorld) -> None:
    click = {"model": "cascade", "go_on": 0.9, "go_on_clicked": 0.4, "appealing": 0.5}
    world = make_world(20_000, click=click)
    found = world.answer(world.visitors(), lists(20_000))
    seen, clicked = found.examined_BK, found.clicked_BK
    assert seen[:, 0].all()
    assert (seen[:, 1:] <= seen[:, :-1]).all()
    for place in range(K - 1):
        for was_clicked, chance in ((True, 0.4), (False, 0.9)):
            rows = seen[:, place] & (clicked[:, place] == was_clicked)
            assert near(seen[rows, place + 1].mean(), np.asarray(chance), int(rows.sum()))


def test_satiation_lowers_clicks_on_repeated_categories_and_fades(make_world: MakeWorld) -> None:
    satiation = {"strength": 1.5, "memory": 0.5, "per_look": 0.0, "within_list": 0.0}
    world = make_world(4000, satiation=satiation, click={"appealing": 0.7, "position_bias": 0})
    first = [item for item in range(ITEMS) if item % KINDS == 0][:K]
    later = [item for item in range(ITEMS) if item % KINDS == 0][K : K + 3]
    others = [item for item in range(ITEMS) if item % KINDS == 2][:3]
    clicks_U = world.answer(world.visitors(), same_lists(4000, first)).clicked_BK.sum(1)
    probe = same_lists(4000, later + others)
    world.advance()
    tired = world.answer(world.visitors(), probe)
    fresh = make_world(4000, click={"appealing": 0.7, "position_bias": 0}).answer(np.arange(4000), probe)
    lost = _logit(fresh.attraction_BK) - _logit(tired.attraction_BK)
    np.testing.assert_allclose(lost[:, :3], np.tile(0.5 * 1.5 * clicks_U[:, None], 3), atol=1e-3)
    np.testing.assert_allclose(lost[:, 3:], 0, atol=1e-4)
    eager = clicks_U >= 3
    assert tired.clicked_BK[eager, :3].mean() < 0.8 * fresh.clicked_BK[eager, :3].mean()


def test_repeats_within_a_list_cost(make_world: MakeWorld) -> None:
    world = make_world(10, satiation={"strength": 0, "within_list": 0.4})
    plain = make_world(10).answer(np.arange(10), same_lists(10, [0, 4, 1, 8]))
    found = world.answer(np.arange(10), same_lists(10, [0, 4, 1, 8]))
    lost = _logit(plain.attraction_BK) - _logit(found.attraction_BK)
    np.testing.assert_allclose(lost, np.tile([0, 0.4, 0, 0.8], (10, 1)), atol=1e-6)


def test_looks_satiate_a_little(make_world: MakeWorld) -> None:
    world = make_world(200, satiation={"strength": 1, "per_look": 0.1, "memory": 0.5})
    found = world.answer(world.visitors(), same_lists(200, [0, 1, 4, 8, 9, 12]))
    zero = np.asarray([0, 2, 3, 5])
    expected = found.clicked_BK[:, zero].sum(1) + 0.1 * (~found.clicked_BK[:, zero]).sum(1)
    np.testing.assert_allclose(world.population.had_UG[:, 0], expected, rtol=1e-5)


def test_tastes_drift_with_the_stated_variance_and_memory(make_world: MakeWorld) -> None:
    world = make_world(4000, drift={"share": 0.25, "memory": 0.8})
    home = world.tastes.tastes_UD
    away = []
    for _ in range(25):
        world.advance()
        away.append(world.population.tastes_UD - home)
    late = np.stack(away[15:])
    assert late.var() == pytest.approx(0.25, rel=0.05)
    follow = (late[1:] * late[:-1]).mean() / late.var()
    assert follow == pytest.approx(0.8, abs=0.02)
    first = away[0].var()
    assert first == pytest.approx(0.25 * (1 - 0.8**2), rel=0.05)


def test_reinforcement_moves_tastes_towards_what_is_clicked(make_world: MakeWorld) -> None:
    world = make_world(300, drift={"share": 0, "reinforcement": 0.1})
    before = world.population.tastes_UD.copy()
    ids = lists(300)
    found = world.answer(world.visitors(), ids)
    clicked = np.einsum("uk,ukd->ud", found.clicked_BK, world.tastes.features_ND[ids])
    np.testing.assert_allclose(world.population.tastes_UD - before, 0.1 * clicked, atol=1e-5)
    world.advance()
    np.testing.assert_allclose(world.population.tastes_UD - before, 0.1 * clicked, atol=1e-5)


def test_users_come_and_leave_as_often_as_they_should(make_world: MakeWorld) -> None:
    world = make_world(20_000, visit={"rate": 0.7, "leave": 0.1}, boredom={"weight": 0, "memory": 0.0})
    users = world.visitors()
    assert near(np.asarray(len(users) / 20_000), np.asarray(0.7), 20_000)
    found = world.answer(users, lists(len(users)))
    assert near(found.left_B.mean(), np.asarray(0.1), len(users))
    gone = users[found.left_B]
    for _ in range(5):
        assert not np.isin(gone, world.advance()).any()


def test_boredom_grows_with_sameness_and_drives_users_away(make_world: MakeWorld) -> None:
    boredom = {"memory": 0.5, "sameness": 1.0, "list_memory": 0.0, "weight": 0.0}
    visit = {"rate": 1.0, "bored_stay_away": 0.5, "leave": 0.0, "leave_bored": 0.4}
    world = make_world(20_000, boredom=boredom, visit=visit)
    one_kind = same_lists(20_000, [0, 4, 8])
    world.answer(world.visitors(), one_kind)
    np.testing.assert_array_equal(world.population.boredom_U, 0)
    users = world.advance()
    found = world.answer(users, one_kind[users])
    np.testing.assert_allclose(world.population.boredom_U[users], 0.5)
    assert near(found.left_B.mean(), np.asarray(0.4 * 0.5), len(users))
    left = world.population.left_U
    came = np.isin(np.flatnonzero(~left), world.advance()).mean()
    assert near(came, np.asarray(1 - 0.5 * 0.5), int((~left).sum()))


def test_finding_nothing_bores(make_world: MakeWorld) -> None:
    world = make_world(2000, boredom={"memory": 0.0, "sameness": 0.0})
    found = world.answer(world.visitors(), lists(2000))
    np.testing.assert_array_equal(world.population.boredom_U, ~found.clicked_BK.any(1))


def test_a_purchase_raises_its_complement_at_the_next_visit(make_world: MakeWorld) -> None:
    world = make_world(3000, click={"appealing": 0.9, "position_bias": 0}, purchase={"bias": 50.0})
    clicked = world.answer(world.visitors(), same_lists(3000, [0])).clicked_BK[:, 0]
    world.advance()
    after = world.answer(world.visitors(), same_lists(3000, [1, 2])).attraction_BK
    plain = make_world(3000, click={"appealing": 0.9, "position_bias": 0})
    before = plain.answer(plain.visitors(), same_lists(3000, [1, 2])).attraction_BK
    raised = _logit(after) - _logit(before)
    np.testing.assert_allclose(raised[clicked], np.tile([4.0, 0.0], (int(clicked.sum()), 1)), atol=1e-2)
    np.testing.assert_allclose(raised[~clicked], 0, atol=1e-6)


def test_nobody_clicks_an_item_twice_or_an_absent_one(make_world: MakeWorld) -> None:
    world = make_world(500, click={"appealing": 0.9, "position_bias": 0})
    ids = lists(500)
    first = world.answer(world.visitors(), ids).clicked_BK
    world.advance()
    second = world.answer(world.visitors(), ids)
    assert not (first & second.clicked_BK).any()
    assert (second.attraction_BK[first] == 0).all()
    world.advance()
    absent = world.answer(world.visitors(), np.full((500, K), ABSENT))
    assert not absent.clicked_BK.any()
    assert not absent.examined_BK.any()


def test_what_users_own_at_the_start_is_not_clicked(make_world: MakeWorld) -> None:
    base = make_world(3)
    owned = Sequences.from_lists([[0, 59], [], [7]])
    world = Environment(base.tastes, base.config, 0, owned)
    found = world.answer(np.arange(3), same_lists(3, [0, 7, 59]))
    expected = np.asarray([[True, False, True], [False, False, False], [False, True, False]])
    np.testing.assert_array_equal(found.attraction_BK == 0, expected)


def test_seeds_reproduce_and_batches_do_not_matter(make_world: MakeWorld) -> None:
    full = {"satiation": {"strength": 0.5}, "drift": {"share": 0.2}, "visit": {"rate": 0.8, "leave": 0.05}}
    whole, parts, other = make_world(300, 3, **full), make_world(300, 3, **full), make_world(300, 4, **full)
    same_as_other = True
    for number in range(4):
        users = whole.visitors()
        np.testing.assert_array_equal(users, parts.visitors())
        ids = lists(300, number)
        found = whole.answer(users, ids[users])
        order = np.random.default_rng(number).permutation(len(users))
        for chunk in np.array_split(order, 7):
            part = parts.answer(users[chunk], ids[users[chunk]])
            np.testing.assert_array_equal(part.clicked_BK, found.clicked_BK[chunk])
            np.testing.assert_array_equal(part.bought_BK, found.bought_BK[chunk])
            np.testing.assert_array_equal(part.left_B, found.left_B[chunk])
        strange = other.answer(other.visitors(), ids[other.visitors()])
        same_as_other &= np.array_equal(other.visitors(), users) and np.array_equal(
            strange.clicked_BK, found.clicked_BK
        )
        for world in (whole, parts, other):
            world.advance()
    np.testing.assert_allclose(whole.population.boredom_U, parts.population.boredom_U)
    assert not same_as_other
    again = make_world(300, 3, **full)
    np.testing.assert_array_equal(whole.reset(), again.visitors())


def test_two_policies_share_a_users_luck_item_by_item(make_world: MakeWorld) -> None:
    one, two = make_world(400, 1), make_world(400, 1)
    here = one.answer(np.arange(400), same_lists(400, [3, 5, 7]))
    there = two.answer(np.arange(400), same_lists(400, [7, 9, 3]))
    np.testing.assert_array_equal(here.clicked_BK[:, [0, 2]], there.clicked_BK[:, [2, 0]])


@pytest.mark.parametrize("wrong", ["twice", "answered", "absent user", "repeated item"])
def test_what_can_not_be_is_refused(make_world: MakeWorld, wrong: str) -> None:
    world = make_world(100, visit={"rate": 0.5})
    users, ids = world.visitors()[:4], lists(100)[:4]
    if wrong == "twice":
        users = users[[0, 0, 1, 2]]
    elif wrong == "answered":
        world.answer(users[:1], ids[:1])
    elif wrong == "absent user":
        users = np.setdiff1d(np.arange(100), world.visitors())[:4]
    else:
        ids[:, 1] = ids[:, 0]
    with pytest.raises(
        ValueError, match="a list contains an item twice" if wrong == "repeated item" else "answered once"
    ):
        world.answer(users, ids)


def _logit(chance: np.ndarray) -> np.ndarray:
    return np.log(chance) - np.log1p(-chance)
