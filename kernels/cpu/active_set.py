"""Coordinate descent on active codes, with the residual in signal space.

A visit of code z_a at its place in the residual r moves it to the minimum of

    1/2 ||r - (z - z_a) d_a||^2 + price |z|,

and r along; it touches one atom's box of r and nothing else. ``where[a]`` is the flat index
of that box in r, ``atom[a]`` the number of the atom. Codes are sorted into pieces; pieces two
apart never touch the same sample, so every other piece runs on a thread of its own, and the
result does not depend on how many threads there are.
"""

import numpy as np
from numba import njit

from csc.kernels.cpu.conv import LANES, TILE, _fours, _multiply
from csc.kernels.cpu.simd_intrinsics import add_rows, dot_rows, dot_rows_masked
from csc.kernels.cpu.threads import in_batches

WORK = 2**18  # multiplications, a few at a time, that are worth a thread
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}


def descend_active(residual, mask, atoms, boxes, codes, pieces, rules):
    """Sweep over the active codes of every piece, in place.

    Parameters
    ----------
    residual : array (size,)
        x - D z, flat, with every atom's padded box inside.
    mask : array (size,) or (0,)
        1 where the residual counts; empty if it counts everywhere.
    atoms : array (K, n)
        Atoms, their rows padded with zeros to a multiple of LANES.
    boxes : Boxes
        Where the rows of each shape of atoms lie, see `csc.operators._support_operator.Boxes`.
    codes : tuple of arrays
        where, atom (A,), int64; first (A + 1,) or (0,), copies (E,), int64: flat places, besides
        where, at which code a shows are ``copies[first[a]]`` to ``copies[first[a + 1]]``; price,
        inverse curvature, z (A,).
    pieces : array (P + 1,), int64
        Piece p holds the codes ``pieces[p]`` to ``pieces[p + 1]``.
    rules : (bool, int)
        Whether codes must not be negative, and how many sweeps.

    Returns
    -------
    float
        How much the last sweep lowered the objective, at least.
    """
    lowered = np.zeros(len(pieces) - 1)
    data = residual, mask, atoms, boxes, *codes, pieces
    positive, n_sweeps = rules
    for colour in (0, 1):  # pieces 0, 2, 4, ... never touch each other, nor do 1, 3, 5, ...
        n = (len(pieces) - colour) // 2
        least = _least(atoms, codes[0], pieces, n_sweeps)
        in_batches(_descend, n, *data, colour, not positive, n_sweeps, lowered, least=least)
    return float(lowered.sum())


def _least(atoms, where, pieces, times=1):
    """Pieces that are worth a thread."""
    return 1 + WORK * len(pieces) // (atoms.shape[1] * max(len(where), 1) * times)


@njit(**OPTIONS)
def _box(boxes, k):
    """Offsets of the rows of atom k, and their padded length."""
    g = boxes.shape[k]
    return boxes.rows[g, : boxes.heights[g]], boxes.widths[g]


@njit(**OPTIONS)
def _descend(  # noqa: PLR0913
    start, stop, residual, mask, atoms, boxes, where, atom, first, copies, price, inverse, z,
    pieces, colour, both_signs, n_sweeps, lowered,
):  # fmt: skip
    zero, several = residual.dtype.type(0), len(boxes.heights) > 1
    rows, width = _box(boxes, 0)
    for p in range(start, stop):
        piece = 2 * p + colour
        for _ in range(n_sweeps):
            drop = 0.0
            for a in range(pieces[piece], pieces[piece + 1]):
                d = atoms[atom[a]]
                if several:  # a look-up a visit costs a tenth
                    rows, width = _box(boxes, atom[a])
                if mask.size > 0:
                    slope = dot_rows_masked(d, residual, where[a], rows, width, mask)
                else:
                    slope = dot_rows(d, residual, where[a], rows, width)
                goal = z[a] + inverse[a] * slope
                threshold = inverse[a] * price[a]
                new = max(goal - threshold, zero)
                if both_signs:
                    new += min(goal + threshold, zero)
                move = new - z[a]
                if move != 0:
                    add_rows(d, residual, where[a], rows, width, -move)
                    if first.size > 0:
                        for i in range(first[a], first[a + 1]):
                            add_rows(d, residual, copies[i], rows, width, -move)
                    z[a] = new
                    drop += 0.5 * move * move / inverse[a]
            lowered[piece] = drop


def correlate_active(signal, atoms, boxes, where, atom, out):
    """Correlate each active code's atom with a flat signal, ``out[a] = <d_atom[a], signal>``."""
    least = 1 + WORK // atoms.shape[1]
    in_batches(_correlate_active, len(where), signal, atoms, boxes, where, atom, out, least=least)


@njit(**OPTIONS)
def _correlate_active(start, stop, signal, atoms, boxes, where, atom, out):  # noqa: PLR0913
    for a in range(start, stop):
        rows, width = _box(boxes, atom[a])
        out[a] = dot_rows(atoms[atom[a]], signal, where[a], rows, width)


def add_active(target, atoms, boxes, codes, pieces):
    """Add ``sum_a z_a d_a`` to a flat ``target``; ``codes`` are where, atom, first, copies, z."""
    for colour in (0, 1):
        n = (len(pieces) - colour) // 2
        least = _least(atoms, codes[0], pieces)
        in_batches(_add, n, target, atoms, boxes, *codes, pieces, colour, least=least)


@njit(**OPTIONS)
def _add(  # noqa: PLR0913
    start, stop, target, atoms, boxes, where, atom, first, copies, z, pieces, colour
):
    for p in range(start, stop):
        for a in range(pieces[2 * p + colour], pieces[2 * p + colour + 1]):
            rows, width = _box(boxes, atom[a])
            add_rows(atoms[atom[a]], target, where[a], rows, width, z[a])
            if first.size > 0:
                for i in range(first[a], first[a + 1]):
                    add_rows(atoms[atom[a]], target, copies[i], rows, width, z[a])


def correlate_at(residual, atoms, boxes, places, out):
    """Correlate all atoms at some places, ``out[i, k] = <d_k, r at places[i]>``."""
    in_batches(_correlate_at, len(places), residual, atoms, boxes, places, out)


@njit(**OPTIONS)
def _correlate_at(start, stop, residual, atoms, boxes, places, out):
    for i in range(start, stop):
        for k in range(len(atoms)):
            rows, width = _box(boxes, k)
            out[i, k] = dot_rows(atoms[k], residual, places[i], rows, width)


def violating_indices(residual, matrix, offsets, places, bars, positive, out):  # noqa: PLR0913
    """Which atoms correlate with the residual more than they should, at some places.

    ``out[i, k] = |<d_k, r at places[i]>| > bars[i]``

    Parameters
    ----------
    residual : array (size,)
    matrix : array (K, n)
        Atoms d.
    offsets : array (n,), int64
        Of an atom's samples from the atom's place.
    places : array (P,), int64
    bars : array (P,)
    positive : bool
        Without the modulus.
    out : array (P, K), bool
        Overwritten.
    """
    atoms = _fours(matrix)
    in_batches(
        _violators, -(-len(places) // TILE), residual, atoms, offsets, places, bars, not positive,
        out, least=1,
    )  # fmt: skip


@njit(**OPTIONS)
def _violators(start, stop, residual, matrix, offsets, places, bars, both_signs, out):  # noqa: PLR0913
    patches = np.zeros(matrix.shape[1] * TILE, residual.dtype)
    four = np.empty(4 * TILE, residual.dtype)
    for tile in range(start, stop):
        some = places[tile * TILE : (tile + 1) * TILE]
        for i in range(len(some)):
            for p in range(len(offsets)):
                patches[p * TILE + i] = residual[some[i] + offsets[p]]
        for k in range(0, out.shape[1], 4):
            _multiply(matrix[k : k + 4], patches, -(-len(some) // LANES), four)
            for row in range(min(4, out.shape[1] - k)):
                for i in range(len(some)):
                    q = four[row * TILE + i]
                    q = abs(q) if both_signs else q
                    out[tile * TILE + i, k + row] = q > bars[tile * TILE + i]
