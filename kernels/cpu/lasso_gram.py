"""Exact lasso on patches: an active-set method on the Gram matrix, a signal a thread.

    minimise over z   1/2 ||x - D z||^2 + sum_k w_k |z_k|      (z >= 0 on request)

The active codes are always at the minimum for their signs [1]_. An atom enters along the ray on
which that stays so; the codes that reach zero on the way leave. Only when the called atoms have
entered are all correlations computed again. The number of steps is finite and the minimum
exact, so a small gap costs hardly more than a large one.

References
----------
.. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in least
   squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3: the descent method, one atom at a
   time.
"""

import numpy as np
from numba import njit

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

CALLED = 0.4  # share of the worst violation that calls an atom to the active set,
ENTERS = 0.2  # and that it must still have when its turn comes
CODES, SIGNS = CARRY + 1, CARRY + 2  # more rows of ``work``: vectors over the active atoms
Q, C, PRICES, WORTHS, EXCESS, FOLD = range(6)  # rows of ``lists``: vectors over all atoms
ACTIVE, CALLS = range(2)  # rows of ``index``: numbers of atoms


def lasso_gram(  # noqa: PLR0913  a kernel has no objects to group its arrays in
    gram, correlations, energies, weights, positive, tol, max_rounds, start, z, gap
):
    """Minimise the lasso of each signal until its duality gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64).
    weights : array (K,)
        w, with lmbda in it. Weights below the rounding error of the correlations, zero for
        one, count as that error.
    positive : bool
        Whether codes must not be negative.
    tol : float
        Relative duality gap.
    max_rounds : int
        Most times that all correlations of a signal are computed again.
    start : array (N, K)
        Codes to start from.
    z : array (N, K)
        Codes of the answer; may be ``start``.
    gap : array (N,), float64
        Duality gaps of the answer.
    """
    norm2 = float(gram.diagonal().max())
    rules = not positive, float(tol), int(max_rounds)
    problem = norm2, gram, correlations, energies, weights
    in_batches(_lasso, len(z), *problem, rules, start, z, gap)


@njit(**OPTIONS)
def _lasso(  # noqa: PLR0913
    first, stop, norm2, gram, correlations, energies, weights, rules, start, z, gap
):
    n_atoms = len(gram)
    factor = np.empty((n_atoms + 4, spaced(n_atoms, 8)))
    work = np.zeros((5, spaced(n_atoms, 8)))
    lists = np.zeros((6, spaced(n_atoms, gram.itemsize)), gram.dtype)
    index = np.empty((2, n_atoms), np.intp)
    for i in range(first, stop):
        _price(i, norm2 * energies[i], correlations, weights, lists)
        m = _read(i, start, rules[0], work, index)
        m, gap[i] = _descend(gram, (energies[i], *rules), m, factor, work, lists, index)
        _write(m, i, z, work, index)


@njit(**OPTIONS)
def _descend(gram, rules, m, factor, work, lists, index):
    """Minimise for one signal; returns how many atoms are active, and the duality gap."""
    energy, both_signs, tol, max_rounds = rules
    warm, entered, last_cost, last_gap, gap = m > 0, 1, np.inf, np.inf, 0.0
    for rounds in range(max_rounds + 1):
        _correlate(gram, m, work, lists, index)
        top = _excess(len(gram), both_signs, lists)
        cost, gap = _certify(energy, top, m, work, lists, index)
        if gap <= tol * cost or rounds == max_rounds:
            break
        if (entered == 0 and gap > 0.5 * last_gap) or cost > 1.01 * last_cost:
            break  # only rounding is left, or G is indefinite from it
        violation = max(top - 1, 0.0)
        called, enters = 1 + CALLED * violation, 1 + ENTERS * violation
        if warm:  # there is no factor yet
            warm, called, enters = False, 0.0, 1.0
            cost, gap = 0.5 * energy, np.inf  # of no codes at all; these may gain nothing yet
            m = _recall(len(gram), m, work, lists, index)
        entered, last_cost, last_gap = 0, cost, gap
        for i in range(_call(len(gram), called, lists, index)):
            k = index[CALLS, i]
            slope = _slope(gram, k, enters, m, work, lists, index)
            if slope != 0:
                m = _enter(gram, k, slope, cost, m, factor, work, index)
                entered += 1
        if entered == 0:
            m = _refine(m, factor, work, lists, index)
    return m, gap


@njit(**OPTIONS)
def _price(i, energy, correlations, weights, lists):
    """List the correlations and the prices of signal ``i``; ``energy`` bounds q_k^2."""
    limits = np.finfo(weights.dtype)
    least = lists.dtype.type(max(8 * limits.eps * np.sqrt(energy), limits.tiny))
    for k in range(weights.size):
        lists[Q, k] = correlations[i, k]
        lists[PRICES, k] = max(weights[k], least)
        lists[WORTHS, k] = 1 / lists[PRICES, k]


@njit(**OPTIONS)
def _read(i, z, both_signs, work, index):
    """Let the atoms that signal ``i`` uses be active; returns how many."""
    used = 0
    for k in range(z.shape[1]):
        used += z[i, k] != 0
    m = 0
    for k in range(z.shape[1] if used else 0):  # most often there are none
        if z[i, k] > 0 or (z[i, k] < 0 and both_signs):
            index[ACTIVE, m], work[CODES, m], work[SIGNS, m] = k, z[i, k], np.sign(z[i, k])
            m += 1
    return m


@njit(**OPTIONS)
def _write(m, i, z, work, index):
    """Write the codes of signal ``i``, and clear them."""
    for k in range(z.shape[1]):
        z[i, k] = 0
    for a in range(m):
        z[i, index[ACTIVE, a]] = work[CODES, a]
        work[CODES, a] = work[SIGNS, a] = work[G, a] = 0.0


@njit(**OPTIONS)
def _correlate(gram, m, work, lists, index):
    """c = D^T r = q - G_:A z_A, four atoms at a time."""
    scalar, n = gram.dtype.type, len(gram)
    for k in range(n):
        lists[C, k] = lists[Q, k]
    fours = m - m % 4
    for a in range(0, fours, 4):
        k0, k1 = index[ACTIVE, a], index[ACTIVE, a + 1]
        k2, k3 = index[ACTIVE, a + 2], index[ACTIVE, a + 3]
        z0, z1 = scalar(work[CODES, a]), scalar(work[CODES, a + 1])
        z2, z3 = scalar(work[CODES, a + 2]), scalar(work[CODES, a + 3])
        for k in range(n):
            lists[C, k] -= (z0 * gram[k0, k] + z1 * gram[k1, k]) + (
                z2 * gram[k2, k] + z3 * gram[k3, k]
            )
    for a in range(fours, m):
        k0, z0 = index[ACTIVE, a], scalar(work[CODES, a])
        for k in range(n):
            lists[C, k] -= z0 * gram[k0, k]


@njit(**OPTIONS)
def _excess(n, both_signs, lists):
    """List |c_k| / w_k, or c_k / w_k if codes must be positive; returns the largest."""
    mirror = lists.dtype.type(-1 if both_signs else 0)
    for k in range(n):
        dual_infeasibility = max(lists[C, k], mirror * lists[C, k]) * lists[WORTHS, k]
        lists[EXCESS, k] = dual_infeasibility
        lists[FOLD, k] = dual_infeasibility
    return np.float64(largest(n, lists, FOLD))


@njit(**OPTIONS)
def _certify(energy, top, m, work, lists, index):
    """Objective and duality gap, and no excess for active atoms; ``top`` is max |c| / w.

    At theta = shrink r, shrink = 1 / max(1, max |c| / w), the gap is free of cancellation:
    1/2 (1 - shrink)^2 ||r||^2 + sum_a (w_a |z_a| - shrink c_a z_a).
    """
    residual, price, fit = energy, 0.0, 0.0
    for a in range(m):
        k, code = index[ACTIVE, a], work[CODES, a]
        residual -= code * (np.float64(lists[Q, k]) + lists[C, k])
        price += abs(code) * lists[PRICES, k]
        fit += code * lists[C, k]
        lists[EXCESS, k] = 0
    half = 0.5 * max(residual, 0.0)
    shrink = 1 / max(top, 1.0)
    return half + price, max(half * (1 - shrink) ** 2 + price - shrink * fit, 0.0)


@njit(**OPTIONS)
def _recall(n, m, work, lists, index):
    """Empty the active set, to call its atoms again in the order of their codes."""
    for k in range(n):
        lists[EXCESS, k] = 0
    for a in range(m):
        k = index[ACTIVE, a]
        lists[EXCESS, k], lists[C, k] = abs(work[CODES, a]), work[SIGNS, a]
        work[CODES, a] = work[SIGNS, a] = 0.0
    return 0


@njit(**OPTIONS)
def _call(n, bar, lists, index):
    """List the atoms with excess above ``bar``, the worst first; returns how many."""
    calls, bar = 0, lists.dtype.type(bar)
    for k in range(n):
        if lists[EXCESS, k] > bar:
            place = calls
            while place > 0 and lists[EXCESS, index[CALLS, place - 1]] < lists[EXCESS, k]:
                index[CALLS, place] = index[CALLS, place - 1]
                place -= 1
            index[CALLS, place] = k
            calls += 1
    return calls


@njit(forceinline=True, **OPTIONS)
def _slope(gram, k, bar, m, work, lists, index):
    """How steeply the objective falls along z_k, signed; 0 if |c_k| <= bar w_k by now.

    Leaves g = G_Ak in ``work``.
    """
    for a in range(m):
        work[G, a] = gram[k, index[ACTIVE, a]]
    c = np.float64(lists[Q, k])
    for a in range(padded(m)):
        c -= work[G, a] * work[CODES, a]
    sign = 1.0 if lists[C, k] > 0 else -1.0
    return c - sign * lists[PRICES, k] if sign * c > bar * lists[PRICES, k] else 0.0


@njit(forceinline=True, **OPTIONS)
def _enter(gram, k, slope, cost, m, factor, work, index):  # noqa: PLR0913
    """Minimise over the active codes and z_k; codes that reach zero on the way leave.

    The curvature along the ray is the Schur complement of G_kk. At its rounding error atom k
    depends on active ones, and one of these leaves. No step lowers the objective by more than
    its whole, unless G is indefinite from rounding: that bounds the curvature too.
    """
    size = 0.0
    while True:
        schur = gram[k, k] - solve(m, factor, work)
        least = max(64 * np.finfo(gram.dtype).eps * gram[k, k], 0.5 * slope * slope / cost)
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


@njit(**OPTIONS)
def _refine(m, factor, work, lists, index):
    """Newton's step to the minimum for the present signs; codes that reach zero leave."""
    for a in range(m):
        k = index[ACTIVE, a]
        work[G, a] = lists[C, k] - lists[PRICES, k] * work[SIGNS, a]
    while True:
        solve(m, factor, work)
        step, hit = _advance(1.0, m, work)
        if hit < 0:
            return m
        for a in range(m):
            work[G, a] *= 1 - step
        _leave(hit, m, factor, work, index)
        m -= 1


@njit(**OPTIONS)
def _advance(scale, m, work):
    """Move the codes by ``scale * u``, but not past the first that reaches zero.

    Returns the part of the way gone, and the number of the atom that ended it or -1.
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


@njit(**OPTIONS)
def _leave(j, m, factor, work, index):
    """Atom number ``j`` of ``m`` leaves the active set, and the right-hand side."""
    remove(j, m, factor, work)
    for a in range(j, m - 1):
        index[ACTIVE, a] = index[ACTIVE, a + 1]
        for row in (G, CODES, SIGNS):
            work[row, a] = work[row, a + 1]
    work[G, m - 1] = work[CODES, m - 1] = work[SIGNS, m - 1] = 0.0
