"""Options of simulated users; importing this loads no heavy library.

The defaults are assumptions: none of them was fitted to real users, and conclusions should be checked
under others.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossrec.config import Config


class ClickConfig(Config):
    """Examination of ranks and clicks.

    A user clicks an examined item with probability 1 / (1 + exp(-sharpness * (u - outside))): a binary logit
    against an outside option, whose utility is the threshold of the best share ``appealing`` of the catalogue
    for that user at the start.

    Args:
        model: ``position``: rank r is examined with probability r ** -position_bias, independently;
            ``cascade``: from the top, and after each item the next one with probability ``go_on`` or, after a
            click, ``go_on_clicked``.
        position_bias: exponent; 0 examines everything, 1 is the curve of web search.
        go_on: probability of continuing the cascade.
        go_on_clicked: probability of continuing the cascade after a click.
        appealing: share of the catalogue that a user would click more often than not.
        sharpness: scale of utilities; high values make clicks deterministic, 0 random.

    Source:
        Chuklin, Markov, de Rijke: Click models for web search (2015), sections 3.3 (position-based) and 3.5
        (dependent click model, here with the same probabilities at all ranks); the power curve: Joachims,
        Swaminathan,
        Schnabel: Unbiased learning-to-rank with biased feedback (WSDM 2017), section 6.1.
    """

    model: Literal["position", "cascade"] = "position"
    position_bias: float = Field(0.5, ge=0, le=5)
    go_on: float = Field(0.9, ge=0, le=1)
    go_on_clicked: float = Field(0.7, ge=0, le=1)
    appealing: float = Field(0.02, gt=0, lt=1)
    sharpness: float = Field(1.0, ge=0)


class SatiationConfig(Config):
    """Satiation: categories that a user has had enough of for a while.

    Each click adds 1, spread over the item's categories, to the user's satiation; each examination adds
    ``per_look``. An item's utility falls by ``strength`` times the mean satiation of its categories. Within a
    list it falls by ``within_list`` for each item above of the same category (for several categories, by the
    mean of the shares).

    Args:
        strength: loss of utility by a recent click on the category; 0 for none.
        memory: share that remains after one round.
        per_look: satiation by an examination without a click.
        within_list: loss of utility by each item of the same category above.

    Source:
        Leqi, Kilinc-Karzan, Lipton, Montgomery: Rebounding bandits for modeling satiation effects (NeurIPS
        2021), section 4 (exponential memory, linear in the utility); Ie et al.: RecSim (2019), for users
        whose state moves with what they consume.
    """

    strength: float = Field(0.6, ge=0)
    memory: float = Field(0.7, ge=0, lt=1)
    per_look: float = Field(0.05, ge=0)
    within_list: float = Field(0.15, ge=0)


class DriftConfig(Config):
    """Drift of tastes.

    Args:
        share: stationary variance of a user's drift, as a share of the variance of tastes over users.
        memory: autocorrelation of the drift from one round to the next.
        reinforcement: utility that a click permanently adds to each attribute of the clicked item.

    Source:
        The demo storefront's own AR(1) drift; reinforcement: Jiang et al.: Degenerate feedback loops in
        recommender systems (AIES 2019), section 3.
    """

    share: float = Field(0.1, ge=0, le=1)
    memory: float = Field(0.95, ge=0, lt=1)
    reinforcement: float = Field(0.0, ge=0)


class BoredomConfig(Config):
    """Boredom of users who see the same again or find nothing.

    After each visit boredom moves, by 1 - memory, towards ``sameness`` times the list's overlap with the
    categories shown before, plus 1 - ``sameness`` if nothing was clicked. It is between 0 and 1.

    Args:
        memory: share of boredom that remains after a visit.
        sameness: share caused by repeated categories; the rest is caused by finding nothing.
        list_memory: share of the categories shown before that remains after a visit.
        weight: loss of utility of every item at full boredom.

    Source:
        Kapoor et al.: Just in time recommendations: modeling the dynamics of boredom in activity streams
        (WSDM 2015), for the concept; the formula is ours.
    """

    memory: float = Field(0.7, ge=0, lt=1)
    sameness: float = Field(0.5, ge=0, le=1)
    list_memory: float = Field(0.7, ge=0, lt=1)
    weight: float = Field(0.5, ge=0)


class VisitConfig(Config):
    """Visits and permanent leaving.

    A user who has not left comes in a round with probability ``rate * (1 - bored_stay_away * boredom)``, and
    leaves for good after a visit with probability ``leave + leave_bored * boredom``, 1 at most.

    Args:
        rate: rate of a user without boredom.
        bored_stay_away: share of the visits lost at full boredom.
        leave: probability of leaving of a user without boredom.
        leave_bored: probability added at full boredom.
        days: days between two rounds, for changes over time in the data.

    Source:
        Ours; linear hazards. Users who leave when dissatisfied: Ie et al.: RecSim (2019), section 5.
    """

    rate: float = Field(0.8, gt=0, le=1)
    bored_stay_away: float = Field(0.3, ge=0, le=1)
    leave: float = Field(0.005, ge=0, le=1)
    leave_bored: float = Field(0.05, ge=0, le=1)
    days: float = Field(1.0, gt=0)


class PurchaseConfig(Config):
    """Clicks that end in a purchase, with probability 1 / (1 + exp(-(bias + slope * affinity))).

    Affinity is the part of an item's utility that comes from the user's taste.

    Args:
        bias: intercept; None for that of the tastes, which is the demo's true one.
        slope: slope; None likewise.
    """

    bias: float | None = None
    slope: float | None = None


class EnvironmentConfig(Config):
    """Simulated users.

    Chaney et al. 2018 and Mansoury et al. 2020 simulate loops with users who don't change; here users are
    satiated, drift, get bored and leave, and each of these can be set to 0.
    """

    click: ClickConfig = ClickConfig()
    satiation: SatiationConfig = SatiationConfig()
    drift: DriftConfig = DriftConfig()
    boredom: BoredomConfig = BoredomConfig()
    visit: VisitConfig = VisitConfig()
    purchase: PurchaseConfig = PurchaseConfig()
