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

from math import sqrt

import numpy as np

from csc.kernels._constants import ENTER_FRACTION, SELECT_FRACTION
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import (
    OPTIONS,
    append,
    largest,
    padded,
    remove,
    solve,
    spaced,
)
from csc.kernels.cpu.threads import in_batches


def lasso_gram(gram, correlations, energies, weights, positive, tol, max_rounds, start, z, gap):
    """Minimise the lasso of each signal until its duality gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64).
    weights : array (K,) or (N, K)
        lmbda w, of all signals or of each. Values below the rounding error of the correlations, such as 0, are replaced by
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
    nothing = np.empty((0, 0), gram.dtype)
    of_masks = nothing, nothing, np.empty((1, 0), np.bool_), 0.0
    of_signals, options = (correlations, energies, weights), (positive, tol, max_rounds)

    def matrices():
        return gram, nothing, np.empty(0, np.bool_)

    _run(float(gram.diagonal().max()), of_masks, of_signals, options, (start, z, gap), matrices)


def lasso_masked(
    matrix, seen, ridge, correlations, energies, weights, positive, tol, max_rounds, start, z, gap
):
    """As `lasso_gram`, of signals that were each observed at other samples.

    A row of the Gram matrix ``D^T M D + ridge`` of a signal is computed when its atom may enter.

    Parameters
    ----------
    matrix : array (K, n), float64
        Atoms as rows.
    seen : array (N, n), bool
        Observed samples.
    ridge : float
    correlations, energies : arrays (N, K), (N,), float64
        D^T M x and ||M x||^2.
    """
    norm2 = float(np.einsum("kn,kn->k", matrix, matrix).max()) + ridge
    of_masks = matrix, np.ascontiguousarray(matrix.T), seen, float(ridge)
    of_signals, options = (correlations, energies, weights), (positive, tol, max_rounds)

    def matrices():
        gram = np.empty((len(matrix), len(matrix)))
        return gram, gram, np.empty(len(matrix), np.bool_)

    _run(norm2, of_masks, of_signals, options, (start, z, gap), matrices)


def _run(norm2, of_masks, of_signals, options, answer, matrices):
    """Solve for each signal.

    ``matrices()`` makes those of a thread: a Gram matrix, its rows to be computed, and flags of those that are known.
    """
    (correlations, energies, weights), (positive, tol, max_rounds) = of_signals, options
    n, dtype = correlations.shape[1], of_masks[0].dtype
    limits, length = np.finfo(dtype), spaced(n, np.float64)
    options = not positive, float(tol), int(max_rounds), float(limits.eps), float(limits.tiny)

    def scratch():
        vectors = np.zeros((5, length))  # over the active atoms
        lists = np.zeros((6, spaced(n, dtype)), dtype)  # over all atoms
        factor, numbers = np.empty((n + 4, length)), np.empty((2, n), np.intp)
        return *matrices(), factor, *vectors, *lists, *numbers

    problem = norm2, *of_masks, correlations, energies, np.atleast_2d(weights)
    in_batches(_lasso, len(correlations), *problem, options, *answer, scratch=scratch)


@entry(**OPTIONS)
def _lasso(
    first, stop, norm2, matrix, columns, seen, ridge, correlations, energies, weights, options, start, z, gap,
    gram, rows, is_known, factor, g, u, carry, codes, signs, q, c, lmbda, inverse_lmbda, priority, scratch, active,
    selected,
):  # fmt: skip
    both_signs, _, _, eps, tiny = options
    for i in range(first, stop):
        for k in range(is_known.size):
            is_known[k] = False
        masked = matrix, columns, seen[i if len(seen) > 1 else 0], ridge, rows, is_known
        least = q.dtype.type(max(8 * eps * sqrt(norm2 * energies[i]), tiny))
        own_weights = weights[i if len(weights) > 1 else 0]
        _load(i, least, correlations, own_weights, q, lmbda, inverse_lmbda)
        m = _read(i, start, both_signs, codes, signs, active)
        for a in range(m):
            _compute_row(active[a], masked)
        m, gap[i] = _descend(
            gram, masked, energies[i], options, m, factor, g, u, carry, codes, signs, q, c, lmbda,
            inverse_lmbda, priority, scratch, active, selected,
        )  # fmt: skip
        _write(m, i, z, g, codes, signs, active)


@inner(**OPTIONS)
def _compute_row(k, masked):
    """Compute row ``k`` of the Gram matrix of a signal with a mask, unless it is known.

    ``masked`` has flags of the known rows last: none if all are known from the start. The rows are those of ``gram``,
    which is only read elsewhere.
    """
    matrix, columns, seen, ridge, rows, is_known = masked
    if is_known.size == 0 or is_known[k]:
        return
    is_known[k] = True
    for j in range(len(rows)):
        rows[k, j] = 0.0
    for p in range(seen.size):
        factor = matrix[k, p]
        if seen[p] and factor != 0:  # atoms of a series or a picture cover few samples
            for j in range(len(rows)):
                rows[k, j] += factor * columns[p, j]
    rows[k, k] += ridge


@inner(**OPTIONS)
def _descend(
    gram, masked, energy, options, m, factor, g, u, carry, codes, signs, q, c, lmbda, inverse_lmbda,
    priority, scratch, active, selected,
):  # fmt: skip
    """Minimise for one signal; returns how many atoms are active, and the duality gap.

    ``g``, ``u``, ``carry``, ``codes`` and ``signs`` are over the active atoms: right-hand side,
    solution, scratch, codes and their signs. ``q`` to ``scratch`` are over all atoms.
    """
    both_signs, tol, max_rounds, eps, _ = options
    warm, entered, last_cost, last_gap, gap = m > 0, 1, np.inf, np.inf, 0.0
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, q, m, active, codes, c)
        top = _dual_infeasibility(len(gram), both_signs, c, inverse_lmbda, priority, scratch)
        cost, gap = _certify(energy, top, m, codes, q, c, lmbda, priority, active)
        if gap <= tol * cost or rounds == max_rounds:
            break
        if (entered == 0 and gap > 0.5 * last_gap) or cost > 1.01 * last_cost:
            break  # only rounding errors are left, or they made G indefinite
        violation = max(top - 1, 0.0)
        select_above, enter_above = 1 + SELECT_FRACTION * violation, 1 + ENTER_FRACTION * violation
        if warm:  # a start was given: there is no factor yet
            warm, select_above, enter_above = False, 0.0, 1.0
            cost, gap = 0.5 * energy, np.inf  # of zero codes: the start need not be better
            _warm_start(len(gram), m, codes, signs, c, priority, active)
            m = 0
        entered, last_cost, last_gap = 0, cost, gap
        for i in range(_select(len(gram), select_above, priority, selected)):
            k = selected[i]
            _compute_row(k, masked)
            slope = _slope(gram, k, enter_above * lmbda[k], m, g, codes, q, c, lmbda, active)
            if slope != 0:
                m = _enter(gram, k, slope, eps, cost, m, factor, g, u, carry, codes, signs, active)
                entered += 1
        if entered == 0:
            m = _refine(m, factor, g, u, carry, codes, signs, c, lmbda, active)
    return m, gap


@inner(**OPTIONS)
def _load(i, least, correlations, weights, q, lmbda, inverse_lmbda):
    """List the correlations of signal ``i`` and ``lmbda w``, at least the rounding error of q."""
    for k in range(weights.size):
        q[k] = correlations[i, k]
        lmbda[k] = max(weights[k], least)
        inverse_lmbda[k] = 1 / lmbda[k]


@inner(**OPTIONS)
def _read(i, z, both_signs, codes, signs, active):
    """Make the atoms with nonzero codes of signal ``i`` active; returns how many."""
    used = 0
    for k in range(z.shape[1]):
        used += z[i, k] != 0
    m = 0
    for k in range(z.shape[1] if used else 0):  # usually there are none
        if z[i, k] > 0 or (z[i, k] < 0 and both_signs):
            active[m], codes[m], signs[m] = k, z[i, k], 1.0 if z[i, k] > 0 else -1.0
            m += 1
    return m


@inner(**OPTIONS)
def _write(m, i, z, g, codes, signs, active):
    """Write the codes of signal ``i`` to ``z``, and clear the working arrays."""
    for k in range(z.shape[1]):
        z[i, k] = 0
    for a in range(m):
        z[i, active[a]] = codes[a]
        codes[a] = signs[a] = g[a] = 0.0


@inner(**OPTIONS)
def _dual_infeasibility(n, both_signs, c, inverse_lmbda, priority, scratch):
    """List |c_k| / w_k, or c_k / w_k if codes must be positive; returns the largest."""
    negative_sign = c.dtype.type(-1 if both_signs else 0)
    for k in range(n):
        dual_infeasibility = max(c[k], negative_sign * c[k]) * inverse_lmbda[k]
        priority[k] = dual_infeasibility
        scratch[k] = dual_infeasibility
    return np.float64(largest(n, scratch))


@inner(**OPTIONS)
def _certify(energy, top, m, codes, q, c, lmbda, priority, active):
    """Objective and duality gap; gives active atoms priority 0. ``top`` is max |c| / w.

    At theta = shrink r, shrink = 1 / max(1, max |c| / w), the gap is computed without cancellation:
    1/2 (1 - shrink)^2 ||r||^2 + sum_a (w_a |z_a| - shrink c_a z_a).
    """
    residual, penalty_value, fit = energy, 0.0, 0.0
    for a in range(m):
        k, code = active[a], codes[a]
        residual -= code * (np.float64(q[k]) + c[k])
        penalty_value += abs(code) * lmbda[k]
        fit += code * c[k]
        priority[k] = 0
    half = 0.5 * max(residual, 0.0)
    shrink = 1 / max(top, 1.0)
    gap = half * ((1 - shrink) * (1 - shrink)) + penalty_value - shrink * fit
    return half + penalty_value, max(gap, 0.0)


@inner(**OPTIONS)
def _warm_start(n, m, codes, signs, c, priority, active):
    """Empty the active set and set priorities, so its atoms enter again by decreasing codes."""
    for k in range(n):
        priority[k] = 0
    for a in range(m):
        k = active[a]
        priority[k], c[k] = abs(codes[a]), signs[a]
        codes[a] = signs[a] = 0.0


@inner(**OPTIONS)
def _select(n, threshold, priority, selected):
    """List atoms with priority above ``threshold``, the largest first; returns how many."""
    n_selected, threshold = 0, priority.dtype.type(threshold)
    for k in range(n):
        if priority[k] > threshold:
            place = n_selected
            while place > 0 and priority[selected[place - 1]] < priority[k]:
                selected[place] = selected[place - 1]
                place -= 1
            selected[place] = k
            n_selected += 1
    return n_selected


@inner(forceinline=True, **OPTIONS)
def _slope(gram, k, threshold, m, g, codes, q, c, lmbda, active):
    """Minus the derivative of the objective along z_k; 0 if now |c_k| <= threshold.

    Leaves G_Ak in ``g``.
    """
    for a in range(m):
        g[a] = gram[k, active[a]]
    c_k = np.float64(q[k])
    for a in range(padded(m)):
        c_k -= g[a] * codes[a]
    sign = 1.0 if c[k] > 0 else -1.0
    return c_k - sign * lmbda[k] if sign * c_k > threshold else 0.0


@inner(forceinline=True, **OPTIONS)
def _enter(gram, k, slope, eps, cost, m, factor, g, u, carry, codes, signs, active):
    """Minimise over the active codes and z_k; codes that reach zero on the way leave.

    The curvature along the ray is the Schur complement of G_kk. If it is as small as its rounding
    error, atom k depends linearly on active atoms, and one of these leaves. No step can lower the
    objective by more than its value, unless rounding made G indefinite: this bounds the curvature
    from below, too.
    """
    size = 0.0
    while True:
        schur = gram[k, k] - solve(m, factor, g, u)
        least = max(64 * eps * gram[k, k], 0.5 * slope * slope / cost)
        way = slope / max(schur, least)
        step, hit = _advance(-way, m, u, codes, signs)
        size += step * way
        if hit < 0:
            break
        slope -= step * way * max(schur, 0.0)
        _leave(hit, m, factor, g, carry, codes, signs, active)
        m -= 1
    append(max(schur, least), m, factor, u)
    active[m], codes[m], signs[m] = k, size, 1.0 if size > 0 else -1.0 if size < 0 else 0.0
    return m + 1


@inner(**OPTIONS)
def _refine(m, factor, g, u, carry, codes, signs, c, lmbda, active):
    """Newton step to the minimum for the current signs; codes that reach zero leave."""
    for a in range(m):
        k = active[a]
        g[a] = c[k] - lmbda[k] * signs[a]
    while True:
        solve(m, factor, g, u)
        step, hit = _advance(1.0, m, u, codes, signs)
        if hit < 0:
            return m
        for a in range(m):
            g[a] *= 1 - step
        _leave(hit, m, factor, g, carry, codes, signs, active)
        m -= 1


@inner(**OPTIONS)
def _advance(scale, m, u, codes, signs):
    """Move the codes by ``scale * u``, but not past the first that reaches zero.

    Returns the fraction of the step taken, and the number of the atom that ended it or -1.
    """
    crossings = 0
    for a in range(m):
        crossings += (codes[a] + scale * u[a]) * signs[a] < 0
    step, hit = 1.0, -1
    if crossings > 0:
        for a in range(m):
            size, speed = codes[a] * signs[a], -scale * u[a] * signs[a]
            if speed * step > size:
                step, hit = size / speed, a
    for a in range(padded(m)):
        codes[a] += step * scale * u[a]
    return step, hit


@inner(**OPTIONS)
def _leave(j, m, factor, g, carry, codes, signs, active):
    """Remove atom number ``j`` of ``m`` from the active set and the right-hand side."""
    remove(j, m, factor, carry)
    for a in range(j, m - 1):
        active[a] = active[a + 1]
        g[a], codes[a], signs[a] = g[a + 1], codes[a + 1], signs[a + 1]
    g[m - 1] = codes[m - 1] = signs[m - 1] = 0.0
