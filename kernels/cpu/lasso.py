"""Exact lasso on patches: an active-set method on the Gram matrix, a signal a thread.

minimise over z   1/2 ||x - D z||^2 + sum_k w_k |z_k|      (z >= 0 on request)
"""

from typing import NamedTuple

import numpy as np
from csc.kernels.cpu.active_set import (
    BATCH,
    FAST,
    append,
    empty_factor,
    inlined,
    largest,
    padded,
    remove,
    solve,
    subtract,
)  # fmt: skip
from numba import njit, prange

CANDIDATE = 0.4  # share of the worst violation that calls an atom to the active set,
ENTERS = 0.2  # and that it must still have when its turn comes


class Scratch(NamedTuple):
    """Memory of one thread; ``a`` counts the active atoms, ``k`` all atoms."""

    factor: np.ndarray  # F, see csc.kernels.cpu.active_set
    active: np.ndarray  # indices k of the active atoms
    codes: np.ndarray  # z_a
    signs: np.ndarray  # of z_a
    g: np.ndarray  # right-hand side
    u: np.ndarray  # G_AA^-1 g
    carry: np.ndarray
    prices: np.ndarray  # w_k
    worths: np.ndarray  # 1 / w_k
    c: np.ndarray  # D^T r
    excess: np.ndarray  # |c_k| / w_k
    fold: np.ndarray
    called: np.ndarray  # indices k of the candidates


@njit(cache=True, parallel=True)
def lasso_gram(form, weights, rules, z, gap):
    """Codes of all signals, each to its own relative duality gap.

    Rounds of an active-set method: list the atoms whose correlation with the residual exceeds
    its price most, let them in one by one, each time minimising exactly over the active codes and
    the new one (codes that reach zero on the way leave), look again. It ends in finitely many
    steps, so a gap of 1e-10 costs hardly more than one of 1e-4.

    Parameters
    ----------
    form : (gram (K, K), correlations (N, K), energies (N,) float64): D^T D, D^T x, ||x||^2
    weights : (K,) array, the price w_k of each atom
    rules : (positive, tol, max_rounds): ask for z >= 0; stop at gap <= tol * objective
    z : (N, K) array, the start and then the answer
    gap : (N,) float64 array, out
    """
    for batch in prange(-(-len(z) // BATCH)):
        _code_batch(form, weights, rules, batch, z, gap)


@njit(cache=True)
def _code_batch(form, weights, rules, batch, z, gap):
    """Code ``BATCH`` signals with one scratch memory."""
    s = _scratch(weights)
    for i in range(batch * BATCH, min(len(z), (batch + 1) * BATCH)):
        gap[i] = _code(form, weights, rules, i, z, s)


@njit(cache=True)
def _scratch(weights):
    k, room = weights.size, padded(weights.size)
    return Scratch(
        empty_factor(k), np.empty(k, np.intp),
        np.zeros(room), np.zeros(room), np.empty(room), np.empty(room), np.empty(room),
        np.empty_like(weights), np.empty_like(weights), np.empty_like(weights),
        np.empty_like(weights), np.empty_like(weights), np.empty(k, np.intp),
    )  # fmt: skip


@njit(cache=True, fastmath=FAST)
def _code(form, weights, rules, i, z, s):
    """Code signal ``i``; returns its duality gap."""
    gram, correlations, energies = form
    positive, tol, max_rounds = rules
    q, energy = correlations[i], energies[i]
    _set_prices(gram, energy, weights, s)
    m = _factorise(gram, _start(i, z, positive, s), s)
    minimal, grew, last = m == 0, True, np.inf
    for round in range(max_rounds + 1):
        top, cost, gap = _evaluate(gram, q, energy, positive, m, s)
        if gap <= tol * cost or round == max_rounds:
            break
        if not minimal:  # codes to start from, not yet the best for their signs
            m, minimal = _refine(m, s), True
            continue
        if not grew:
            if gap > 0.5 * last:  # nothing enters and nothing improves: this is rounding
                break
            m, last = _refine(m, s), gap
        violation, grew = max(top - 1, 0.0), False
        for j in range(_candidates(1 + CANDIDATE * violation, s)):
            k = s.called[j]
            bar = 1 + ENTERS * violation
            slope = _slope(gram, q[k], k, (positive, bar), m, s)
            if slope != 0:
                m = _enter(gram, k, slope, m, s)
                grew = True
    for k in range(s.c.size):
        z[i, k] = 0
    for a in range(m):
        z[i, s.active[a]] = s.codes[a]
        s.codes[a] = s.signs[a] = 0.0
    return gap


@inlined
def _dependent(gram, k):
    """Schur complement below which atom k counts as a combination of the active ones."""
    return np.finfo(gram.dtype).eps ** (2 / 3) * gram[k, k]


@inlined
def _set_prices(gram, energy, weights, s):
    """Prices of this signal: the weights, but no less than the rounding of a correlation."""
    largest_norm = 0.0
    for k in range(weights.size):
        largest_norm = max(largest_norm, gram[k, k])
    least = 8 * np.finfo(gram.dtype).eps * np.sqrt(largest_norm * energy)
    for k in range(weights.size):
        s.prices[k] = max(weights[k], least)
        s.worths[k] = 1 / s.prices[k]


@inlined
def _gather(gram, k, m, s):
    """g = G_Ak."""
    for a in range(m):
        s.g[a] = gram[k, s.active[a]]
    for a in range(m, padded(m)):
        s.g[a] = 0.0


@inlined
def _start(i, z, positive, s):
    """Active set of the codes to start from."""
    m = 0
    for k in range(z.shape[1]):
        if z[i, k] > 0 or (z[i, k] < 0 and not positive):
            s.active[m], s.codes[m], s.signs[m] = k, z[i, k], np.sign(z[i, k])
            m += 1
    return m


@inlined
def _factorise(gram, m, s):
    """Factor of the active atoms; those that depend on earlier ones leave."""
    kept = 0
    for a in range(m):
        k, code, sign = s.active[a], s.codes[a], s.signs[a]
        s.codes[a] = s.signs[a] = 0.0
        _gather(gram, k, kept, s)
        schur = gram[k, k] - solve(s.factor, s.g, kept, s.u)
        if schur > _dependent(gram, k):
            append(s.factor, s.u, schur, kept)
            s.active[kept], s.codes[kept], s.signs[kept] = k, code, sign
            kept += 1
    return kept


@inlined
def _evaluate(gram, q, energy, positive, m, s):
    """Correlations c with the residual; returns max |c| / w, the objective and the duality gap.

    At theta = shrink r, shrink = 1 / max(1, max |c| / w), the gap is free of cancellation:
    1/2 (1 - shrink)^2 ||r||^2 + sum_a (w_a |z_a| - shrink c_a z_a).
    """
    for k in range(s.c.size):
        s.c[k] = q[k]
    subtract(gram, s.active, s.codes, m, s.c)
    if positive:
        for k in range(s.c.size):
            s.excess[k] = s.c[k] * s.worths[k]
    else:
        for k in range(s.c.size):
            s.excess[k] = abs(s.c[k]) * s.worths[k]
    top = float(largest(s.excess, s.fold))
    residual, price, fit = energy, 0.0, 0.0
    for a in range(m):
        k = s.active[a]
        residual -= s.codes[a] * (float(q[k]) + s.c[k])
        price += s.codes[a] * s.signs[a] * s.prices[k]
        fit += s.codes[a] * s.c[k]
        s.excess[k] = 0  # no candidate
    half = 0.5 * max(residual, 0.0)
    shrink = 1 / max(top, 1.0)
    return top, half + price, max(half * (1 - shrink) ** 2 + price - shrink * fit, 0.0)


@inlined
def _candidates(bar, s):
    """List the atoms with |c_k| > bar w_k, the worst first; returns how many."""
    n = 0
    low = s.excess.dtype.type(bar)
    for k in range(s.excess.size):
        if s.excess[k] > low:
            place = n
            while place > 0 and s.excess[s.called[place - 1]] < s.excess[k]:
                s.called[place] = s.called[place - 1]
                place -= 1
            s.called[place] = k
            n += 1
    return n


@inlined
def _slope(gram, q_k, k, test, m, s):
    """How steeply the objective falls along z_k, with its sign; 0 unless |c_k| > bar w_k."""
    positive, bar = test
    _gather(gram, k, m, s)
    c = float(q_k)
    for a in range(padded(m)):
        c -= s.g[a] * s.codes[a]
    if c > bar * s.prices[k]:
        return c - s.prices[k]
    if -c > bar * s.prices[k] and not positive:
        return c + s.prices[k]
    return 0.0


@inlined
def _enter(gram, k, slope, m, s):
    """Minimise over the active codes and z_k; codes that reach zero on the way leave."""
    size = 0.0
    while True:
        schur = max(gram[k, k] - solve(s.factor, s.g, m, s.u), _dependent(gram, k))
        step, hit = _advance(s, m, -slope / schur, 1.0)
        size += step * slope / schur
        if hit < 0:
            break
        slope *= 1 - step
        _leave(s, hit, m)
        m -= 1
    append(s.factor, s.u, schur, m)
    s.active[m], s.codes[m], s.signs[m] = k, size, np.sign(size)
    return m + 1


@inlined
def _refine(m, s):
    """Newton's step to the minimum for the present signs; codes that reach zero leave."""
    for a in range(m):
        k = s.active[a]
        s.g[a] = s.c[k] - s.prices[k] * s.signs[a]
    for a in range(m, padded(m)):
        s.g[a] = 0.0
    while True:
        solve(s.factor, s.g, m, s.u)
        step, hit = _advance(s, m, 1.0, 1.0)
        if hit < 0:
            return m
        for a in range(m):
            s.g[a] *= 1 - step
        _leave(s, hit, m)
        m -= 1


@inlined
def _advance(s, m, scale, step):
    """Move the codes by ``step * scale * u``, but not past the first that reaches zero.

    Returns the step taken and the number of the atom that stopped it, or -1.
    """
    crossings = 0
    for a in range(m):
        crossings += (s.codes[a] + step * scale * s.u[a]) * s.signs[a] < 0
    hit = -1
    if crossings > 0:
        for a in range(m):
            size, speed = s.codes[a] * s.signs[a], -scale * s.u[a] * s.signs[a]
            if speed * step > size:
                step, hit = size / speed, a
    for a in range(padded(m)):
        s.codes[a] += step * scale * s.u[a]
    return step, hit


@inlined
def _leave(s, j, m):
    """Atom number ``j`` of ``m`` leaves the active set, and the right-hand side."""
    remove(s.factor, j, m, s.carry)
    for a in range(j, m - 1):
        s.active[a] = s.active[a + 1]
        s.codes[a], s.signs[a], s.g[a] = s.codes[a + 1], s.signs[a + 1], s.g[a + 1]
    s.codes[m - 1] = s.signs[m - 1] = s.g[m - 1] = 0.0
