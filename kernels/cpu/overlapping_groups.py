"""Projection on sums of balls: the proximal operator of overlapping groups, one row per thread.

    u = v - sum_g xi_g,   with xi_g = 0 outside group g and ||xi_g|| <= r_g,   ||u|| least

u is also argmin_u  sum_g r_g ||u_g|| + 1/2 ||u - v||^2. Each step replaces one xi_g by its best value
for the others [1]_, until the duality gap is small.

References
----------
.. [1] R. Jenatton, J. Mairal, G. Obozinski, F. Bach, "Proximal methods for hierarchical sparse
   coding", JMLR 12, 2011, Algorithm 1 (block coordinate ascent in the dual; one pass is enough for
   trees only, here it is repeated).
"""

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS
from csc.kernels.cpu.threads import in_batches

ROUNDING = 1e-15  # relative, of a norm
SWEEPS_PER_GAP = 4  # sweeps between two computations of the gap
MIN_ROWS_PER_BATCH = 16  # rows: fewer do not repay the call


def shrink_overlapping(v, groups, radii, limits, near, u, bound):
    """Subtract from each row the sum of balls' elements that leaves least.

    Parameters
    ----------
    v : array (M, K)
    groups : (members, starts, counts)
        Group g has the members ``members[starts[g]:starts[g + 1]]``; ``counts`` (K,), float64, says
        how many groups an entry is in, at least one.
    radii : array (M, G) or (1, G), float64
        r_g, of each row or of all; 0 leaves a group out.
    limits : (tol, max_sweeps)
        Duality gap, relative to ||v||^2.
    near : array (M, K) or (1, K)
        A guess of the directions of u; may be zero.
    u : array (M, K)
        The answer; may be ``v``.
    bound : array (M,), float64
        Of each row, ``max_g ||xi_g||`` of some xi with ``v = sum_g xi_g``.
    """
    tol, max_sweeps = limits
    arguments = v, *groups, radii, float(tol), int(max_sweeps), near, u, bound
    members, starts, _ = groups

    def scratch():
        inside = np.empty(len(starts) - 1, np.bool_)
        return np.empty(len(members)), np.empty(v.shape[1]), inside

    in_batches(_rows, len(v), *arguments, min_batch=MIN_ROWS_PER_BATCH, scratch=scratch)


@entry(**OPTIONS)
def _rows(
    first,
    stop,
    v,
    members,
    starts,
    counts,
    radii,
    tol,
    max_sweeps,
    near,
    u,
    bound,
    xi,
    rest,
    inside,
):
    for i in range(first, stop):
        energy = 0.0
        for k in range(len(rest)):
            rest[k] = v[i, k]
            energy += rest[k] * rest[k]
        own = radii[i if len(radii) > 1 else 0]
        _start(members, starts, own, near[i if len(near) > 1 else 0], rest, xi)
        for sweep in range(max_sweeps):
            _sweep(sweep == 0, members, starts, own, rest, xi, inside)
            done = sweep % SWEEPS_PER_GAP == SWEEPS_PER_GAP - 1
            if done and _gap(members, starts, own, rest, xi) <= tol * energy:
                break
        bound[i] = _bound(members, starts, counts, rest, xi)
        least = 10 * ROUNDING * np.sqrt(energy)
        for k in range(len(rest)):
            u[i, k] = rest[k] if abs(rest[k]) > least else 0.0
        for g in range(len(inside)):
            for a in range(starts[g], starts[g + 1] if inside[g] else 0):
                u[i, members[a]] = 0.0  # exactly: what is left there tends to zero


@inner(**OPTIONS)
def _start(members, starts, radii, near, rest, xi):
    """``xi_g = r_g near_g / ||near_g||``, which is the answer if ``near`` is."""
    for g in range(len(starts) - 1):
        square = 0.0
        for a in range(starts[g], starts[g + 1]):
            square += np.float64(near[members[a]]) * near[members[a]]
        factor = radii[g] / np.sqrt(square) if square > 0 else 0.0
        for a in range(starts[g], starts[g + 1]):
            xi[a] = factor * near[members[a]]
            rest[members[a]] -= xi[a]


@inner(**OPTIONS)
def _sweep(is_first, members, starts, radii, rest, xi, inside):
    """Replace each xi_g by the projection of ``rest_g + xi_g``; where rest_g is 0, it is that."""
    for g in range(len(starts) - 1):
        square, left = 0.0, 0.0
        for a in range(starts[g], starts[g + 1]):
            k = members[a]
            left += abs(rest[k])
            square += (rest[k] + xi[a]) ** 2
        if left == 0 and not is_first:
            continue
        norm = np.sqrt(square)
        inside[g] = norm <= radii[g] * (1 + ROUNDING)
        factor = 1.0 if inside[g] else radii[g] / norm
        for a in range(starts[g], starts[g + 1]):
            k = members[a]
            both = rest[k] + xi[a]
            xi[a] = factor * both
            rest[k] = 0.0 if inside[g] else both - xi[a]


@inner(**OPTIONS)
def _gap(members, starts, radii, rest, xi):
    """``sum_g r_g ||u_g|| - <xi_g, u_g>``."""
    gap = 0.0
    for g in range(len(starts) - 1):
        square, product = 0.0, 0.0
        for a in range(starts[g], starts[g + 1]):
            left = rest[members[a]]
            square += left * left
            product += left * xi[a]
        if square > 0:
            gap += radii[g] * np.sqrt(square) - product
    return gap


@inner(**OPTIONS)
def _bound(members, starts, counts, rest, xi):
    """Largest ``||xi_g + u_g / counts||``: these sum to v."""
    largest = 0.0
    for g in range(len(starts) - 1):
        square = 0.0
        for a in range(starts[g], starts[g + 1]):
            square += (xi[a] + rest[members[a]] / counts[members[a]]) ** 2
        largest = max(largest, square)
    return np.sqrt(largest)
