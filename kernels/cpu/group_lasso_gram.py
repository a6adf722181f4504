"""The group lasso on patches: block coordinate descent on the Gram matrix, one thread per signal.

    minimise over z   1/2 ||x - D z||^2 + lmbda sum_g ||z_g||

Groups are consecutive atoms. In each round, the groups that violate optimality most join the active
ones, and sweeps over the active groups minimise over one group at a time [1]_, with the largest
eigenvalue of the group's Gram matrix as curvature: for orthonormal groups that is exact. Then all
correlations are computed again, and with them the duality gap.

References
----------
.. [1] Z. Qin, K. Scheinberg, D. Goldfarb, "Efficient block-coordinate descent algorithms for the
   group lasso", Math. Program. Comput. 5, 2013, sec. 2 (the method with one curvature per group).
"""

import numpy as np

from csc.kernels._constants import SELECT_FRACTION
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import OPTIONS, padded, spaced
from csc.kernels.cpu.threads import in_batches

SWEEP_FRACTION = 0.03  # sweeps end when one lowers the objective by this times tol, relative,
LESS_PER_ROUND = 0.03  # and by this times less in each further round
ROUNDING = 1e-30  # relative decrease per sweep, of squares of steps, that rounding errors leave
Q, C = range(2)  # rows of ``lists``: vectors over all atoms
Z, R, STEP = range(3)  # rows of ``work``: vectors over the active atoms
ATOM, GROUP, IS_ACTIVE = range(3)  # rows of ``index``: active atoms, active groups, of all groups


def group_lasso_gram(gram, correlations, energies, curvatures, lmbda, options, start, z, gap):
    """Minimise the group lasso of each signal until its gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64).
    curvatures : array (G,), float64
        Of each group, at least the largest eigenvalue of its Gram matrix; K / G atoms each.
    lmbda : float
        > 0
    options : (tol, max_rounds, max_sweeps)
        Relative duality gap; how often all correlations are computed again, and how many sweeps
        lie between, at most.
    start : array (N, K)
        Codes to start from.
    z : array (N, K)
        Codes of the answer; may be ``start``.
    gap : array (N,), float64
        Duality gaps of the answer.
    """
    tol, max_rounds, max_sweeps = options
    limits = float(lmbda), float(tol), int(max_rounds), int(max_sweeps)

    def scratch():
        n_atoms, length = len(gram), spaced(len(gram), np.float64)
        lists, work = np.zeros((2, n_atoms), gram.dtype), np.zeros((3, length))
        squares, block = np.zeros(len(curvatures)), np.empty((n_atoms, length))
        return lists, work, squares, block, np.zeros((3, n_atoms), np.intp)

    data = gram, correlations, energies, curvatures
    in_batches(_solve, len(z), *data, limits, start, z, gap, scratch=scratch)


@entry(**OPTIONS)
def _solve(
    first, stop, gram, correlations, energies, curvatures, limits, start, z, gap,
    lists, work, squares, block, index,
):  # fmt: skip
    n_atoms = len(gram)
    size = n_atoms // len(curvatures)
    for i in range(first, stop):
        m = _read(i, size, correlations, start, lists, work, index)
        data = gram, energies[i], curvatures
        m, gap[i] = _descend(data, limits, size, m, lists, work, squares, block, index)
        for k in range(n_atoms):
            z[i, k] = 0
        for a in range(m * size):
            z[i, index[ATOM, a]] = work[Z, a]
        for a in range(m):
            index[IS_ACTIVE, index[GROUP, a]] = 0


@inner(**OPTIONS)
def _descend(data, limits, size, m, lists, work, squares, block, index):
    """Minimise for one signal; returns how many groups are active, and the duality gap."""
    (gram, energy, curvatures), (lmbda, tol, max_rounds, max_sweeps) = data, limits
    gap, last_gap, fraction, decrease = 0.0, np.inf, SWEEP_FRACTION, np.inf
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, lists[Q], size * m, index[ATOM], work[Z], lists[C])
        top = _group_squares(size, lists, squares)
        cost, gap = _certify(energy, top / lmbda, size, lmbda, m, work, lists, index)
        if gap <= tol * cost or rounds == max_rounds:
            break
        before = m
        m = _add_violating(size, lmbda, top, m, work, squares, index)
        if m == before and gap > 0.5 * last_gap:
            if decrease <= ROUNDING * cost:
                break
            fraction = 0.0  # sweep until rounding ends it
        last_gap = gap
        _load(gram, size * m, work, lists, block, index)
        for _ in range(max_sweeps):
            decrease = _sweep(size, m, lmbda, curvatures, work, block, index)
            if decrease <= max(fraction * tol, ROUNDING) * cost:
                break
        m = _drop_unused(size, m, work, index)
        fraction *= LESS_PER_ROUND
    return m, gap


@inner(**OPTIONS)
def _read(i, size, correlations, start, lists, work, index):
    """List the correlations of signal ``i``, and its groups with non-zero codes; returns how many."""
    m = 0
    for k in range(lists.shape[1]):
        lists[Q, k] = correlations[i, k]
    for g in range(lists.shape[1] // size):
        used = False
        for k in range(g * size, (g + 1) * size):
            used |= start[i, k] != 0
        if used:
            _append(g, size, m, work, index)
            for j in range(size):
                work[Z, m * size + j] = start[i, g * size + j]
            m += 1
    return m


@inner(**OPTIONS)
def _append(g, size, m, work, index):
    """Make group ``g`` the active group number ``m``, with codes of zero."""
    index[GROUP, m], index[IS_ACTIVE, g] = g, 1
    for j in range(size):
        index[ATOM, m * size + j], work[Z, m * size + j] = g * size + j, 0.0


@inner(**OPTIONS)
def _group_squares(size, lists, squares):
    """List ||c_g||^2 of all groups; returns the largest ||c_g||."""
    top = 0.0
    for g in range(squares.size):
        square = 0.0
        for k in range(g * size, (g + 1) * size):
            square += np.float64(lists[C, k]) * lists[C, k]
        squares[g] = square
        top = max(top, square)
    return np.sqrt(top)


@inner(**OPTIONS)
def _certify(energy, top, size, lmbda, m, work, lists, index):
    """Objective and duality gap, as in the lasso on patches; ``top`` is max ||c_g|| / lmbda."""
    residual, penalty_value, fit = energy, 0.0, 0.0
    for a in range(m):
        square = 0.0
        for i in range(a * size, (a + 1) * size):
            k, code = index[ATOM, i], work[Z, i]
            square += code * code
            residual -= code * (np.float64(lists[Q, k]) + lists[C, k])
            fit += code * lists[C, k]
        penalty_value += lmbda * np.sqrt(square)
    half, shrink = 0.5 * max(residual, 0.0), 1 / max(top, 1.0)
    gap = half * (1 - shrink) ** 2 + penalty_value - shrink * fit
    return half + penalty_value, max(gap, 0.0)


@inner(**OPTIONS)
def _add_violating(size, lmbda, top, m, work, squares, index):
    """Append the unused groups that violate optimality most; returns how many are active."""
    if top <= lmbda:
        return m
    threshold = (lmbda + SELECT_FRACTION * (top - lmbda)) ** 2
    for g in range(squares.size):
        if squares[g] >= threshold and index[IS_ACTIVE, g] == 0:
            _append(g, size, m, work, index)
            m += 1
    return m


@inner(**OPTIONS)
def _load(gram, n, work, lists, block, index):
    """Copy correlations and the Gram matrix of the active atoms next to each other."""
    for i in range(n):
        k = index[ATOM, i]
        work[R, i] = lists[C, k]
        for j in range(n):
            block[i, j] = gram[k, index[ATOM, j]]
        for j in range(n, padded(n)):
            block[i, j] = 0.0


@inner(**OPTIONS)
def _sweep(size, m, lmbda, curvatures, work, block, index):
    """Minimise over every active group in turn; returns a bound of the decrease of the objective."""
    decrease, n = 0.0, padded(m * size)
    for a in range(m):
        curvature, square, moved = curvatures[index[GROUP, a]], 0.0, 0.0
        if curvature == 0:
            continue  # atoms of zeros
        first, stop = a * size, (a + 1) * size
        for i in range(first, stop):
            work[STEP, i] = work[Z, i] + work[R, i] / curvature
            square += work[STEP, i] * work[STEP, i]
        norm = np.sqrt(square)
        factor = 1 - lmbda / (curvature * norm) if curvature * norm > lmbda else 0.0
        for i in range(first, stop):
            new = factor * work[STEP, i]
            work[STEP, i] = new - work[Z, i]
            work[Z, i] = new
            moved += work[STEP, i] * work[STEP, i]
        if moved > 0:
            decrease += curvature * moved
            _subtract(first, stop, n, work, block)
    return decrease


@inner(**OPTIONS)
def _subtract(first, stop, n, work, block):
    """Update the correlations after a step of the active atoms from first to stop, by twos."""
    pairs = first + (stop - first) // 2 * 2
    for i in range(first, pairs, 2):
        step0, step1 = work[STEP, i], work[STEP, i + 1]
        for j in range(n):
            work[R, j] -= step0 * block[i, j] + step1 * block[i + 1, j]
    for i in range(pairs, stop):
        step0 = work[STEP, i]
        for j in range(n):
            work[R, j] -= step0 * block[i, j]


@inner(**OPTIONS)
def _drop_unused(size, m, work, index):
    """Remove active groups with codes of zero; returns how many are left."""
    left = 0
    for a in range(m):
        used, g = False, index[GROUP, a]
        for i in range(a * size, (a + 1) * size):
            used |= work[Z, i] != 0
        index[IS_ACTIVE, g] = used
        if used:
            index[GROUP, left] = g
            for j in range(size):
                work[Z, left * size + j] = work[Z, a * size + j]
                index[ATOM, left * size + j] = g * size + j
            left += 1
    return left
