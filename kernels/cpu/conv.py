"""Direct convolution: codes to signal, and the adjoints in the codes and in the atoms.

The three maps are matrix products. For ``TILE_POSITIONS`` code positions at a time, the signal is
unfolded into a matrix of patches, with one row per atom sample and one column per position.
Correlation multiplies it by the atoms, the adjoint in the atoms by the codes; synthesis computes
such a matrix from codes and atoms and folds it back. The products are plain loops over four rows
times four rows, whose columns the compiler vectorises. They use no BLAS, which would start a second
pool of threads.

Results are the same for any number of threads: the order of the sums follows from shapes alone.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from csc.kernels._constants import TILE_POSITIONS, TILE_POSITIONS_PER_STEP
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.simd_intrinsics import add_run, clear_run, copy_run, multiply_tile
from csc.kernels.cpu.threads import in_batches

SAMPLES_PER_GROUP = 256  # samples of an atom per thread where the work is shared by samples
MULTIPLICATIONS_PER_BATCH = 2**22  # fewer do not repay another thread
MAX_PARTIAL_SUMS = 64  # of `correlate_atoms`, which threads share
MAX_KEPT_OFFSETS = 2**14  # making a longer table takes a small share of the time


class _Places(NamedTuple):
    """Flat indices: position v of a row meets sample p at ``rows[row] + step v + samples[p]``."""

    rows: np.ndarray
    length: int  # positions in a row
    step: int
    samples: np.ndarray


def correlate(x, atoms, stride, out):
    """Correlate signals with atoms, ``out[n, k, v] = sum_{c, l} d[k, c, l] x[n, c, t v + l]``.

    Parameters
    ----------
    x : array (N, C, S0, S1, S2)
        Signals, float32 or float64, like all arrays here C-contiguous and of one dtype.
    atoms : array (K, C, s0, s1, s2)
        Atoms d.
    stride : tuple of 3 ints
        Steps t between code positions.
    out : array (N, K, V0, V1, V2)
        Overwritten; ``S >= (V - 1) t + s`` on each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.conv import correlate
    >>> x, atom = np.arange(6.0).reshape(1, 1, 1, 1, 6), np.ones((1, 1, 1, 1, 2))
    >>> z = np.empty((1, 1, 1, 1, 3))
    >>> correlate(x, atom, (1, 1, 2), z)
    >>> z.ravel()
    array([1., 5., 9.])
    """
    signal, codes = _signal_places(x, atoms, out, stride), _code_places(out)
    matrix = _fours(atoms.reshape(len(atoms), -1))
    arrays = x.reshape(-1), signal, matrix, codes, out.reshape(-1)
    tiles = -(-len(codes.rows) * codes.length // TILE_POSITIONS)
    in_batches(
        _correlate,
        tiles,
        *arrays,
        min_batch=1 + MULTIPLICATIONS_PER_BATCH // (matrix.size * TILE_POSITIONS),
        scratch=lambda: _tiles(matrix.shape[1], matrix.dtype),
    )


def dual_infeasibility(x, atoms, inverse_lmbda, stride, positive, out):
    """Largest correlation relative to lmbda, ``out[n, v] = max_k |<d_k, x[n] at v>| / lmbda_k``.

    Like `correlate`, but correlations are not stored: memory does not grow with K.

    Parameters
    ----------
    x : array (N, C, S0, S1, S2)
        Signals; the last axis may be a part of a longer one.
    atoms : array (K, C, s0, s1, s2)
        Atoms d.
    inverse_lmbda : array (K,)
        1 / lmbda of each atom.
    stride : tuple of 3 ints
        Steps t between code positions.
    positive : bool
        Whether to take correlations without the modulus, and at least 0.
    out : array (N, V0, V1, V2)
        Overwritten; ``S >= (V - 1) t + s`` on each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.conv import dual_infeasibility
    >>> x, atoms = np.array([3.0, -4.0]).reshape(1, 1, 1, 1, 2), np.ones((1, 1, 1, 1, 1))
    >>> out = np.empty((1, 1, 1, 2))
    >>> dual_infeasibility(x, atoms, np.array([0.5]), (1, 1, 1), False, out)
    >>> out.ravel()
    array([1.5, 2. ])
    """
    signal, codes = _signal_places(x, atoms, out[:, None], stride), _code_places(out[:, None])
    matrix = _fours(atoms.reshape(len(atoms), -1) * inverse_lmbda[:, None])
    arrays = _flat(x), signal, matrix, codes, not positive, out.reshape(-1)
    tiles = -(-len(codes.rows) * codes.length // TILE_POSITIONS)
    in_batches(
        _dual_infeasibility,
        tiles,
        *arrays,
        min_batch=1 + MULTIPLICATIONS_PER_BATCH // (matrix.size * TILE_POSITIONS),
        scratch=lambda: _tiles(matrix.shape[1], matrix.dtype),
    )


def _flat(x):
    """All memory from the first to the last number of ``x``."""
    size = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) // x.itemsize
    return np.lib.stride_tricks.as_strided(x, (size,), (x.itemsize,), writeable=False)


def synthesize(z, atoms, stride, out):
    """Synthesise signals from codes, the adjoint of `correlate` in the signal.

    ``out[n, c, u] = sum_{k, v} d[k, c, u - t v] z[n, k, v]``

    Parameters
    ----------
    z : array (N, K, V0, V1, V2)
        Codes, float32 or float64, like all arrays here C-contiguous and of one dtype.
    atoms : array (K, C, s0, s1, s2)
        Atoms d.
    stride : tuple of 3 ints
        Steps t between code positions.
    out : array (N, C, S0, S1, S2)
        Overwritten; ``S >= (V - 1) t + s`` on each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.conv import synthesize
    >>> z, atom = np.arange(1.0, 4.0).reshape(1, 1, 1, 1, 3), np.ones((1, 1, 1, 1, 2))
    >>> x = np.empty((1, 1, 1, 1, 6))
    >>> synthesize(z, atom, (1, 1, 2), x)
    >>> x.ravel()
    array([1., 1., 2., 2., 3., 3.])
    """
    signal, codes = _signal_places(out, atoms, z, stride), _code_places(z)
    matrix = _fours(atoms.reshape(len(atoms), -1).T)
    block = _disjoint_block(z.shape[2:], atoms.shape[2:], stride)
    extent = prod(atoms.shape[2:])
    # whole channels, in groups of four
    block_and_group = block, 4 * extent * max(1, SAMPLES_PER_GROUP // 4 // extent)
    out.fill(0)
    positions, groups = z.size // z.shape[1], -(-len(matrix) // block_and_group[1])
    arrays = z.reshape(-1), codes, matrix, signal, block_and_group
    for first in (0, block):  # blocks 0, 2, 4, ... have no sample in common
        pieces = max(0, -(-(positions - first) // (2 * block))) * groups
        min_batch = 1 + MULTIPLICATIONS_PER_BATCH // (
            matrix.shape[1] * min(block_and_group[1], len(matrix)) * block
        )
        in_batches(
            _synthesize,
            pieces,
            *arrays,
            first,
            out.reshape(-1),
            min_batch=min_batch,
            scratch=lambda: _tiles(matrix.shape[1], matrix.dtype),
        )


def correlate_atoms(x, z, stride, out):
    """Correlate signals with codes, the adjoint of `synthesize` in the atoms.

    ``out[k, c, l] = sum_{n, v} x[n, c, t v + l] z[n, k, v]``

    Parameters
    ----------
    x : array (N, C, S0, S1, S2)
        Signals, float32 or float64, like all arrays here C-contiguous and of one dtype.
    z : array (N, K, V0, V1, V2)
        Codes.
    stride : tuple of 3 ints
        Steps t between code positions.
    out : array (K, C, s0, s1, s2)
        Overwritten; ``S >= (V - 1) t + s`` on each axis.

    Notes
    -----
    Sums over ``TILE_POSITIONS`` positions are taken in the dtype, sums of these in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.conv import correlate_atoms
    >>> x, z = np.arange(4.0).reshape(1, 1, 1, 1, 4), np.ones((1, 1, 1, 1, 3))
    >>> d = np.empty((1, 1, 1, 1, 2))
    >>> correlate_atoms(x, z, (1, 1, 1), d)
    >>> d.ravel()
    array([3., 6.])
    """
    signal, codes = _signal_places(x, out, z, stride), _code_places(z)
    positions = z.size // z.shape[1]
    parts = min(MAX_PARTIAL_SUMS, max(1, z.size // out.size))  # together no larger than the codes
    part = _round_up(-(-positions // parts), TILE_POSITIONS)
    atoms, samples = len(out), out[0].size
    sums = np.zeros((-(-positions // part), _round_up(atoms, 4), _round_up(samples, 4)))
    pieces = len(sums) * -(-samples // SAMPLES_PER_GROUP)
    arrays = x.reshape(-1), signal, z.reshape(-1), codes, part, sums
    min_batch = 1 + MULTIPLICATIONS_PER_BATCH // (
        sums.shape[1] * min(SAMPLES_PER_GROUP, sums.shape[2]) * part
    )
    columns = min(SAMPLES_PER_GROUP, sums.shape[2])
    in_batches(
        _correlate_atoms,
        pieces,
        *arrays,
        min_batch=min_batch,
        scratch=lambda: _tiles(columns, x.dtype),
    )
    out[...] = sums[:, :atoms, :samples].sum(axis=0).reshape(out.shape)


def _signal_places(x, atoms, z, stride):
    """Flat indices, in signals x, of an atom's samples at each code position."""
    n, *steps = (s // x.itemsize for s in x.strides)
    t0, t1, t2 = stride
    rows = _offsets((z.shape[0], *z.shape[2:4]), (n, t0 * steps[1], t1 * steps[2]))
    return _Places(rows, z.shape[4], t2, _offsets(atoms.shape[1:], steps))


def _code_places(z):
    """Flat indices, in codes z, of all atoms' codes at each position: K "samples", V apart."""
    atoms, positions = z.shape[1], prod(z.shape[2:])
    rows = _offsets((z.shape[0], positions // z.shape[4]), (atoms * positions, z.shape[4]))
    return _Places(rows, z.shape[4], 1, _offsets((atoms,), (positions,)))


def _offsets(shape, steps):
    """All sums ``i[0] steps[0] + i[1] steps[1] + ...`` with ``i < shape``, row-major."""
    of = _kept_offsets if prod(shape) <= MAX_KEPT_OFFSETS else _new_offsets
    return of(tuple(shape), tuple(steps))


def _new_offsets(shape, steps):
    sums = np.zeros((), np.int64)
    for length, step in zip(shape, steps, strict=True):
        sums = np.add.outer(sums, step * np.arange(length))
    return sums.ravel()


_kept_offsets = lru_cache(maxsize=64)(_new_offsets)  # read only: many calls share a table


def _fours(matrix):
    """Pad with zeros to multiples of four rows and columns."""
    rows, columns = matrix.shape
    padded = np.zeros((_round_up(rows, 4), _round_up(columns, 4)), matrix.dtype)
    padded[:rows, :columns] = matrix
    return padded


def _tiles(columns, dtype):
    """Scratch for products: a tile of so many rows, and one of four."""
    return np.empty(columns * TILE_POSITIONS, dtype), np.empty(4 * TILE_POSITIONS, dtype)


def _round_up(n, multiple):
    return -(-n // multiple) * multiple


def _disjoint_block(grid, spatial_shape, stride):
    """Positions per block such that atoms two blocks apart have no sample in common."""
    axis = next((a for a in range(3) if grid[a] > 1), 2)
    return _round_up(
        -(-spatial_shape[axis] // stride[axis]) * prod(grid[axis + 1 :]), TILE_POSITIONS
    )


@entry()
def _correlate(start, stop, x, signal, matrix, codes, out, patches, four):
    for i in range(start, stop):
        vectors = _unfold(x, signal, signal.samples, i * TILE_POSITIONS, patches)
        for k in range(0, len(matrix), 4):
            multiply_tile(matrix, k, patches, 0, vectors, four)
            _store(four, codes, codes.samples[k : k + 4], i * TILE_POSITIONS, out)


@entry()
def _dual_infeasibility(start, stop, x, signal, matrix, codes, both_signs, out, patches, four):
    negative_sign = x.dtype.type(-1 if both_signs else 0)
    for i in range(start, stop):
        vectors = _unfold(x, signal, signal.samples, i * TILE_POSITIONS, patches)
        first, n = (
            i * TILE_POSITIONS,
            min(TILE_POSITIONS, len(codes.rows) * codes.length - i * TILE_POSITIONS),
        )
        top = out[first : first + n]
        for v in range(n):
            top[v] = 0
        for k in range(0, len(matrix), 4):
            multiply_tile(matrix, k, patches, 0, vectors, four)
            for row in range(four.size // TILE_POSITIONS):  # four; the number would be unrolled
                q = four[row * TILE_POSITIONS :]
                for v in range(n):
                    so_far = max(top[v], q[v])
                    top[v] = max(so_far, negative_sign * q[v])


@entry()
def _synthesize(start, stop, z, codes, matrix, signal, block_and_group, first, out, maps, four):
    block, samples = block_and_group
    positions = len(codes.rows) * codes.length
    groups = -(-len(matrix) // samples)
    for i in range(start, stop):
        begin, group = first + i // groups * 2 * block, i % groups * samples
        for j in range(begin, min(begin + block, positions), TILE_POSITIONS):
            vectors = _unfold(z, codes, codes.samples, j, maps)
            for p in range(group, min(group + samples, len(matrix)), 4):
                multiply_tile(matrix, p, maps, 0, vectors, four)
                _fold(four, signal, signal.samples[p : p + 4], j, out)


@entry()
def _correlate_atoms(start, stop, x, signal, z, codes, part, sums, tile, four):
    positions = len(codes.rows) * codes.length
    groups = -(-len(signal.samples) // SAMPLES_PER_GROUP)
    for i in range(start, stop):
        p = i % groups * SAMPLES_PER_GROUP
        samples = signal.samples[p : p + SAMPLES_PER_GROUP]
        total = sums[i // groups, :, p : p + SAMPLES_PER_GROUP]
        patches = tile[: total.shape[1] * TILE_POSITIONS]
        begin = i // groups * part
        for j in range(begin, min(begin + part, positions), TILE_POSITIONS):
            _unfold(x, signal, samples, j, patches)
            for k in range(0, len(total), 4):
                vectors = _unfold(z, codes, codes.samples[k : k + 4], j, four)
                _multiply_transposed(four, patches, vectors, total[k : k + 4])


@inner(fastmath={"contract", "nsz", "reassoc"})
def _multiply_transposed(a, b, vectors, c):
    """``c += a b^T`` for 4 rows of a; a and b are flat, their rows TILE_POSITIONS long."""
    for p in range(0, c.shape[1], 4):
        bp = b[p * TILE_POSITIONS :]
        c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = a.dtype.type(0)
        c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = a.dtype.type(0)
        for j in range(TILE_POSITIONS_PER_STEP * vectors):
            a0, a1, a2, a3 = (
                a[j],
                a[j + TILE_POSITIONS],
                a[j + 2 * TILE_POSITIONS],
                a[j + 3 * TILE_POSITIONS],
            )
            b0, b1, b2, b3 = (
                bp[j],
                bp[j + TILE_POSITIONS],
                bp[j + 2 * TILE_POSITIONS],
                bp[j + 3 * TILE_POSITIONS],
            )
            c00, c01, c02, c03 = c00 + a0 * b0, c01 + a0 * b1, c02 + a0 * b2, c03 + a0 * b3
            c10, c11, c12, c13 = c10 + a1 * b0, c11 + a1 * b1, c12 + a1 * b2, c13 + a1 * b3
            c20, c21, c22, c23 = c20 + a2 * b0, c21 + a2 * b1, c22 + a2 * b2, c23 + a2 * b3
            c30, c31, c32, c33 = c30 + a3 * b0, c31 + a3 * b1, c32 + a3 * b2, c33 + a3 * b3
        left = (c00, c01, c02, c03), (c10, c11, c12, c13)
        right = (c20, c21, c22, c23), (c30, c31, c32, c33)
        for i, row in enumerate(left + right):
            for q, value in enumerate(row):
                c[i, p + q] += value


@inner()
def _unfold(source, places, samples, first, tile):
    """Fill a tile: a row per sample, a column per position from ``first`` on, zeros elsewhere.

    Returns how many steps of TILE_POSITIONS_PER_STEP cover the positions in the tile.
    """
    j, end = first, min(first + TILE_POSITIONS, len(places.rows) * places.length)
    while j < end:
        start, run = _run(places, j, end)
        for p in range(len(samples)):
            at = p * TILE_POSITIONS + j - first
            copy_run(source, start + samples[p], places.step, tile, at, run)
        j += run
    vectors = -(-(end - first) // TILE_POSITIONS_PER_STEP)
    for p in range(len(samples)):
        at = p * TILE_POSITIONS
        clear_run(tile, at + end - first, at + vectors * TILE_POSITIONS_PER_STEP)
    clear_run(tile, len(samples) * TILE_POSITIONS, tile.size)
    return vectors


@inner()
def _fold(four, places, samples, first, target):
    """Add up to 4 rows to the samples that `_unfold` would read them from."""
    j, end = first, min(first + TILE_POSITIONS, len(places.rows) * places.length)
    while j < end:
        start, run = _run(places, j, end)
        for p in range(len(samples)):
            at = p * TILE_POSITIONS + j - first
            add_run(four, at, target, start + samples[p], places.step, run)
        j += run


@inner()
def _store(four, codes, atoms, first, target):
    """Copy up to 4 rows to the codes that `_unfold` would read them from."""
    j, end = first, min(first + TILE_POSITIONS, len(codes.rows) * codes.length)
    while j < end:
        start, run = _run(codes, j, end)
        for p in range(len(atoms)):
            at = p * TILE_POSITIONS + j - first
            copy_run(four, at, 1, target, start + atoms[p], run)
        j += run


@inner()
def _run(places, position, end):
    """Flat index of a position, and how many positions up to ``end`` follow in its row."""
    row, v = divmod(position, places.length)
    return places.rows[row] + places.step * v, min(places.length - v, end - position)
