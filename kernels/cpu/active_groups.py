"""Active groups of codes: block coordinate descent with the residual in signal space, and dual norms.

A group is ``size`` consecutive atoms at one position. An update sets its codes z_g to the minimum of

    L / 2 ||z - z_g||^2 - <D_g^T r, z - z_g> + lmbda ||z|| + l1 ||z||_1

where L is the largest eigenvalue of D_g^T D_g [1]_, and updates the residual r under the atoms of the group.
Codes, pieces of them and runs are as in `csc.kernels.cpu.active_set`.

References
----------
.. [1] Z. Qin, K. Scheinberg, D. Goldfarb, "Efficient block-coordinate descent algorithms for the
   group lasso", Math. Program. Comput. 5, 2013, sec. 2.
"""

import numpy as np
from numba import get_num_threads

from csc.kernels._constants import TILE_POSITIONS, TILE_POSITIONS_PER_STEP
from csc.kernels.cpu.active_set import OPTIONS, gather_tile
from csc.kernels.cpu.atomics import claim, finish, wait_for_all
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.conv import _fours, _tiles
from csc.kernels.cpu.simd_intrinsics import (
    add_runs,
    dot_runs,
    dot_runs_masked,
    multiply_tile,
)
from csc.kernels.cpu.threads import in_batches, in_phases

MIN_GROUPS_PER_BATCH = 2**14  # of `bend_groups`: fewer do not repay another thread


def descend_groups(residual, mask, atoms, runs, codes, pieces, options):
    """Sweep over the active groups of every piece, in place.

    Parameters
    ----------
    residual, mask, atoms, runs
        As for `descend_active`.
    codes : tuple of arrays
        where, atom, first, copies, as for `descend_active`; L of each group of atoms (K / size,), z (A,).
    pieces : array (P + 1,), int64
        Piece p holds the codes ``pieces[p]`` to ``pieces[p + 1]``, whole groups.
    options : (size, lmbda, l1, n_sweeps)
        Atoms of a group; lambdas of the norms of groups and of absolute values; how many sweeps.
    """
    size, lmbda, l1, n_sweeps = options
    lmbdas = residual.dtype.type(lmbda), residual.dtype.type(l1)
    columns, ahead = (atoms, runs, *codes[:4]), np.empty((get_num_threads(), size), residual.dtype)
    work = n_sweeps * len(codes[0]) * atoms.shape[1]
    in_phases(
        _descend, (2, len(pieces)), work, residual, mask, columns, codes[4:], pieces, lmbdas,
        n_sweeps, ahead,
    )  # fmt: skip


@entry(**OPTIONS)
def _descend(thread, _, residual, mask, columns, updates, pieces, lmbdas, n_sweeps, ahead, phases):
    for parity in (0, 1):  # pieces 0, 2, 4, ... have no sample in common
        n = (len(pieces) - parity) // 2
        for i in range(n):
            piece = 2 * claim(phases, parity, n, thread, i) + parity
            if piece < 0:
                continue
            part = pieces[piece], pieces[piece + 1]
            for _ in range(n_sweeps):
                _sweep(part, residual, mask, columns, updates, lmbdas, ahead[thread])
            finish(phases, parity)
        wait_for_all(phases, parity, n)


@inner(**OPTIONS)
def _sweep(part, residual, mask, columns, updates, lmbdas, ahead):
    (atoms, runs, where, atom, first, copies), (curvatures, z) = columns, updates
    for a in range(part[0], part[1], ahead.size):
        curvature = curvatures[atom[a] // ahead.size]
        if curvature == 0:
            continue  # atoms of zeros
        for j in range(a, a + ahead.size):
            d, shape = atoms[atom[j]], runs.shape[atom[j]]
            starts = runs.starts[shape, : runs.lengths[shape]]
            if mask.size > 0:
                correlation = dot_runs_masked(d, residual, where[j], starts, mask)
            else:
                correlation = dot_runs(d, residual, where[j], starts)
            ahead[j - a] = z[j] + correlation / curvature
        _shrink(lmbdas[0] / curvature, lmbdas[1] / curvature, ahead)
        for j in range(a, a + ahead.size):
            if ahead[j - a] != z[j]:
                d, shape = atoms[atom[j]], runs.shape[atom[j]]
                starts = runs.starts[shape, : runs.lengths[shape]]
                _add(z[j] - ahead[j - a], j, d, starts, where, first, copies, residual)
                z[j] = ahead[j - a]


@inner(**OPTIONS)
def _add(scale, a, atom, starts, where, first, copies, residual):
    """Add a multiple of the atom of code ``a`` to the residual, and of its copies."""
    add_runs(atom, residual, where[a], starts, scale)
    if first.size > 0:
        for i in range(first[a], first[a + 1]):
            add_runs(atom, residual, copies[i], starts, scale)


@inner(**OPTIONS)
def _shrink(threshold, l1, z):
    """Shorten each code of a group by ``l1``, then the group by ``threshold``."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    square = zero
    for j in range(z.size):
        z[j] -= min(max(z[j], -l1), l1)
        square += z[j] * z[j]
    norm = np.sqrt(square)
    factor = one - threshold / norm if norm > threshold else zero
    for j in range(z.size):
        z[j] *= factor


def group_squares(residual, matrix, offsets, places, options, thresholds, largest, exceeds):
    """``||(|D_g^T r| - l1)_+||^2`` of all groups at some places: the largest, and which exceed a threshold.

    Parameters
    ----------
    residual : array (size,)
    matrix : array (K, n)
        Atoms d.
    offsets : array (n,), int64
        Flat offsets of an atom's samples from its first one.
    places : array (P,), int64
    options : (size, l1)
        Atoms of a group; what is subtracted from each absolute value.
    thresholds : array (P,)
        Of the squares.
    largest : array (P,)
        Overwritten.
    exceeds : array (P, K / size) or (P, 0), bool
        Overwritten.
    """
    atoms, (size, l1) = _fours(matrix), options

    def scratch():
        return *_tiles(atoms.shape[1], atoms.dtype), np.empty(TILE_POSITIONS, atoms.dtype)

    settings = size, residual.dtype.type(l1)
    in_batches(
        _group_squares, -(-len(places) // TILE_POSITIONS), residual, atoms, offsets, places,
        settings, thresholds, largest, exceeds, min_batch=1, scratch=scratch,
    )  # fmt: skip


@entry(**OPTIONS)
def _group_squares(
    start, stop, residual, matrix, offsets, places, settings, thresholds, largest, exceeds,
    patches, four, square,
):  # fmt: skip
    (size, l1), zero = settings, residual.dtype.type(0)
    for j in range(len(offsets) * TILE_POSITIONS, patches.size):
        patches[j] = 0
    for tile in range(start, stop):
        first, n = tile * TILE_POSITIONS, min(TILE_POSITIONS, len(places) - tile * TILE_POSITIONS)
        top = largest[first : first + n]
        gather_tile(residual, places[first : first + n], offsets, patches)
        top[:] = square[:] = zero
        for k in range(0, len(matrix), 4):
            multiply_tile(matrix, k, patches, 0, -(-n // TILE_POSITIONS_PER_STEP), four)
            for r in range(four.size // TILE_POSITIONS):  # four; the number would be unrolled
                q = four[r * TILE_POSITIONS :]
                for i in range(n):
                    over = max(abs(q[i]) - l1, zero)
                    square[i] += over * over
                if (k + r + 1) % size == 0:
                    _end_group((k + r) // size, first, thresholds, square, top, exceeds)


@inner(**OPTIONS)
def _end_group(group, first, thresholds, square, top, exceeds):
    """Compare the squares of a group at the places from ``first`` on, and clear them."""
    if group < exceeds.shape[1]:
        for i in range(top.size):
            exceeds[first + i, group] = square[i] > thresholds[first + i]
    for i in range(top.size):
        top[i] = max(top[i], square[i])
        square[i] = 0


def bend_groups(fit, codes, model, out):
    """``S (fit + B codes)`` for the Hessian of the norms of groups of codes, with a scaling on both sides.

    In each group ``B = bend (1 - (u w^T + w u^T) / 2)`` and ``S = across + (1 - across) u u^T``; then unused
    codes become 0.

    Parameters
    ----------
    fit, codes : arrays (A,)
    model : (u, w, used, across, bend)
        Arrays (A,) of the codes, u of norm 1 in each group, used 0 or 1, and (G,) of the groups.
    out : array (A,)
        May be ``fit``.
    """
    in_batches(_bend, len(model[3]), fit, codes, *model, out, min_batch=MIN_GROUPS_PER_BATCH)


@entry(**OPTIONS)
def _bend(start, stop, fit, codes, u, w, used, across, bend, out):
    size, half, one = len(u) // len(bend), u.dtype.type(0.5), u.dtype.type(1)
    for g in range(start, stop):
        along = toward = ahead = u.dtype.type(0)
        for a in range(g * size, (g + 1) * size):
            along += u[a] * codes[a]
            toward += w[a] * codes[a]
        for a in range(g * size, (g + 1) * size):
            out[a] = fit[a] + bend[g] * (codes[a] - half * (u[a] * toward + w[a] * along))
            ahead += u[a] * out[a]
        for a in range(g * size, (g + 1) * size):
            out[a] = used[a] * (across[g] * out[a] + (one - across[g]) * ahead * u[a])
