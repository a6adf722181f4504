"""Exact lasso on patches: an active-set method on the Gram matrix, one thread per signal.

    minimise over z   1/2 ||x - D z||^2 + sum_k w_k |z_k|      (z >= 0 on request)

The active codes are always at the minimum for their signs [1]_. When an atom enters, the active
codes move along the ray on which that remains true; codes that reach zero on the way leave. All
correlations are computed again only after all selected atoms have entered. The number of steps is
finite and the minimum exact, so a small gap costs hardly more than a large one.

References
----------
.. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in least
   squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3: the descent method, one atom at a
   time.
"""

import numpy as np

from csc.kernels._constants import ENTER_FRACTION, SELECT_FRACTION
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import (
    CARRY,
    OPTIONS,
    G,
    U,
    append,
    largest,
    padded,
    remove,
    solve,
    spaced,
)
from csc.kernels.cpu.threads import in_batches

CODES, SIGNS = CARRY + 1, CARRY + 2  # more rows of ``work``: vectors over the active atoms
# Rows of ``lists``: vectors over all atoms.
Q, C, LMBDA, INVERSE_LMBDA, PRIORITY, SCRATCH = range(6)
ACTIVE, SELECTED = range(2)  # rows of ``index``: numbers of atoms


def lasso_gram(gram, correlations, energies, weights, positive, tol, max_rounds, start, z, gap):
    """Minimise the lasso of each signal until its duality gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64).
    weights : array (K,)
        lmbda w. Values below the rounding error of the correlations, such as 0, are replaced by
        that error.
    positive : bool
        Whether codes must not be negative.
    tol : float
        Relative duality gap.
    max_rounds : int
        How often all correlations of a signal are computed again, at most.
    start : array (N, K)
        Codes to start from.
    z : array (N, K)
        Codes of the answer; may be ``start``.
    gap : array (N,), float64
        Duality gaps of the answer.
    """
    norm2 = float(gram.diagonal().max())
    limits = np.finfo(gram.dtype)
    options = not positive, float(tol), int(max_rounds), float(limits.eps), float(limits.tiny)
    problem = norm2, gram, correlations, energies, weights

    def scratch():
        n, length = len(gram), spaced(len(gram), np.float64)
        factor, work = np.empty((n + 4, length)), np.zeros((5, length))
        lists = np.zeros((6, spaced(n, gram.dtype)), gram.dtype)
        return factor, work, lists, np.empty((2, n), np.intp)

    in_batches(_lasso, len(z), *problem, options, start, z, gap, scratch=scratch)


@entry(**OPTIONS)
def _lasso(
    first, stop, norm2, gram, correlations, energies, weights, options, start, z, gap,
    factor, work, lists, index,
):  # fmt: skip
    for i in range(first, stop):
        _load(i, norm2 * energies[i], options, correlations, weights, lists)
        m = _read(i, start, options[0], work, index)
        m, gap[i] = _descend(gram, (energies[i], *options), m, factor, work, lists, index)
        _write(m, i, z, work, index)


@inner(**OPTIONS)
def _descend(gram, options, m, factor, work, lists, index):
    """Minimise for one signal; returns how many atoms are active, and the duality gap."""
    energy, both_signs, tol, max_rounds, eps, _ = options
    warm, entered, last_cost, last_gap, gap = m > 0, 1, np.inf, np.inf, 0.0
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, lists[Q], m, index[ACTIVE], work[CODES], lists[C])
        top = _dual_infeasibility(len(gram), both_signs, lists)
        cost, gap = _certify(energy, top, m, work, lists, index)
        if gap <= tol * cost or rounds == max_rounds:
            break
        if (entered == 0 and gap > 0.5 * last_gap) or cost > 1.01 * last_cost:
            break  # only rounding errors are left, or they made G indefinite
        violation = max(top - 1, 0.0)
        select_above, enter_above = 1 + SELECT_FRACTION * violation, 1 + ENTER_FRACTION * violation
        if warm:  # a start was given: there is no factor yet
            warm, select_above, enter_above = False, 0.0, 1.0
            cost, gap = (
                0.5 * energy,
                np.inf,
            )  # of zero codes: the start need not be better than that
            m = _warm_start(len(gram), m, work, lists, index)
        entered, last_cost, last_gap = 0, cost, gap
        for i in range(_select(len(gram), select_above, lists, index)):
            k = index[SELECTED, i]
            slope = _slope(gram, k, enter_above, m, work, lists, index)
            if slope != 0:
                m = _enter(gram, k, slope, eps, cost, m, factor, work, index)
                entered += 1
        if entered == 0:
            m = _refine(m, factor, work, lists, index)
    return m, gap


@inner(**OPTIONS)
def _load(i, energy, options, correlations, weights, lists):
    """List the correlations of signal ``i`` and ``lmbda w``; ``energy`` bounds q_k^2."""
    _, _, _, eps, tiny = options
    least = lists.dtype.type(max(8 * eps * np.sqrt(energy), tiny))
    for k in range(weights.size):
        lists[Q, k] = correlations[i, k]
        lists[LMBDA, k] = max(weights[k], least)
        lists[INVERSE_LMBDA, k] = 1 / lists[LMBDA, k]


@inner(**OPTIONS)
def _read(i, z, both_signs, work, index):
    """Make the atoms with nonzero codes of signal ``i`` active; returns how many."""
    used = 0
    for k in range(z.shape[1]):
        used += z[i, k] != 0
    m = 0
    for k in range(z.shape[1] if used else 0):  # usually there are none
        if z[i, k] > 0 or (z[i, k] < 0 and both_signs):
            index[ACTIVE, m], work[CODES, m], work[SIGNS, m] = k, z[i, k], np.sign(z[i, k])
            m += 1
    return m


@inner(**OPTIONS)
def _write(m, i, z, work, index):
    """Write the codes of signal ``i`` to ``z``, and clear the working arrays."""
    for k in range(z.shape[1]):
        z[i, k] = 0
    for a in range(m):
        z[i, index[ACTIVE, a]] = work[CODES, a]
        work[CODES, a] = work[SIGNS, a] = work[G, a] = 0.0


@inner(**OPTIONS)
def _dual_infeasibility(n, both_signs, lists):
    """List |c_k| / w_k, or c_k / w_k if codes must be positive; returns the largest."""
    negative_sign = lists.dtype.type(-1 if both_signs else 0)
    for k in range(n):
        dual_infeasibility = max(lists[C, k], negative_sign * lists[C, k]) * lists[INVERSE_LMBDA, k]
        lists[PRIORITY, k] = dual_infeasibility
        lists[SCRATCH, k] = dual_infeasibility
    return np.float64(largest(n, lists))


@inner(**OPTIONS)
def _certify(energy, top, m, work, lists, index):
    """Objective and duality gap; gives active atoms priority 0. ``top`` is max |c| / w.

    At theta = shrink r, shrink = 1 / max(1, max |c| / w), the gap is computed without cancellation:
    1/2 (1 - shrink)^2 ||r||^2 + sum_a (w_a |z_a| - shrink c_a z_a).
    """
    residual, penalty_value, fit = energy, 0.0, 0.0
    for a in range(m):
        k, code = index[ACTIVE, a], work[CODES, a]
        residual -= code * (np.float64(lists[Q, k]) + lists[C, k])
        penalty_value += abs(code) * lists[LMBDA, k]
        fit += code * lists[C, k]
        lists[PRIORITY, k] = 0
    half = 0.5 * max(residual, 0.0)
    shrink = 1 / max(top, 1.0)
    return half + penalty_value, max(half * (1 - shrink) ** 2 + penalty_value - shrink * fit, 0.0)


@inner(**OPTIONS)
def _warm_start(n, m, work, lists, index):
    """Empty the active set and set priorities, so its atoms enter again by decreasing codes."""
    for k in range(n):
        lists[PRIORITY, k] = 0
    for a in range(m):
        k = index[ACTIVE, a]
        lists[PRIORITY, k], lists[C, k] = abs(work[CODES, a]), work[SIGNS, a]
        work[CODES, a] = work[SIGNS, a] = 0.0
    return 0


@inner(**OPTIONS)
def _select(n, threshold, lists, index):
    """List atoms with priority above ``threshold``, the largest first; returns how many."""
    selected, threshold = 0, lists.dtype.type(threshold)
    for k in range(n):
        if lists[PRIORITY, k] > threshold:
            place = selected
            while place > 0 and lists[PRIORITY, index[SELECTED, place - 1]] < lists[PRIORITY, k]:
                index[SELECTED, place] = index[SELECTED, place - 1]
                place -= 1
            index[SELECTED, place] = k
            selected += 1
    return selected


@inner(forceinline=True, **OPTIONS)
def _slope(gram, k, threshold, m, work, lists, index):
    """Minus the derivative of the objective along z_k; 0 if now |c_k| <= threshold w_k.

    Leaves g = G_Ak in ``work``.
    """
    for a in range(m):
        work[G, a] = gram[k, index[ACTIVE, a]]
    c = np.float64(lists[Q, k])
    for a in range(padded(m)):
        c -= work[G, a] * work[CODES, a]
    sign = 1.0 if lists[C, k] > 0 else -1.0
    return c - sign * lists[LMBDA, k] if sign * c > threshold * lists[LMBDA, k] else 0.0


@inner(forceinline=True, **OPTIONS)
def _enter(gram, k, slope, eps, cost, m, factor, work, index):
    """Minimise over the active codes and z_k; codes that reach zero on the way leave.

    The curvature along the ray is the Schur complement of G_kk. If it is as small as its rounding
    error, atom k depends linearly on active atoms, and one of these leaves. No step can lower the
    objective by more than its value, unless rounding made G indefinite: this bounds the curvature
    from below, too.
    """
    size = 0.0
    while True:
        schur = gram[k, k] - solve(m, factor, work)
        least = max(64 * eps * gram[k, k], 0.5 * slope * slope / cost)
        way = slope / max(schur, least)
        step, hit = _advance(-way, m, work)
        size += step * way
        if hit < 0:
            break
        slope -= step * way * max(schur, 0.0)
        _leave(hit, m, factor, work, index)
        m -= 1
    append(max(schur, least), m, factor, work)
    index[ACTIVE, m], work[CODES, m], work[SIGNS, m] = k, size, np.sign(size)
    return m + 1


@inner(**OPTIONS)
def _refine(m, factor, work, lists, index):
    """Newton step to the minimum for the current signs; codes that reach zero leave."""
    for a in range(m):
        k = index[ACTIVE, a]
        work[G, a] = lists[C, k] - lists[LMBDA, k] * work[SIGNS, a]
    while True:
        solve(m, factor, work)
        step, hit = _advance(1.0, m, work)
        if hit < 0:
            return m
        for a in range(m):
            work[G, a] *= 1 - step
        _leave(hit, m, factor, work, index)
        m -= 1


@inner(**OPTIONS)
def _advance(scale, m, work):
    """Move the codes by ``scale * u``, but not past the first that reaches zero.

    Returns the fraction of the step taken, and the number of the atom that ended it or -1.
    """
    crossings = 0
    for a in range(m):
        crossings += (work[CODES, a] + scale * work[U, a]) * work[SIGNS, a] < 0
    step, hit = 1.0, -1
    if crossings > 0:
        for a in range(m):
            size, speed = work[CODES, a] * work[SIGNS, a], -scale * work[U, a] * work[SIGNS, a]
            if speed * step > size:
                step, hit = size / speed, a
    for a in range(padded(m)):
        work[CODES, a] += step * scale * work[U, a]
    return step, hit


@inner(**OPTIONS)
def _leave(j, m, factor, work, index):
    """Remove atom number ``j`` of ``m`` from the active set and the right-hand side."""
    remove(j, m, factor, work)
    for a in range(j, m - 1):
        index[ACTIVE, a] = index[ACTIVE, a + 1]
        for row in (G, CODES, SIGNS):
            work[row, a] = work[row, a + 1]
    work[G, m - 1] = work[CODES, m - 1] = work[SIGNS, m - 1] = 0.0
