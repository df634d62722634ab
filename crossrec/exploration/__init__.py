"""Explorers: lists drawn at random from a pool, with the probabilities of what is shown."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

EXPLORERS = Family(
    "explorer",
    {
        "epsilon_greedy": "crossrec.exploration.epsilon_greedy:EpsilonGreedy",
        "softmax": "crossrec.exploration.plackett_luce:PlackettLuce",
        "dpp_sampling": "crossrec.exploration.dpp_sampling:DPPSampling",
        "ucb": "crossrec.exploration.linear_bandit:UCB",
        "thompson": "crossrec.exploration.linear_bandit:ThompsonSampling",
    },
)
ExplorerOptions = Annotated[ComponentOptions, EXPLORERS]
