"""Shared by the ADMM solvers: balancing of rho, norms."""

from math import inf

MAX_RHO_FACTOR = 2.0  # largest change of rho at a time
BALANCED_RATIO = 1.2  # of the relative residuals: up to this, rho stays


def rho_factor(primal, dual, codes, multiplier, balanced_ratio=BALANCED_RATIO):
    """Factor of rho: the root of the ratio of relative residuals, which have no unit [1]_.

    Parameters
    ----------
    primal, dual : floats
        Squared distances of the codes from their copies, and of the copies from the last ones.
    codes, multiplier : floats
        Squared sizes of the codes, and of the dual variable over rho.
    balanced_ratio : float
        Up to this ratio of the relative residuals, rho stays.

    References
    ----------
    .. [1] B. Wohlberg, "ADMM penalty parameter selection by residual balancing",
       arXiv:1704.06209, 2017, sec. IV.
    """
    if dual == 0 < primal:  # the copies are constant, such as zeros below their threshold
        return MAX_RHO_FACTOR
    if min(primal, dual, codes, multiplier) == 0:
        return 1.0
    ratio = ((primal / codes) / (dual / multiplier)) ** 0.5
    if 1 / balanced_ratio <= ratio <= balanced_ratio:
        return 1.0
    return min(max(ratio**0.5, 1 / MAX_RHO_FACTOR), MAX_RHO_FACTOR)


def mean_lmbda(penalty):
    """``lmbda`` times the mean finite weight."""
    weights = getattr(penalty, "weights", None)
    if weights is None:
        return float(penalty.lmbda)
    return float(penalty.lmbda) * float(weights[weights < inf].mean())


def layer_scales(dictionary):
    """``||D_1||^2 ... ||D_i||^2`` of every layer i, ``||D||^2`` the mean squared norm of atoms."""
    scales, product = [], 1.0
    for D in dictionary.layers:
        product *= squared_norm(D.atoms) / len(D.atoms)
        scales.append(product)
    return tuple(scales)


def squared_norm(a):
    """``||a||^2``, without an array of squares."""
    flat = a.reshape(-1)
    return float(flat @ flat)
