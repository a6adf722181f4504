"""The group lasso on patches: block coordinate descent on the Gram matrix, one thread per signal.

    minimise over z   1/2 ||x - D z||^2 + lmbda sum_g ||z_g|| + l1 sum_k |z_k|

Groups are consecutive atoms. In each round, all correlations are computed, and with them the duality gap. From
zeros on, the lambdas of the first rounds are larger and fall from round to round [2]_: else many groups would join
that leave again. The groups that violate optimality most join the active ones. Some sweeps over the active groups
minimise over one group at a time [1]_, with the largest eigenvalue of the group's Gram matrix as curvature: for
orthonormal groups that is exact. Sweeps are slow where atoms are coherent. So, unless many groups are new, the
codes that are not 0 then take a step of a primal-dual Newton method [3]_. It differs from Newton's in the Hessian of
a norm: of the two unit vectors z_g / ||z_g|| in it, one is the dual variable, the correlations of the group.
Far from the minimum this allows longer steps. Codes that a step would carry across zero end there, and the others
take the step that is best under this condition. If that raises the objective, the free step is shortened, at most to where
the first code reaches zero, and another one follows. The atoms of a small signal are sorted by their positions, so that
the system has an envelope: of a series, a band.

References
----------
.. [1] Z. Qin, K. Scheinberg, D. Goldfarb, "Efficient block-coordinate descent algorithms for the
   group lasso", Math. Program. Comput. 5, 2013, sec. 2 (the method with one curvature per group).
.. [2] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in least squares problems",
   IMA J. Numer. Anal. 20, 2000, sec. 4 (paths of decreasing lambda; there exact, of the lasso).
.. [3] T. F. Chan, G. H. Golub, P. Mulet, "A nonlinear primal-dual method for total variation-based image
   restoration", SIAM J. Sci. Comput. 20(6), 1999, sec. 3 (there for norms of gradients).
"""

import numpy as np

from csc.kernels.cpu.cholesky import factorise, substitute
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.gram_products import residual_correlations
from csc.kernels.cpu.inverse_cholesky import OPTIONS, padded, spaced
from csc.kernels.cpu.threads import in_batches

SELECT_FRACTION = 0.6  # of the largest violation: groups with less are not selected yet
PATH_FACTOR = 0.7  # of the lambdas from round to round, at most
MAX_PATH_ROUNDS = 20
N_SWEEPS = 4  # of each round
MAX_NEW_FRACTION = 0.1  # of the active groups, up to which a Newton step pays
N_SOLVES = 4  # of Newton's system, while more codes would cross zero
N_LENGTHS = 6  # of a free Newton step
N_SHORT_STEPS = 20  # of a round: they end codes one by one where active atoms depend on each other
PAST_CROSSING = 1 + 1e-9  # times the length at which a code reaches zero, else rounding may keep it
LARGE = 1e12  # in units of the diagonal, and of the lambdas
RIDGE = 1e-7  # on the diagonal of Newton's system, relative: atoms may depend on each other
ROUNDING = 1e-30  # relative decrease per sweep, of squares of steps, that rounding errors leave
TINY = np.finfo(np.float64).tiny
OBJECTIVE_ROUNDING = 1e-15  # relative increase of the objective that is rounding
Q, C = range(2)  # rows of ``lists``: vectors over all atoms
Z, R, STEP, MOVE, CHANGE, FREE = range(6)  # rows of ``work``: vectors over the active atoms
# rows of ``index``: active atoms, active groups, their numbers plus 1 of all groups, places of active atoms, and
# the last columns of the rows of Newton's system
ATOM, GROUP, IS_ACTIVE, PLACE, LAST = range(5)


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
    options : (tol, max_rounds)
        Relative duality gap; how often all correlations are computed again, at most.
    start : array (N, K)
        Codes to start from.
    z : array (N, K)
        Codes of the answer; may be ``start``.
    gap : array (N,), float64
        Duality gaps of the answer.
    """
    tol, max_rounds = options
    lmbda, l1 = lmbdas
    limits = (float(lmbda), float(l1)), float(tol), int(max_rounds)

    def scratch():
        n_atoms, length = len(gram), spaced(len(gram), np.float64)
        lists, work = np.zeros((2, n_atoms), gram.dtype), np.zeros((6, length))
        squares = np.zeros(len(curvatures))
        block, factor = np.empty((2, n_atoms, length))
        return lists, work, squares, block, factor, np.zeros((5, n_atoms), np.intp)

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
    (gram, energy, curvatures), (lmbdas, tol, max_rounds) = data, limits
    lists, work, squares, block, factor, index = scratch
    gap, last_gap, moves, loaded = np.inf, np.inf, True, 0
    multiple, decay = 1.0, 1.0
    for rounds in range(max_rounds + 1):
        residual_correlations(gram, lists[Q], size * m, index[ATOM], work[Z], lists[C])
        for i in range(size * m):
            work[R, i] = lists[C, index[ATOM, i]]
        if rounds == 0 and m == 0:
            multiple, decay = _path(size, lmbdas, lists, squares)
        multiple = max(multiple * decay, 1.0) if rounds < max_rounds else 1.0
        final, now = multiple == 1, (multiple * lmbdas[0], multiple * lmbdas[1])
        top = _group_squares(size, now[1], lists, squares)
        cost, gap = _certify(energy, top, size, now, m, work, lists, index)
        if (final and gap <= tol * cost) or rounds == max_rounds:
            break
        before = m
        m = _add_violating(size, now[0], top, m, lists, work, squares, index)
        n_new = m - before
        if final and n_new == 0 and gap > 0.5 * last_gap and not moves:
            break  # only rounding is left
        last_gap, moves = gap if final else np.inf, False
        _load(gram, loaded, size * m, block, index)
        for _ in range(N_SWEEPS):
            moves |= _sweep(size, m, now, curvatures, work, block, index) > ROUNDING * cost
        m = _drop_unused(size, m, work, block, index)
        loaded = size * m
        if n_new <= MAX_NEW_FRACTION * m:
            for _ in range(N_SHORT_STEPS):
                if not _newton(size, m, now, OBJECTIVE_ROUNDING * cost, work, block, factor, index):
                    break
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
def _path(size, lmbdas, lists, squares):
    """How many times the lambdas are those at which zeros are optimal, and the factor from round to round."""
    lmbda, l1 = lmbdas
    top = _group_squares(size, l1, lists, squares)
    multiple = min((top + l1) / (lmbda + l1), LARGE)
    return multiple, min(PATH_FACTOR, multiple ** (-1 / MAX_PATH_ROUNDS))


@inner(**OPTIONS)
def _append(g, size, m, work, index):
    """Make group ``g`` the active group number ``m``, with codes of zero."""
    index[GROUP, m], index[IS_ACTIVE, g] = g, m + 1
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
def _load(gram, loaded, n, block, index):
    """Copy the Gram matrix of the active atoms; that of the first ``loaded`` ones is there."""
    for i in range(loaded, n):
        _gather(gram[index[ATOM, i]], index[ATOM], 0, n, block[i])
        for j in range(loaded):
            block[j, i] = block[i, j]
    for i in range(loaded):
        for j in range(n, padded(n)):
            block[i, j] = 0.0


@inner(**OPTIONS)
def _gather(source, places, start, stop, target):
    """``target[j] = source[places[j]]`` from start to stop; then zeros up to ``padded(stop)``."""
    for j in range(np.uint64(start), np.uint64(stop)):
        target[j] = source[np.uint64(places[j])]  # unsigned: a test for numbers below 0 takes long
    for j in range(stop, padded(stop)):
        target[j] = 0.0


@inner(**OPTIONS)
def _sweep(size, m, lmbdas, curvatures, work, block, index):
    """Minimise over every active group in turn; returns a bound of the decrease of the objective."""
    (lmbda, l1), decrease, n = lmbdas, 0.0, padded(m * size)
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
            work[STEP, i] = new - work[Z, i]
            work[Z, i] = new
            moved += work[STEP, i] * work[STEP, i]
        if moved > 0:
            decrease += curvature * moved
            _subtract(first, stop, n, work, block)
    return decrease


@inner(**OPTIONS)
def _subtract(first, stop, n, work, block):
    """Update the correlations after a step of the active atoms from first to stop."""
    for i in range(first, stop - 1, 2):  # two at a time: fewer loads and stores of the correlations
        step, next_step = work[STEP, i], work[STEP, i + 1]
        for j in range(n):
            work[R, j] -= step * block[i, j] + next_step * block[i + 1, j]
    if (stop - first) % 2 == 1:
        step = work[STEP, stop - 1]
        for j in range(n):
            work[R, j] -= step * block[stop - 1, j]


@inner(**OPTIONS)
def _newton(size, m, lmbdas, rounding, work, block, factor, index):
    """Step of the codes that are not 0, if the objective rises by rounding at most.

    Else it is the step without the condition on codes that would cross zero, which is shortened as long as it rises,
    down to the length at which the first one reaches zero: up to there the objective is smooth. Returns whether it was
    such a step.
    """
    n = m * size
    for i in range(n):
        work[STEP, i] = work[FREE, i] = 0.0
    _set_steps(size, lmbdas, work, block, factor, index)
    length, ratio = 1.0, 1.0
    for trial in range(N_LENGTHS + 1):
        for i in range(n if trial == 1 else 0):
            work[STEP, i] = work[FREE, i]
        if trial == 1:
            ratio = _first_crossing(size, m, lmbdas[1], work) ** (1 / (N_LENGTHS - 1))
        decrease = _move(size, m, lmbdas, length, trial > 0 and size > 1, work)
        decrease += _fall_of_fit(n, work, block)
        if decrease >= -rounding:
            for i in range(n):
                work[Z, i] += work[MOVE, i]
                work[R, i] -= work[CHANGE, i]
            return trial > 0
        length *= ratio
    return False


@inner(**OPTIONS)
def _fall_of_fit(n, work, block):
    """Set the change of the correlations by that of the codes; returns how far 1/2 ||r||^2 falls."""
    decrease = 0.0
    for j in range(padded(n)):
        work[CHANGE, j] = 0.0
    for i in range(n):
        for j in range(padded(n)):
            work[CHANGE, j] += work[MOVE, i] * block[i, j]
    for i in range(n):
        decrease += work[MOVE, i] * (work[R, i] - 0.5 * work[CHANGE, i])
    return decrease


@inner(**OPTIONS)
def _first_crossing(size, m, l1, work):
    """Length of the step, at most 1, at which the first group or, with l1 > 0, the first code reaches zero, see `_move`."""
    fraction = 1.0
    for a in range(m):
        square, product = 0.0, 0.0
        for i in range(a * size, (a + 1) * size):
            z, step = work[Z, i], work[STEP, i]
            square += z * z
            product += z * step
            if l1 > 0 and -z * step * fraction > z * z:
                fraction = -z / step
        if -product * fraction > square:
            fraction = square / -product
    return max(fraction * PAST_CROSSING, TINY)


@inner(**OPTIONS)
def _set_steps(size, lmbdas, work, block, factor, index):
    """Set Newton's step in two ways: freely, and so that codes that would cross zero end there.

    The others are then solved for again, as long as more would cross.
    """
    n = 0
    for trial in range(N_SOLVES):
        n = _set_model(size, lmbdas, work, block, factor, index)
        factorise(n, RIDGE, index[LAST], work[CHANGE], factor, work[MOVE])
        substitute(n, index[LAST], factor, work[MOVE])
        for i in range(n if trial == 0 else 0):
            work[FREE, index[PLACE, i]] = work[MOVE, i]
        if _stop_crossing(size, n, lmbdas[1], work, index) == 0:
            break
    for i in range(n):
        if work[STEP, index[PLACE, i]] == 0:
            work[STEP, index[PLACE, i]] = work[MOVE, i]


@inner(**OPTIONS)
def _set_model(size, lmbdas, work, block, factor, index):
    """Set the Hessian of the codes that are not 0, sorted by atoms, and in ``work[MOVE]`` minus the gradient.

    The Hessian is the Gram matrix plus lmbda (1 - (u w^T + w u^T) / 2) / ||z_g|| for each group, with the unit
    vector u = z_g / ||z_g|| and w = (c_g - l1 sign(z_g)) / lmbda, shortened to the unit ball. A code whose step is
    already set keeps it, by a large number on the diagonal. Returns how many codes there are.
    """
    n, first, last = 0, 0, 0
    for g in range(index.shape[1] // size):
        stop = index[IS_ACTIVE, g] * size  # 0 if the group is not active
        for i in range(max(stop - size, 0), stop):
            index[PLACE, n] = i
            n += work[Z, i] != 0
    for i in range(n):
        _gather(block[index[PLACE, i]], index[PLACE], i, n, factor[i])
        end = n - 1
        while end > last and factor[i, end] == 0:
            end -= 1
        last = max(last, end)
        index[LAST, i] = last
    while first < n:
        first = _bend(first, n, size, lmbdas, work, factor, index)
    return n


@inner(**OPTIONS)
def _bend(first, n, size, lmbdas, work, factor, index):
    """Add the Hessian of the group of used code ``first``, and set its gradient; returns the first of the next."""
    (lmbda, l1), stop, group = lmbdas, first, index[PLACE, first] // size
    square, w_square = 0.0, TINY
    while stop < n and index[PLACE, stop] // size == group:
        k = index[PLACE, stop]
        work[MOVE, stop] = work[R, k] - l1 * np.sign(work[Z, k])
        square += work[Z, k] ** 2
        w_square += work[MOVE, stop] ** 2
        stop += 1
    norm = np.sqrt(square)
    scale = 0.5 * lmbda / (square * max(lmbda, np.sqrt(w_square)))
    for i in range(first, stop):
        z, w = work[Z, index[PLACE, i]], work[MOVE, i]
        for j in range(i, stop):
            factor[i, j] -= scale * (z * work[MOVE, j] + w * work[Z, index[PLACE, j]])
        factor[i, i] += lmbda / norm
        index[LAST, i] = max(index[LAST, i], stop - 1)
    for i in range(first, stop):
        k = index[PLACE, i]
        work[MOVE, i] -= lmbda * work[Z, k] / norm
        if work[STEP, k] != 0:
            factor[i, i] *= LARGE
            work[MOVE, i] = factor[i, i] * work[STEP, k]
    return stop


@inner(**OPTIONS)
def _stop_crossing(size, n, l1, work, index):
    """Set the steps of codes that would cross zero, so that they end there; returns how many these are.

    They are those of a group that would turn by more than a right angle, and with l1 > 0 those that would change
    sign.
    """
    n_crossing, first = 0, 0
    while first < n:
        group, stop, product = index[PLACE, first] // size, first, 0.0
        while stop < n and index[PLACE, stop] // size == group:
            k = index[PLACE, stop]
            if work[STEP, k] == 0:
                product += work[Z, k] * (work[Z, k] + work[MOVE, stop])
            stop += 1
        for i in range(first, stop):
            k = index[PLACE, i]
            crosses = l1 > 0 and work[Z, k] * (work[Z, k] + work[MOVE, i]) < 0
            if work[STEP, k] == 0 and (product <= 0 or crosses):
                work[STEP, k] = -work[Z, k]
                n_crossing += 1
        first = stop
    return n_crossing


@inner(**OPTIONS)
def _move(size, m, lmbdas, length, may_turn, work):
    """Set the change of the codes by a step of some ``length``; returns how far the penalty falls.

    A group that would turn by more than a right angle becomes 0, unless several codes of it may turn freely, and with
    l1 > 0 a code that would change sign.
    """
    (lmbda, l1), decrease = lmbdas, 0.0
    for a in range(m):
        old, new, product = 0.0, 0.0, 0.0
        for i in range(a * size, (a + 1) * size):
            z = work[Z, i] + length * work[STEP, i]
            if l1 > 0 and z * work[Z, i] < 0:
                z = 0.0
            old += work[Z, i] * work[Z, i]
            new += z * z
            product += z * work[Z, i]
            work[MOVE, i] = z
        keep = 1.0 if product > 0 or may_turn else 0.0
        decrease += lmbda * (np.sqrt(old) - keep * np.sqrt(new))
        for i in range(a * size, (a + 1) * size):
            z = keep * work[MOVE, i]
            decrease += l1 * (abs(work[Z, i]) - abs(z))
            work[MOVE, i] = z - work[Z, i]
    return decrease


@inner(**OPTIONS)
def _drop_unused(size, m, work, block, index):
    """Remove active groups with codes of zero; returns how many are left."""
    left = 0
    for a in range(m):
        used, g = False, index[GROUP, a]
        for i in range(a * size, (a + 1) * size):
            used |= work[Z, i] != 0
        index[IS_ACTIVE, g] = left + 1 if used else 0
        if used:
            index[GROUP, left] = g
            for j in range(size):
                old, new = a * size + j, left * size + j
                work[Z, new], work[R, new] = work[Z, old], work[R, old]
                index[ATOM, new], index[PLACE, new] = index[ATOM, old], old
            left += 1
    n, moved = left * size, 0
    while moved < n and index[PLACE, moved] == moved:
        moved += 1
    for i in range(n if left < m else 0):
        _gather(block[index[PLACE, i]], index[PLACE], moved if i < moved else 0, n, block[i])
    return left
