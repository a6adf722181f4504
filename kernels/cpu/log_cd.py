"""Cyclic coordinate descent on the Gram matrix, for the logarithmic penalty."""

from math import log1p

from numba import njit

from csc.kernels.cpu.threads import in_batches

NEWTON_STEPS = 50  # a bound: three to six are used
LEAST = 8  # signals that a thread takes at once, at least


@njit(cache=True)
def _stationary_point(u, a, weight, s2):
    """Root of u^3 - a u^2 + (s2 + 2 weight) u - a s2 in [0, a], by Newton from ``u``."""
    for _ in range(NEWTON_STEPS):
        slope = (3 * u - 2 * a) * u + s2 + 2 * weight
        if slope <= 0:  # between two roots: leave by the nearer end
            return u
        new = min(max(u - (((u - a) * u + s2 + 2 * weight) * u - a * s2) / slope, 0.0), a)
        if abs(new - u) <= 1e-15 * a:
            return new
        u = new
    return u


@njit(cache=True)
def _log_prox(v, weight, s2):
    """argmin_u  weight log(1 + u^2 / s2) + 1/2 (u - v)^2."""
    a = abs(v)
    u = _stationary_point(a, a, weight, s2)
    if weight > 4 * s2:  # not convex: there may be a second minimum near zero
        w = _stationary_point(0.0, a, weight, s2)
        cost = weight * log1p(u * u / s2) + 0.5 * (u - a) ** 2
        if weight * log1p(w * w / s2) + 0.5 * (w - a) ** 2 <= cost:
            u = w
    return u if v >= 0 else -u


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def _add_scaled(row, factor, q):
    """q += factor * row."""
    for k in range(q.size):
        q[k] += factor * row[k]


@njit(cache=True)
def _descend(gram, q, rules, z):
    """Sweep over the codes ``z`` of one signal until they move by less than ``tol``."""
    weight, scale, tol, max_sweeps = rules
    for k in range(z.size):
        _add_scaled(gram[k], -z[k], q)
    for _ in range(max_sweeps):
        moved, size = 0.0, 0.0
        for k in range(z.size):
            curvature = gram[k, k]
            if curvature == 0:
                z[k] = 0
                continue
            v = z[k] + q[k] / curvature
            new = gram.dtype.type(_log_prox(v, weight / curvature, scale * scale))
            step = new - z[k]
            z[k] = new
            _add_scaled(gram[k], -step, q)
            moved = max(moved, abs(step))
            size = max(size, abs(new))
        if moved <= tol * size:
            break


def log_gram(gram, correlations, rules, z):
    """Codes of all signals under ``weight * log(1 + (z / scale)^2)``.

    Parameters
    ----------
    gram, correlations : (K, K) and (N, K) arrays, D^T D and D^T x
    rules : (weight, scale, tol, max_sweeps)
    z : (N, K) array, the start and then the answer
    """
    in_batches(_log, len(z), gram, correlations, rules, z, least=LEAST)


@njit(cache=True, nogil=True)
def _log(start, stop, gram, correlations, rules, z):
    for i in range(start, stop):
        _descend(gram, correlations[i].copy(), rules, z[i])
