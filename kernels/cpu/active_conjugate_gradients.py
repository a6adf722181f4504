"""Conjugate gradients on active codes, all steps in one call.

The four phases of a step take some tens of microseconds each. Sums over codes are added up piece by piece,
so the result does not depend on the number of threads.
"""

import numpy as np

from csc.kernels.cpu.active_set import OPTIONS
from csc.kernels.cpu.atomics import claim, finish, wait_for_all
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.simd_intrinsics import (
    add_runs,
    add_scaled_run,
    clear_run,
    dot_runs,
    dot_runs_masked,
)
from csc.kernels.cpu.threads import in_phases

# Phases of a step: p and fit = D p, of even pieces, of odd ones; D^T W fit; x and r; and how many these are
CORRELATE, MOVE, PHASES = 2, 3, 4
MULTIPLICATIONS_PER_CALL = 2**31  # half a second, in which no interrupt is noticed


def conjugate_gradients_active(weights, atoms, runs, codes, pieces, options, b, x):
    """Conjugate gradients for ``(D^T W D + ridge) x = b`` on the columns of active codes, from 0 on.

    Parameters
    ----------
    weights : array (size,) or (0,)
        Diagonal of W for the padded signal; empty if it is the identity.
    atoms, runs, pieces
        As in `csc.kernels.cpu.active_set.descend_active`.
    codes : (where, atom, first, copies)
        As there.
    options : (n_steps, ridge, size)
        Largest number of steps, and the size of the padded signal.
    b, x : arrays (A,)
        x is overwritten.

    References
    ----------
    .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems",
       J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).

    Examples
    --------
    >>> import csc, numpy as np
    >>> from csc.operators import PaddedSignals, RestrictedDictionary
    >>> D = csc.Dictionary(np.array([[[3.0, 4.0]]]))
    >>> layout = PaddedSignals(D, (1, 1, 9), "f8")
    >>> columns, x = RestrictedDictionary(layout, np.array([2, 6])), np.empty(2)
    >>> columns.solve(np.array([25.0, 50.0]), n_steps=2)
    array([1., 2.])
    """
    n_steps, ridge, size = options
    x[...] = 0
    vectors = x, b.copy(), np.zeros_like(b), np.empty_like(b)  # x, residual, direction, its product
    fit = np.zeros(size, b.dtype)
    columns = atoms, runs, *codes
    arrays = fit, weights, columns, pieces, b.dtype.type(ridge), vectors
    multiplications = 2 * len(b) * atoms.shape[1]  # of a step
    at_once = max(1, MULTIPLICATIONS_PER_CALL // max(1, multiplications))
    scalars = np.array([np.einsum("i,i->", b, b, dtype="float64"), 0.0])
    for done in range(0, n_steps, at_once):
        if scalars[0] <= 0:
            break
        steps = min(at_once, n_steps - done)
        sums, last = np.empty((PHASES * steps, len(pieces) - 1)), np.zeros(2)
        work = steps * multiplications
        in_phases(_conjugate_gradients, sums.shape, work, *arrays, scalars, last, sums)
        scalars = last


@entry(**OPTIONS)
def _conjugate_gradients(
    thread, _, fit, weights, columns, pieces, ridge, vectors, scalars, last, sums, phases
):
    energy, step, growth = scalars[0], fit.dtype.type(0), fit.dtype.type(scalars[1])
    n_pieces = len(pieces) - 1
    samples = -(-fit.size // n_pieces)
    for phase in range(len(sums)):
        kind = phase % PHASES
        n_parts = (len(pieces) - kind) // 2 if kind < CORRELATE else n_pieces
        for i in range(n_parts):
            part = claim(phases, phase, n_parts, thread, i)
            if part < 0:
                continue
            piece = 2 * part + kind if kind < CORRELATE else part
            codes, numbers = (pieces[piece], pieces[piece + 1]), (growth, ridge, step)
            sums[phase, piece] = _work(kind, codes, numbers, fit, weights, columns, vectors)
            if kind == MOVE:
                clear_run(fit, samples * piece, min(samples * (piece + 1), fit.size))
            finish(phases, phase)
        wait_for_all(phases, phase, n_parts)
        if kind < CORRELATE:
            continue
        total = 0.0
        for piece in range(n_pieces):
            total += sums[phase, piece]
        if total <= 0:  # no residual; or no curvature: rounding, or a direction that D does not see
            return
        if kind == CORRELATE:
            step = fit.dtype.type(energy / total)
        else:
            growth, energy = fit.dtype.type(total / energy), total
    last[0], last[1] = energy, growth  # every thread writes the same


@inner(**OPTIONS)
def _work(kind, codes, numbers, fit, weights, columns, vectors):
    """The part of a phase for some codes, and what it adds to ``<p, A p>`` or ``||r||^2``."""
    (atoms, runs, where, atom, first, copies), (x, r, p, product) = columns, vectors
    (growth, ridge, step), total = numbers, 0.0
    if kind == MOVE:
        add_scaled_run(step, p, x, codes[0], codes[1])
        add_scaled_run(-step, product, r, codes[0], codes[1])
        for a in range(codes[0], codes[1]):
            total += r[a] * r[a]
        return total
    starts, several = runs.starts[0, : runs.lengths[0]], len(runs.lengths) > 1
    for a in range(codes[0], codes[1]):
        d = atoms[atom[a]]
        if several:
            g = runs.shape[atom[a]]
            starts = runs.starts[g, : runs.lengths[g]]
        if kind < CORRELATE:
            p[a] = r[a] + growth * p[a]
            add_runs(d, fit, where[a], starts, p[a])
            if first.size > 0:
                for i in range(first[a], first[a + 1]):
                    add_runs(d, fit, copies[i], starts, p[a])
            continue
        if weights.size > 0:
            correlation = dot_runs_masked(d, fit, where[a], starts, weights)
        else:
            correlation = dot_runs(d, fit, where[a], starts)
        product[a] = correlation + ridge * p[a]
        total += p[a] * product[a]
    return total
