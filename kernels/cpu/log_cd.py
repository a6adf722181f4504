"""Cyclic coordinate descent on the Gram matrix, for the logarithmic penalty."""

from math import log1p

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.threads import in_batches

MAX_NEWTON_STEPS = 50  # three to six are enough in practice
MIN_SIGNALS_PER_BATCH = 8  # signals: fewer do not repay the call


@inner()
def _stationary_point(u, a, weight, s2):
    """Root of u^3 - a u^2 + (s2 + 2 weight) u - a s2 in [0, a], by Newton from ``u``."""
    for _ in range(MAX_NEWTON_STEPS):
        derivative = (3 * u - 2 * a) * u + s2 + 2 * weight
        if derivative <= 0:  # between two roots: keep the last iterate
            return u
        new = min(max(u - (((u - a) * u + s2 + 2 * weight) * u - a * s2) / derivative, 0.0), a)
        if abs(new - u) <= 1e-15 * a:
            return new
        u = new
    return u


@inner()
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


@inner(fastmath={"contract", "reassoc", "nsz"})
def _add_scaled(row, factor, q):
    """q += factor * row."""
    for k in range(q.size):
        q[k] += factor * row[k]


@inner()
def _descend(gram, q, options, z):
    """Sweep over the codes ``z`` of one signal until they move by less than ``tol``."""
    weight, scale, tol, max_sweeps = options
    for k in range(z.size):
        _add_scaled(gram[k], -z[k], q)
    for _ in range(max_sweeps):
        largest_step, largest_code = 0.0, 0.0
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
            largest_step = max(largest_step, abs(step))
            largest_code = max(largest_code, abs(new))
        if largest_step <= tol * largest_code:
            break


def log_gram(gram, correlations, options, z):
    """Codes of all signals under ``weight * log(1 + (z / scale)^2)``.

    Parameters
    ----------
    gram, correlations : (K, K) and (N, K) arrays, D^T D and D^T x
    options : (weight, scale, tol, max_sweeps)
    z : (N, K) array, the start and then the answer
    """
    in_batches(
        _log, len(z), gram, correlations, options, z,
        min_batch=MIN_SIGNALS_PER_BATCH, scratch=lambda: (np.empty_like(correlations[0]),),
    )  # fmt: skip


@entry()
def _log(start, stop, gram, correlations, options, z, q):
    for i in range(start, stop):
        for k in range(q.size):
            q[k] = correlations[i, k]
        _descend(gram, q, options, z[i])
