"""The group lasso on patches: block coordinate descent on the Gram matrix, one thread per signal.

    minimise over z   1/2 ||x - D z||^2 + lmbda sum_g ||z_g|| + l1 sum_k |z_k|

Groups are consecutive atoms. In each round, the groups that violate optimality most join the active
ones, and sweeps over the active groups minimise over one group at a time [1]_, with the largest
eigenvalue of the group's Gram matrix as curvature: for orthonormal groups that is exact. Sweeps are
slow where atoms are coherent. So, once they no longer change which groups are 0, the others take a step
of Newton's method, as norms are smooth away from 0. The step ends at the minimum on its way, so that
the objective never rises. A round ends at a small duality gap of the active groups. Then all correlations
are computed again, and with them the duality gap.

References
----------
.. [1] Z. Qin, K. Scheinberg, D. Goldfarb, "Efficient block-coordinate descent algorithms for the
   group lasso", Math. Program. Comput. 5, 2013, sec. 2 (the method with one curvature per group).
"""

import numpy as np

from csc.kernels._constants import SELECT_FRACTION
from csc.kernels.cpu.cholesky import factorise, substitute
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import OPTIONS, padded, spaced
from csc.kernels.cpu.threads import in_batches

ROUND_FRACTION = 0.3  # a round ends when the gap of the active groups is this times the last gap,
TOL_FRACTION = 0.3  # or this times the gap asked for
SWEEPS_PER_CHECK = 5  # of the gap of the active groups
CODES_PER_SWEEP = 16  # active codes for each sweep that changed no group: then Newton's step pays
BISECTIONS = 16  # of the length of Newton's step
RIDGE = 1e-7  # on the diagonal of Newton's system, relative: atoms may depend on each other
ROUNDING = 1e-30  # relative decrease per sweep, of squares of steps, that rounding errors leave
Q, C = range(2)  # rows of ``lists``: vectors over all atoms
Z, R, STEP, CHANGE = range(4)  # rows of ``work``: vectors over the active atoms
ATOM, GROUP, IS_ACTIVE = range(3)  # rows of ``index``: active atoms, active groups, of all groups


def group_lasso_gram(gram, correlations, energies, curvatures, lmbdas, options, start, z, gap):
    """Minimise the group lasso of each signal until its gap is ``tol`` times the objective.

    Parameters
    ----------
    gram, correlations, energies : arrays (K, K), (N, K), (N,)
        D^T D, D^T x and ||x||^2 (float64).
    curvatures : array (G,), float64
        Of each group, at least the largest eigenvalue of its Gram matrix; K / G atoms each.
    lmbdas : (lmbda, l1)
        Of the norms of groups and of absolute values, not both 0. With l1 > 0 it is the sparse group lasso.
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
    lmbda, l1 = lmbdas
    limits = (float(lmbda), float(l1)), float(tol), int(max_rounds), int(max_sweeps)

    def scratch():
        n_atoms, length = len(gram), spaced(len(gram), np.float64)
        lists, work = np.zeros((2, n_atoms), gram.dtype), np.zeros((4, length))
        squares = np.zeros(len(curvatures))
        block, factor = np.empty((2, n_atoms, length))
        return lists, work, squares, block, factor, np.zeros((3, n_atoms), np.intp)

    data = gram, correlations, energies, curvatures
    in_batches(_solve, len(z), *data, limits, start, z, gap, scratch=scratch)


@entry(**OPTIONS)
def _solve(
    first, stop, gram, correlations, energies, curvatures, limits, start, z, gap,
    lists, work, squares, block, factor, index,
):  # fmt: skip
    n_atoms = len(gram)
    size = n_atoms // len(curvatures)
    for i in range(first, stop):
        m = _read(i, size, correlations, start, lists, work, index)
        data = gram, energies[i], curvatures
        scratch = lists, work, squares, block, factor, index
        m, gap[i] = _descend(data, limits, size, m, scratch)
        for k in range(n_atoms):
            z[i, k] = 0
        for a in range(m * size):
            z[i, index[ATOM, a]] = work[Z, a]
        for a in range(m):
            index[IS_ACTIVE, index[GROUP, a]] = 0


@inner(**OPTIONS)
def _descend(data, limits, size, m, scratch):
    """Minimise for one signal; returns how many groups are active, and the duality gap."""
    (gram, energy, curvatures), (lmbdas, tol, max_rounds, max_sweeps) = data, limits
    lists, work, squares, block, factor, index = scratch
    gap, last_gap, moves = 0.0, np.inf, True
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, lists[Q], size * m, index[ATOM], work[Z], lists[C])
        top = _group_squares(size, lmbdas[1], lists, squares)
        for i in range(size * m):
            work[R, i] = lists[C, index[ATOM, i]]
        cost, gap = _certify(energy, top, size, lmbdas, m, work, lists, index)
        if gap <= tol * cost or rounds == max_rounds:
            break
        before = m
        m = _add_violating(size, lmbdas[0], top, m, lists, work, squares, index)
        if m == before and gap > 0.5 * last_gap and not moves:
            break  # only rounding is left
        last_gap = gap
        _load(gram, size * m, block, index)
        target = max(ROUND_FRACTION * gap, TOL_FRACTION * tol * cost)
        settled = 0
        for sweep in range(1, max_sweeps + 1):
            decrease, changes = _sweep(size, m, lmbdas, curvatures, work, block, index)
            settled = 0 if changes else settled + 1
            moves = decrease > ROUNDING * cost
            if not moves:
                break
            if sweep % SWEEPS_PER_CHECK > 0:
                continue
            top = _largest_norm(size, m, lmbdas[1], work)
            if _certify(energy, top, size, lmbdas, m, work, lists, index)[1] <= target:
                break
            if CODES_PER_SWEEP * settled >= size * m:
                m = _drop_unused(size, m, work, index)
                _load(gram, size * m, block, index)
                _newton(size, m, lmbdas, work, block, factor)
                settled = 0
        m = _drop_unused(size, m, work, index)
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
def _group_squares(size, l1, lists, squares):
    """List ||(|c_g| - l1)_+||^2 of all groups; returns the largest of these norms."""
    top = 0.0
    for g in range(squares.size):
        square = 0.0
        for k in range(g * size, (g + 1) * size):
            over = max(abs(np.float64(lists[C, k])) - l1, 0.0)
            square += over * over
        squares[g] = square
        top = max(top, square)
    return np.sqrt(top)


@inner(**OPTIONS)
def _certify(energy, top, size, lmbdas, m, work, lists, index):
    """Objective and duality gap, as in the lasso on patches; ``top`` is max ||(|c_g| - l1)_+||.

    The dual point is c / t with t = (top + l1) / (lmbda + l1), if that is above 1: for t = 1 + d, each
    norm of (|c_g| - t l1)_+ is at most top - d l1, or 0.
    """
    lmbda, l1 = lmbdas
    residual, penalty_value, fit = energy, 0.0, 0.0
    for a in range(m):
        square = 0.0
        for i in range(a * size, (a + 1) * size):
            code, c = work[Z, i], work[R, i]
            square += code * code
            penalty_value += l1 * abs(code)
            residual -= code * (np.float64(lists[Q, index[ATOM, i]]) + c)
            fit += code * c
        penalty_value += lmbda * np.sqrt(square)
    half, shrink = 0.5 * max(residual, 0.0), 1 / max((top + l1) / (lmbda + l1), 1.0)
    gap = half * (1 - shrink) ** 2 + penalty_value - shrink * fit
    return half + penalty_value, max(gap, 0.0)


@inner(**OPTIONS)
def _add_violating(size, lmbda, top, m, lists, work, squares, index):
    """Append the unused groups that violate optimality most; returns how many are active."""
    if top <= lmbda:
        return m
    threshold = (lmbda + SELECT_FRACTION * (top - lmbda)) ** 2
    for g in range(squares.size):
        if squares[g] >= threshold and index[IS_ACTIVE, g] == 0:
            _append(g, size, m, work, index)
            for j in range(size):
                work[R, m * size + j] = lists[C, g * size + j]
            m += 1
    return m


@inner(**OPTIONS)
def _load(gram, n, block, index):
    """Copy the Gram matrix of the active atoms, row by row."""
    for i in range(n):
        k = index[ATOM, i]
        for j in range(n):
            block[i, j] = gram[k, index[ATOM, j]]
        for j in range(n, padded(n)):
            block[i, j] = 0.0


@inner(**OPTIONS)
def _sweep(size, m, lmbdas, curvatures, work, block, index):
    """Minimise over every active group in turn.

    Returns a bound of the decrease of the objective, and how many codes became 0 or left 0.
    """
    (lmbda, l1), decrease, changes, n = lmbdas, 0.0, 0, padded(m * size)
    for a in range(m):
        curvature, square, moved = curvatures[index[GROUP, a]], 0.0, 0.0
        if curvature == 0:
            continue  # atoms of zeros
        first, stop, threshold = a * size, (a + 1) * size, l1 / curvature
        for i in range(first, stop):
            ahead = work[Z, i] + work[R, i] / curvature
            work[STEP, i] = ahead - min(max(ahead, -threshold), threshold)
            square += work[STEP, i] * work[STEP, i]
        norm = np.sqrt(square)
        factor = 1 - lmbda / (curvature * norm) if curvature * norm > lmbda else 0.0
        for i in range(first, stop):
            new = factor * work[STEP, i]
            changes += (work[Z, i] != 0) != (new != 0)
            work[STEP, i] = new - work[Z, i]
            work[Z, i] = new
            moved += work[STEP, i] * work[STEP, i]
        if moved > 0:
            decrease += curvature * moved
            _subtract(first, stop, n, work, block)
    return decrease, changes


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
def _largest_norm(size, m, l1, work):
    """Largest norm of ``(|c| - l1)_+`` of an active group."""
    top = 0.0
    for a in range(m):
        square = 0.0
        for i in range(a * size, (a + 1) * size):
            over = max(abs(work[R, i]) - l1, 0.0)
            square += over * over
        top = max(top, square)
    return np.sqrt(top)


@inner(**OPTIONS)
def _newton(size, m, lmbdas, work, block, factor):
    """Step towards the minimum of the second-order model at codes without groups of zeros."""
    n = m * size
    _set_model(size, m, lmbdas, work, block, factor)
    factorise(n, RIDGE, work[CHANGE], factor)
    substitute(n, factor, work[STEP])
    for j in range(padded(n)):
        work[CHANGE, j] = 0.0
    for i in range(n):
        for j in range(padded(n)):
            work[CHANGE, j] += work[STEP, i] * block[i, j]
    length = _best_length(size, m, lmbdas, work)
    for i in range(n):
        work[Z, i] += length * work[STEP, i]
        work[R, i] -= length * work[CHANGE, i]


@inner(**OPTIONS)
def _set_model(size, m, lmbdas, work, block, factor):
    """Set the Hessian, and in the column after it minus the gradient.

    The Hessian is the Gram matrix plus lmbda (1 - u u^T) / ||z_g|| for each group, with the unit vector
    u = z_g / ||z_g||. With l1 > 0, codes of 0 stay there.
    """
    (lmbda, l1), n = lmbdas, m * size
    for i in range(n):
        for j in range(padded(n)):
            factor[i, j] = block[i, j]
    for a in range(m):
        square = 0.0
        for i in range(a * size, (a + 1) * size):
            square += work[Z, i] * work[Z, i]
        bend = lmbda / np.sqrt(square)
        for i in range(a * size, (a + 1) * size):
            factor[i, n] = work[R, i] - bend * work[Z, i] - l1 * np.sign(work[Z, i])
            for j in range(a * size, (a + 1) * size):
                factor[i, j] -= bend * work[Z, i] * work[Z, j] / square
            factor[i, i] += bend
    if l1 > 0:
        _hold_zeros(n, work, factor)


@inner(**OPTIONS)
def _hold_zeros(n, work, factor):
    """Let the step of each code of 0 be 0."""
    for i in range(n):
        if work[Z, i] == 0:
            for j in range(n + 1):
                factor[i, j] = 0.0
            for j in range(n):
                factor[j, i] = 0.0
            factor[i, i] = 1.0


@inner(**OPTIONS)
def _best_length(size, m, lmbdas, work):
    """Largest number in 0...1, up to bisection, where the objective still falls along the step."""
    (lmbda, l1), slope, curvature = lmbdas, 0.0, 0.0
    for i in range(m * size):
        slope -= work[R, i] * work[STEP, i]
        curvature += work[CHANGE, i] * work[STEP, i]
    low, high, length = 0.0, 1.0, 1.0
    for _ in range(BISECTIONS):
        total = slope + length * curvature
        for a in range(m):
            square, product = 0.0, 0.0
            for i in range(a * size, (a + 1) * size):
                z = work[Z, i] + length * work[STEP, i]
                square += z * z
                product += z * work[STEP, i]
                total += l1 * np.sign(z) * work[STEP, i]
            if square > 0:
                total += lmbda * product / np.sqrt(square)
        if total <= 0:
            low = length
            if low == 1:
                break
        else:
            high = length
        length = 0.5 * (low + high)
    return low


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
                work[R, left * size + j] = work[R, a * size + j]
                index[ATOM, left * size + j] = g * size + j
            left += 1
    return left
