"""Coordinate descent on active codes, with the residual in signal space.

An update of code z_a sets it to the minimum of

    1/2 ||r - (z - z_a) d_a||^2 + lmbda |z| + ridge / 2 z^2

and updates the residual r, only at the samples of that atom. ``where[a]`` is the flat index of
its first sample in r, ``atom[a]`` the number of the atom. Codes are sorted into pieces. Pieces two
apart have no sample in common, so every other piece can run on another thread, and the result does
not depend on the number of threads.
"""

import numpy as np

from csc.kernels._constants import TILE_POSITIONS, TILE_POSITIONS_PER_STEP
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

MULTIPLICATIONS_PER_BATCH = 2**20  # fewer do not repay another thread
OPTIONS = {"error_model": "numpy"}


def descend_active(residual, mask, atoms, runs, codes, pieces, options):
    """Sweep over the active codes of every piece, in place.

    Parameters
    ----------
    residual : array (size,)
        x - D z, flat, with every atom's padded box inside.
    mask : array (size,) or (0,)
        1 where the residual counts; empty if it counts everywhere.
    atoms : array (K, n)
        Atoms, in runs of SIMD_WIDTH samples.
    runs : Runs
        Where the samples of each shape of atoms lie, see `csc.operators._support_operator.Runs`.
    codes : tuple of arrays
        where, atom (A,), int64; first (A + 1,) or (0,), copies (E,), int64: in signals that wrap
        around, code a has copies at the flat indices ``copies[first[a]]`` to
        ``copies[first[a + 1]]``, too; lmbda, 1 / (||d||^2 + ridge), z (A,).
    pieces : array (P + 1,), int64
        Piece p holds the codes ``pieces[p]`` to ``pieces[p + 1]``.
    options : (positive, n_sweeps, ridge)
        Whether codes must not be negative, how many sweeps, and the weight of ``z^2 / 2``.
    """
    data = residual, mask, (atoms, runs, *codes[:4]), codes[4:], pieces
    positive, n_sweeps, ridge = options
    ridge = residual.dtype.type(ridge)
    work = n_sweeps * len(codes[0]) * atoms.shape[1]
    in_phases(_descend, (2, len(pieces)), work, *data, not positive, n_sweeps, ridge)


@entry(**OPTIONS)
def _descend(thread, _, residual, mask, columns, updates, pieces, signs, n_sweeps, ridge, phases):
    for parity in (0, 1):  # pieces 0, 2, 4, ... have no sample in common
        n = (len(pieces) - parity) // 2
        for i in range(n):
            piece = 2 * claim(phases, parity, n, thread, i) + parity
            if piece < 0:
                continue
            for _ in range(n_sweeps):
                _sweep(
                    pieces[piece], pieces[piece + 1], residual, mask, columns, updates, signs, ridge
                )
            finish(phases, parity)
        wait_for_all(phases, parity, n)


@inner(**OPTIONS)
def _sweep(begin, end, residual, mask, columns, updates, both_signs, ridge):
    atoms, runs, where, atom, first, copies = columns
    lmbda, inverse_curvature, z = updates
    zero, starts = residual.dtype.type(0), runs.starts[0, : runs.lengths[0]]
    for a in range(begin, end):
        d = atoms[atom[a]]
        if len(runs.lengths) > 1:  # a look-up in every update takes a tenth of the time
            g = runs.shape[atom[a]]
            starts = runs.starts[g, : runs.lengths[g]]
        if mask.size > 0:
            correlation = dot_runs_masked(d, residual, where[a], starts, mask)
        else:
            correlation = dot_runs(d, residual, where[a], starts)
        target = z[a] + inverse_curvature[a] * (correlation - ridge * z[a])
        threshold = inverse_curvature[a] * lmbda[a]
        new = max(target - threshold, zero)
        if both_signs:
            new += min(target + threshold, zero)
        step = new - z[a]
        if step != 0:
            add_runs(d, residual, where[a], starts, -step)
            if first.size > 0:
                for i in range(first[a], first[a + 1]):
                    add_runs(d, residual, copies[i], starts, -step)
            z[a] = new


def correlate_active(signal, atoms, runs, where, atom, out):
    """Correlate each active code's atom with a flat signal, ``out[a] = <d_atom[a], signal>``."""
    min_batch = 1 + MULTIPLICATIONS_PER_BATCH // atoms.shape[1]
    in_batches(
        _correlate_active, len(where), signal, atoms, runs, where, atom, out, min_batch=min_batch
    )


@entry(**OPTIONS)
def _correlate_active(start, stop, signal, atoms, runs, where, atom, out):
    starts, several = runs.starts[0, : runs.lengths[0]], len(runs.lengths) > 1
    for a in range(start, stop):
        if several:
            g = runs.shape[atom[a]]
            starts = runs.starts[g, : runs.lengths[g]]
        out[a] = dot_runs(atoms[atom[a]], signal, where[a], starts)


def add_active(target, atoms, runs, codes, pieces):
    """Add ``sum_a z_a d_a`` to a flat ``target``; ``codes`` are where, atom, first, copies, z."""
    work = len(codes[0]) * atoms.shape[1]
    in_phases(_add, (2, len(pieces)), work, target, atoms, runs, *codes, pieces)


@entry(**OPTIONS)
def _add(thread, _, target, atoms, runs, where, atom, first, copies, z, pieces, phases):
    starts, several = runs.starts[0, : runs.lengths[0]], len(runs.lengths) > 1
    for parity in (0, 1):  # as in `_descend`
        n = (len(pieces) - parity) // 2
        for i in range(n):
            piece = 2 * claim(phases, parity, n, thread, i) + parity
            if piece < 0:
                continue
            for a in range(pieces[piece], pieces[piece + 1]):
                if several:
                    g = runs.shape[atom[a]]
                    starts = runs.starts[g, : runs.lengths[g]]
                add_runs(atoms[atom[a]], target, where[a], starts, z[a])
                if first.size > 0:
                    for c in range(first[a], first[a + 1]):
                        add_runs(atoms[atom[a]], target, copies[c], starts, z[a])
            finish(phases, parity)
        wait_for_all(phases, parity, n)


def correlate_at(residual, atoms, runs, places, out):
    """Correlate all atoms at some places, ``out[i, k] = <d_k, r at places[i]>``."""
    in_batches(_correlate_at, len(places), residual, atoms, runs, places, out)


@entry(**OPTIONS)
def _correlate_at(start, stop, residual, atoms, runs, places, out):
    starts, several = runs.starts[0, : runs.lengths[0]], len(runs.lengths) > 1
    for i in range(start, stop):
        for k in range(len(atoms)):
            if several:
                g = runs.shape[k]
                starts = runs.starts[g, : runs.lengths[g]]
            out[i, k] = dot_runs(atoms[k], residual, places[i], starts)


def violating_indices(residual, matrix, offsets, places, thresholds, positive, out):
    """Which atoms have correlations with the residual above a threshold, at some places.

    ``out[i, k] = |<d_k, r at places[i]>| > thresholds[i]``

    Parameters
    ----------
    residual : array (size,)
    matrix : array (K, n)
        Atoms d.
    offsets : array (n,), int64
        Flat offsets of an atom's samples from its first one.
    places : array (P,), int64
    thresholds : array (P,)
    positive : bool
        Whether to compare correlations without the modulus.
    out : array (P, K), bool
        Overwritten.
    """
    largest = np.zeros(len(places), residual.dtype)
    _compare(residual, matrix, offsets, places, (thresholds, positive, largest, out))


def largest_correlations(residual, matrix, offsets, places, positive, largest):
    """``largest[i] = max(largest[i], max_k |<d_k, r at places[i]>|)``; see `violating_indices`."""
    none = np.empty((len(places), 0), bool)
    _compare(residual, matrix, offsets, places, (largest, positive, largest, none))


def _compare(residual, matrix, offsets, places, comparison):
    atoms, (thresholds, positive, largest, exceeds) = _fours(matrix), comparison
    in_batches(
        _compare_correlations, -(-len(places) // TILE_POSITIONS), residual, atoms, offsets, places,
        thresholds, not positive, largest, exceeds, min_batch=1,
        scratch=lambda: _tiles(atoms.shape[1], atoms.dtype),
    )  # fmt: skip


@entry(**OPTIONS)
def _compare_correlations(
    start, stop, residual, matrix, offsets, places, thresholds, both_signs, largest, exceeds,
    patches, four,
):  # fmt: skip
    negative_sign = residual.dtype.type(-1 if both_signs else 0)
    for j in range(len(offsets) * TILE_POSITIONS, patches.size):
        patches[j] = 0
    for tile in range(start, stop):
        first, n = tile * TILE_POSITIONS, min(TILE_POSITIONS, len(places) - tile * TILE_POSITIONS)
        top = largest[first : first + n]
        gather_tile(residual, places[first : first + n], offsets, patches)
        for k in range(0, len(matrix), 4):
            multiply_tile(matrix, k, patches, 0, -(-n // TILE_POSITIONS_PER_STEP), four)
            for r in range(four.size // TILE_POSITIONS):  # four; the number would be unrolled
                q = four[r * TILE_POSITIONS :]
                for i in range(n):
                    so_far = max(top[i], q[i])
                    top[i] = max(so_far, negative_sign * q[i])
            for r in range(min(4, exceeds.shape[1] - k)):
                q = four[r * TILE_POSITIONS :]
                for i in range(n):
                    value = max(q[i], negative_sign * q[i])
                    exceeds[first + i, k + r] = value > thresholds[first + i]


@inner(**OPTIONS)
def gather_tile(residual, places, offsets, patches):
    """Fill the rows of a tile, one for each sample of an atom, with the samples at some places."""
    for p in range(len(offsets)):
        row, offset = patches[p * TILE_POSITIONS :], offsets[p]
        for i in range(
            len(places)
        ):  # unsigned: a test for numbers below 0 takes as long as the copy
            row[i] = residual[np.uint64(places[i] + offset)]
