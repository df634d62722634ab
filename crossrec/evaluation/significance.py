"""Significance and effect size of differences between two systems: paired tests over users.

A difference is one number per user, NaN where the user has no value; U users, M comparisons at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.evaluation.config import TestName

CHUNK_CELLS = 1 << 22
ROUNDING = 1e-12
"""Sums that differ by less, relative to the sum of all magnitudes, count as equal."""
SIGNIFICANT = 0.05
"""Significance level of corrected p values."""


@dataclass(frozen=True)
class EffectSize:
    """Effect size of a paired difference, independent of the number of users.

    Args:
        cohen_dz: mean of the differences over their standard deviation; NaN where they don't vary.
        rank_biserial: (W+ - W-) / (W+ + W-) of the signed-rank sums, from -1 to 1; 0 where all are equal.
        share_higher: share of the users whose value rose.
        share_lower: share of the users whose value fell.
    """

    cohen_dz: float
    rank_biserial: float
    share_higher: float
    share_lower: float


def p_values(test: TestName, difference_UM: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """Return two-sided p of no difference, for M comparisons.

    Args:
        test: name of the test; its function documents its assumptions.
        difference_UM: (U, M) differences; users with NaN are omitted from that comparison.
        n_permutations: number of permutations of the randomisation test; ignored by the other tests.
        seed: seed of the randomisation test.

    Returns:
        (M,); 1 where all differences are zero, NaN with fewer than two users.
    """
    if test == "t":
        return np.array([_p_of_t(_usable(column)) for column in difference_UM.T], dtype=float)
    return randomisation(difference_UM, n_permutations, seed)


def paired_t(difference_U: np.ndarray) -> float:
    """Return p of Student's t test of a zero mean difference.

    It assumes a normal mean of the differences, which holds for many users.

    Source:
        Student: The probable error of a mean (Biometrika 1908).
    """
    from scipy.stats import ttest_1samp

    # Equal differences have no spread: scipy warns of it and returns t = inf, so p = 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.0 if np.ptp(difference_U) == 0 else float(ttest_1samp(difference_U, 0.0).pvalue)


def randomisation(difference_UM: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """Return p of Fisher's randomisation test on the mean, whether the systems' labels are exchangeable.

    Each user's difference changes its sign with probability 1/2; p = (1 + #{|sum*| >= |sum|}) / (1 + R). It
    is exact if every difference is symmetric about zero, which exchangeable labels imply, and needs no
    normality. For skewed differences with zero mean it holds approximately, and better with more users
    (Romano 1990). All M comparisons share the signs.

    Args:
        difference_UM: (U, M); NaN where a user has no value.
        n_permutations: R; the smallest p is 1 / (1 + R).
        seed: seed of the random signs.

    Returns:
        (M,); 1 where all differences are zero, NaN with fewer than two users.

    Source:
        Fisher: The design of experiments (1935), section 21; Smucker, Allan, Carterette: A comparison of
        statistical significance tests for information retrieval evaluation (CIKM 2007); Romano: On the
        behavior of randomization tests without a group invariance assumption (JASA 1990).
    """
    known_M = (~np.isnan(difference_UM)).sum(0)
    # A zero has no sign to change, and missing values are treated as zero.
    filled_UM = np.nan_to_num(difference_UM)
    filled_UM = filled_UM[(filled_UM != 0).any(1)]
    observed_M = filled_UM.sum(0)
    reached_M = np.abs(observed_M) - ROUNDING * np.abs(filled_UM).sum(0)
    rng = np.random.default_rng(seed)
    exceeded_M = np.zeros(len(known_M))
    step = max(1, CHUNK_CELLS // max(1, *filled_UM.shape))
    for start in range(0, n_permutations, step):
        rows = min(step, n_permutations - start)
        kept_RU = rng.integers(0, 2, (rows, len(filled_UM)), dtype=np.uint8).astype(float)
        sums_RM = 2 * (kept_RU @ filled_UM) - observed_M
        exceeded_M += (np.abs(sums_RM) >= reached_M).sum(0)
    return np.where(known_M > 1, (1 + exceeded_M) / (1 + n_permutations), np.nan)


def holm(p_M: np.ndarray) -> np.ndarray:
    """Return p values corrected by Holm's method, which controls the family-wise error rate of M tests.

    The r-th smallest p becomes max over s <= r of min(1, (M - s + 1) p_(s)).

    Args:
        p_M: (M,) p values; NaN is not a comparison and stays.

    Returns:
        (M,), each at least its p.

    Source:
        Holm: A simple sequentially rejective multiple test procedure (Scandinavian Journal of Statistics
        1979).
    """
    adjusted_M = np.full(len(p_M), np.nan)
    known = np.flatnonzero(~np.isnan(p_M))
    order = known[np.argsort(p_M[known], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    adjusted_M[order] = np.maximum.accumulate(np.minimum(1.0, factor * p_M[order]))
    return adjusted_M


def effect_size(difference_U: np.ndarray) -> EffectSize:
    """Return the effect size of one comparison.

    Args:
        difference_U: (U,); users with NaN are left out.

    Source:
        Cohen: Statistical power analysis for the behavioral sciences (1988), section 2.3.5 (d_z); Kerby:
        The simple difference formula (Comprehensive Psychology 2014).
    """
    from scipy.stats import rankdata

    difference_U = _usable(difference_U)
    if not len(difference_U):
        return EffectSize(np.nan, np.nan, np.nan, np.nan)
    varied = len(difference_U) > 1 and np.ptp(difference_U) > 0
    changed = difference_U[difference_U != 0]
    rank = rankdata(np.abs(changed))
    return EffectSize(
        cohen_dz=float(difference_U.mean() / difference_U.std(ddof=1)) if varied else np.nan,
        rank_biserial=float((rank * np.sign(changed)).sum() / rank.sum()) if len(changed) else 0.0,
        share_higher=float((difference_U > 0).mean()),
        share_lower=float((difference_U < 0).mean()),
    )


def _p_of_t(difference_U: np.ndarray) -> float:
    if len(difference_U) < 2:
        return np.nan
    return paired_t(difference_U) if difference_U.any() else 1.0


def _usable(difference_U: np.ndarray) -> np.ndarray:
    return difference_U[~np.isnan(difference_U)]
