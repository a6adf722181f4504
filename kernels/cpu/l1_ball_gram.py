"""Exact least squares in an l1 ball, on patches: the active-set method of `lasso_gram` with a free lambda.

    minimise over z   1/2 ||x - D z||^2      such that   sum_k |z_k| <= radius

The minimum is that of the lasso at the lambda whose codes have this l1 norm. That norm is piecewise linear
in lambda [1]_. In each round, the atoms that violate optimality most enter at the present lambda. Then lambda
moves to where the active codes, at the minimum for their signs all the way, have the l1 norm of the ball;
codes that reach zero leave. After many rounds lambda moves only when no atom enters. Its codes are then those
of the lasso, so each of these lambdas is a bound of the one sought.

References
----------
.. [1] B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Ann. Statist. 32(2),
   2004, sec. 3.1.
"""

from math import sqrt

import numpy as np

from csc.kernels._constants import ENTER_FRACTION, SELECT_FRACTION
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import OPTIONS, solve, spaced
from csc.kernels.cpu.lasso_gram import (
    _advance,
    _enter,
    _leave,
    _load,
    _refine,
    _select,
    _slope,
    _write,
)
from csc.kernels.cpu.threads import in_batches

FIRST_FRACTION = 0.4  # of the largest correlation: the first lambda,
SHRINK = 0.3  # and how far it may fall in a round
FREE_ROUNDS = 20  # in which lambda moves although atoms entered: two sets of atoms could alternate
NORM_ROUNDING = 1e-12  # relative, of the l1 norm of codes in the ball
MARGIN = 0.1  # of the interval between two bounds: lambda keeps this distance from them
LEAST_FRACTION = 1e-15  # of the largest correlation: a ball that is not full there has the minimum


def l1_ball_gram(gram, correlations, energies, radius, options, z, gap):
    """Minimise over the ball for each signal until the duality gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,), float64
        D^T D, D^T x and ||x||^2.
    radius : float
        Of the ball, > 0.
    options : (tol, max_rounds)
        Relative duality gap; how often all correlations are computed again, at most.
    z : array (N, K)
        Codes of the answer.
    gap : array (N,)
        Duality gaps of the answer.
    """
    tol, max_rounds = options
    norm2, limits = float(gram.diagonal().max()), np.finfo(gram.dtype)
    options = float(radius), float(tol), int(max_rounds), float(limits.eps), float(limits.tiny)

    def scratch():
        n, length = len(gram), spaced(len(gram), np.float64)
        vectors = np.zeros((5, length))  # over the active atoms
        lists = np.zeros((5, length))  # over all atoms
        return np.ones(n), np.empty((n + 4, length)), *vectors, *lists, *np.empty((2, n), np.intp)

    in_batches(
        _solve, len(z), norm2, gram, correlations, energies, options, z, gap, scratch=scratch
    )


@entry(**OPTIONS)
def _solve(
    first, stop, norm2, gram, correlations, energies, options, z, gap,
    ones, factor, g, u, carry, codes, signs, q, c, lmbda, inverse_lmbda, priority, active, selected,
):  # fmt: skip
    _, _, _, eps, tiny = options
    for i in range(first, stop):
        least = max(8 * eps * sqrt(norm2 * energies[i]), tiny)
        _load(i, least, correlations, ones, q, lmbda, inverse_lmbda)
        m, gap[i] = _descend(
            gram, energies[i], options, least, factor, g, u, carry, codes, signs, q, c, lmbda, priority, active,
            selected,
        )  # fmt: skip
        _write(m, i, z, g, codes, signs, active)


@inner(**OPTIONS)
def _descend(
    gram, energy, options, least, factor, g, u, carry, codes, signs, q, c, lmbda, priority, active, selected,
):  # fmt: skip
    """Minimise for one signal; returns how many atoms are active, and the duality gap."""
    radius, tol, max_rounds, eps, _ = options
    m, last_gap, entered, last, low, high = 0, np.inf, 1, 0.0, least, np.inf
    now, gap = 0.0, 0.0
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, q, m, active, codes, c)
        top, cost, gap = _certify(len(gram), energy, radius, m, codes, q, c, priority, active)
        if rounds == 0:
            now, least = FIRST_FRACTION * top, max(least, LEAST_FRACTION * top)
            low = least
        if gap <= tol * cost or rounds == max_rounds:
            break
        is_still = abs(now - last) <= NORM_ROUNDING * now and gap > 0.5 * last_gap
        if entered == 0 and (is_still or now <= least):
            break  # only rounding is left, or the ball holds the minimum
        last, last_gap = now, gap
        m, entered = _add_violating(
            gram, top, now, eps, energy, m, factor, g, u, carry, codes, signs, q, c, lmbda, priority, active, selected,
        )  # fmt: skip
        if entered == 0:
            m = _refine(m, factor, g, u, carry, codes, signs, c, lmbda, active)
            low, high = _narrow(radius, now, low, high, m, codes)
        if entered == 0 or rounds < FREE_ROUNDS:
            margin = MARGIN * (high - low) if low > least and high < np.inf else 0.0
            bounds = max(low + margin, SHRINK * now), high - margin
            m, now = _fill(radius, bounds, now, m, factor, g, u, carry, codes, signs, active)
    return m, gap


@inner(**OPTIONS)
def _certify(n, energy, radius, m, codes, q, c, priority, active):
    """Largest |c|, objective and duality gap, infinite outside of the ball.

    Lists |c|, and 0 for active atoms.
    """
    residual, fit, norm, top = energy, 0.0, 0.0, 0.0
    for k in range(n):
        priority[k] = abs(c[k])
        top = max(top, priority[k])
    for a in range(m):
        k = active[a]
        norm += abs(codes[a])
        residual -= codes[a] * (q[k] + c[k])
        fit += codes[a] * c[k]
        priority[k] = 0
    gap = np.inf if norm > (1 + NORM_ROUNDING) * radius else max(radius * top - fit, 0.0)
    return top, 0.5 * max(residual, 0.0), gap


@inner(**OPTIONS)
def _add_violating(
    gram, top, now, eps, energy, m, factor, g, u, carry, codes, signs, q, c, lmbda, priority, active, selected,
):  # fmt: skip
    """Let the atoms that violate optimality most at lambda = ``now`` enter.

    Returns how many atoms are active, and how many entered.
    """
    entered, violation = 0, max(top - now, 0.0)
    for k in range(len(gram)):
        lmbda[k] = now
    for i in range(_select(len(gram), now + SELECT_FRACTION * violation, priority, selected)):
        k = selected[i]
        slope = _slope(gram, k, now + ENTER_FRACTION * violation, m, g, codes, q, c, lmbda, active)
        if slope != 0:
            m = _enter(
                gram, k, slope, eps, 0.5 * energy, m, factor, g, u, carry, codes, signs, active
            )
            entered += 1
    return m, entered


@inner(**OPTIONS)
def _narrow(radius, now, low, high, m, codes):
    """Bounds of lambda, once the codes are those of the lasso at ``now``."""
    norm = 0.0
    for a in range(m):
        norm += abs(codes[a])
    return (now, high) if norm > radius else (low, now)


@inner(**OPTIONS)
def _fill(radius, bounds, now, m, factor, g, u, carry, codes, signs, active):
    """Move lambda from ``now`` to where the codes have the norm ``radius``, or to one of its ``bounds``.

    Returns how many atoms are active, and that lambda.
    """
    while m > 0:
        norm = 0.0
        for a in range(m):
            norm += abs(codes[a])
        change = (norm - radius) / solve(m, factor, signs, u)
        change = min(max(change, bounds[0] - now), max(bounds[1] - now, 0.0))
        step, hit = _advance(-change, m, u, codes, signs)
        now += step * change
        if hit < 0:
            break
        _leave(hit, m, factor, g, carry, codes, signs, active)
        m -= 1
    return m, now
