"""Direct convolution: codes to signal, and the adjoints in the codes and in the atoms.

The three maps are matrix products in disguise. ``TILE`` code positions at a time, the signal is
unfolded into a matrix of patches, one row per atom sample, one column per position. Correlation
multiplies it by the atoms, the adjoint in the atoms by the codes; synthesis makes such a matrix
from codes and atoms and folds it back. The products are plain loops over four rows times four
rows, whose columns the compiler vectorises; no BLAS, so no second pool of threads.

Every number is the same for any number of threads: who adds what follows from shapes alone.
"""

from math import prod
from typing import NamedTuple

import numpy as np
from numba import njit

from csc.kernels.cpu.threads import in_batches

# Rows of a tile lie TILE numbers apart. 64 atoms of 8 x 8 on 256 x 256, one core: 6.6 ms with 384,
# 7.2 ms with 512, where the eight rows that a product walks along compete for the same cache sets.
TILE = 384
LANES = 16  # loops run over whole vectors: known to the compiler, they need no remainder
SAMPLES = 256  # samples of an atom that one thread takes on where the work is shared by samples
WORK = 2**22  # multiplications that are worth a thread
PARTS = 64  # partial sums of `correlate_atoms`, which threads share


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
    tiles = -(-len(codes.rows) * codes.length // TILE)
    in_batches(_correlate, tiles, *arrays, least=1 + WORK // (matrix.size * TILE))


def dual_infeasibility(x, atoms, worths, stride, positive, out):
    """How far correlations exceed their prices, ``out[n, v] = max_k w_k |<d_k, x[n] at v>|``.

    Like `correlate`, but never keeps the correlations: memory does not grow with K.

    Parameters
    ----------
    x : array (N, C, S0, S1, S2)
        Signals; the last axis may be a part of a longer one.
    atoms : array (K, C, s0, s1, s2)
        Atoms d.
    worths : array (K,)
        One over the price of each atom.
    stride : tuple of 3 ints
        Steps t between code positions.
    positive : bool
        Without the modulus, and at least 0.
    out : array (N, V0, V1, V2)
        Overwritten; ``S >= (V - 1) t + s`` on each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.conv import excess
    >>> x, atoms = np.array([3.0, -4.0]).reshape(1, 1, 1, 1, 2), np.ones((1, 1, 1, 1, 1))
    >>> out = np.empty((1, 1, 1, 2))
    >>> excess(x, atoms, np.array([0.5]), (1, 1, 1), False, out)
    >>> out.ravel()
    array([1.5, 2. ])
    """
    signal, codes = _signal_places(x, atoms, out[:, None], stride), _code_places(out[:, None])
    matrix = _fours(atoms.reshape(len(atoms), -1) * worths[:, None])
    arrays = _flat(x), signal, matrix, codes, not positive, out.reshape(-1)
    tiles = -(-len(codes.rows) * codes.length // TILE)
    in_batches(_excess, tiles, *arrays, least=1 + WORK // (matrix.size * TILE))


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
    share = block, 4 * extent * max(1, SAMPLES // 4 // extent)  # whole channels, in fours
    out.fill(0)
    positions, groups = z.size // z.shape[1], -(-len(matrix) // share[1])
    arrays = z.reshape(-1), codes, matrix, signal, share
    for first in (0, block):  # blocks 0, 2, 4, ... never touch each other, nor do 1, 3, 5, ...
        pieces = max(0, -(-(positions - first) // (2 * block))) * groups
        least = 1 + WORK // (matrix.shape[1] * min(share[1], len(matrix)) * block)
        in_batches(_synthesize, pieces, *arrays, first, out.reshape(-1), least=least)


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
    Sums over ``TILE`` positions are taken in the dtype, sums of these in float64.

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
    parts = min(PARTS, max(1, z.size // out.size))  # together no larger than the codes
    part = _up(-(-positions // parts), TILE)
    atoms, samples = len(out), out[0].size
    sums = np.zeros((-(-positions // part), _up(atoms, 4), _up(samples, 4)))
    pieces = len(sums) * -(-samples // SAMPLES)
    arrays = x.reshape(-1), signal, z.reshape(-1), codes, part, sums
    least = 1 + WORK // (sums.shape[1] * min(SAMPLES, sums.shape[2]) * part)
    in_batches(_correlate_atoms, pieces, *arrays, least=least)
    out[...] = sums[:, :atoms, :samples].sum(axis=0).reshape(out.shape)


def _signal_places(x, atoms, z, stride):
    """Where the samples of an atom at each code position lie in signals x."""
    n, *steps = (s // x.itemsize for s in x.strides)
    t0, t1, t2 = stride
    rows = _offsets((z.shape[0], *z.shape[2:4]), (n, t0 * steps[1], t1 * steps[2]))
    return _Places(rows, z.shape[4], t2, _offsets(atoms.shape[1:], steps))


def _code_places(z):
    """Where the codes of all atoms at each position lie in z: K "samples", V apart."""
    atoms, positions = z.shape[1], prod(z.shape[2:])
    rows = _offsets((z.shape[0], positions // z.shape[4]), (atoms * positions, z.shape[4]))
    return _Places(rows, z.shape[4], 1, positions * np.arange(atoms))


def _offsets(extents, steps):
    """All sums ``i[0] steps[0] + i[1] steps[1] + ...`` with ``i < extents``, row-major."""
    sums = np.zeros((), np.int64)
    for extent, step in zip(extents, steps, strict=True):
        sums = np.add.outer(sums, step * np.arange(extent))
    return sums.ravel()


def _fours(matrix):
    """Pad with zeros to multiples of four rows and columns."""
    rows, columns = matrix.shape
    padded = np.zeros((_up(rows, 4), _up(columns, 4)), matrix.dtype)
    padded[:rows, :columns] = matrix
    return padded


def _up(n, multiple):
    return -(-n // multiple) * multiple


def _disjoint_block(grid, extents, stride):
    """Positions in a block, so many that atoms two blocks apart have no sample in common."""
    axis = next((a for a in range(3) if grid[a] > 1), 2)
    return _up(-(-extents[axis] // stride[axis]) * prod(grid[axis + 1 :]), TILE)


@njit(cache=True, nogil=True)
def _correlate(start, stop, x, signal, matrix, codes, out):
    patches = np.empty(matrix.shape[1] * TILE, x.dtype)
    four = np.empty(4 * TILE, x.dtype)
    for i in range(start, stop):
        vectors = _unfold(x, signal, signal.samples, i * TILE, patches)
        for k in range(0, len(matrix), 4):
            _multiply(matrix[k : k + 4], patches, vectors, four)
            _store(four, codes, codes.samples[k : k + 4], i * TILE, out)


@njit(cache=True, nogil=True)
def _excess(start, stop, x, signal, matrix, codes, both_signs, out):  # noqa: PLR0913
    patches = np.empty(matrix.shape[1] * TILE, x.dtype)
    four = np.empty(4 * TILE, x.dtype)
    mirror = x.dtype.type(-1 if both_signs else 0)
    for i in range(start, stop):
        vectors = _unfold(x, signal, signal.samples, i * TILE, patches)
        first, n = i * TILE, min(TILE, len(codes.rows) * codes.length - i * TILE)
        top = out[first : first + n]
        for v in range(n):
            top[v] = 0
        for k in range(0, len(matrix), 4):
            _multiply(matrix[k : k + 4], patches, vectors, four)
            for row in range(4):
                q = four[row * TILE :]
                for v in range(n):
                    top[v] = max(top[v], q[v], mirror * q[v])


@njit(cache=True, nogil=True)
def _synthesize(start, stop, z, codes, matrix, signal, share, first, out):  # noqa: PLR0913
    block, samples = share
    positions = len(codes.rows) * codes.length
    groups = -(-len(matrix) // samples)
    maps = np.empty(matrix.shape[1] * TILE, z.dtype)
    four = np.empty(4 * TILE, z.dtype)
    for i in range(start, stop):
        begin, group = first + i // groups * 2 * block, i % groups * samples
        for j in range(begin, min(begin + block, positions), TILE):
            vectors = _unfold(z, codes, codes.samples, j, maps)
            for p in range(group, min(group + samples, len(matrix)), 4):
                _multiply(matrix[p : p + 4], maps, vectors, four)
                _fold(four, signal, signal.samples[p : p + 4], j, out)


@njit(cache=True, nogil=True)
def _correlate_atoms(start, stop, x, signal, z, codes, part, sums):  # noqa: PLR0913
    positions = len(codes.rows) * codes.length
    groups = -(-len(signal.samples) // SAMPLES)
    for i in range(start, stop):
        p = i % groups * SAMPLES
        samples = signal.samples[p : p + SAMPLES]
        total = sums[i // groups, :, p : p + SAMPLES]
        patches = np.empty(total.shape[1] * TILE, x.dtype)
        four = np.empty(4 * TILE, z.dtype)
        begin = i // groups * part
        for j in range(begin, min(begin + part, positions), TILE):
            _unfold(x, signal, samples, j, patches)
            for k in range(0, len(total), 4):
                vectors = _unfold(z, codes, codes.samples[k : k + 4], j, four)
                _multiply_transposed(four, patches, vectors, total[k : k + 4])


@njit(cache=True, fastmath={"contract"})
def _multiply(a, b, vectors, c):
    """``c = a b`` for 4 rows of a; b and c are flat, their rows TILE long."""
    for j in range(4 * TILE):
        c[j] = 0
    for p in range(0, a.shape[1], 4):
        bp = b[p * TILE :]
        a00, a01, a02, a03 = a[0, p], a[0, p + 1], a[0, p + 2], a[0, p + 3]
        a10, a11, a12, a13 = a[1, p], a[1, p + 1], a[1, p + 2], a[1, p + 3]
        a20, a21, a22, a23 = a[2, p], a[2, p + 1], a[2, p + 2], a[2, p + 3]
        a30, a31, a32, a33 = a[3, p], a[3, p + 1], a[3, p + 2], a[3, p + 3]
        # 16 multiply-adds for 12 loads and stores: 113 GFLOP/s on a core whose peak is 115
        for j in range(LANES * vectors):
            b0, b1, b2, b3 = bp[j], bp[j + TILE], bp[j + 2 * TILE], bp[j + 3 * TILE]
            c[j] = c[j] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
            c[j + TILE] = c[j + TILE] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
            c[j + 2 * TILE] = c[j + 2 * TILE] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
            c[j + 3 * TILE] = c[j + 3 * TILE] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"})
def _multiply_transposed(a, b, vectors, c):
    """``c += a b^T`` for 4 rows of a; a and b are flat, their rows TILE long."""
    for p in range(0, c.shape[1], 4):
        bp = b[p * TILE :]
        c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = a.dtype.type(0)
        c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = a.dtype.type(0)
        for j in range(LANES * vectors):
            a0, a1, a2, a3 = a[j], a[j + TILE], a[j + 2 * TILE], a[j + 3 * TILE]
            b0, b1, b2, b3 = bp[j], bp[j + TILE], bp[j + 2 * TILE], bp[j + 3 * TILE]
            c00, c01, c02, c03 = c00 + a0 * b0, c01 + a0 * b1, c02 + a0 * b2, c03 + a0 * b3
            c10, c11, c12, c13 = c10 + a1 * b0, c11 + a1 * b1, c12 + a1 * b2, c13 + a1 * b3
            c20, c21, c22, c23 = c20 + a2 * b0, c21 + a2 * b1, c22 + a2 * b2, c23 + a2 * b3
            c30, c31, c32, c33 = c30 + a3 * b0, c31 + a3 * b1, c32 + a3 * b2, c33 + a3 * b3
        left = (c00, c01, c02, c03), (c10, c11, c12, c13)
        right = (c20, c21, c22, c23), (c30, c31, c32, c33)
        for i, row in enumerate(left + right):
            for q, value in enumerate(row):
                c[i, p + q] += value


@njit(cache=True)
def _unfold(source, places, samples, first, tile):
    """Fill a tile: a row per sample, a column per position from ``first`` on, zeros elsewhere.

    Returns how many vectors of LANES hold the positions in the tile.
    """
    j, end = first, min(first + TILE, len(places.rows) * places.length)
    while j < end:
        start, run = _run(places, j, end)
        for p in range(len(samples)):
            s, t = source[start + samples[p] :], tile[p * TILE + j - first :]
            if places.step == 1:  # said aloud, else the compiler does not vectorise
                for i in range(run):
                    t[i] = s[i]
            else:
                for i in range(run):
                    t[i] = s[places.step * i]
        j += run
    vectors = -(-(end - first) // LANES)
    for p in range(len(samples)):
        tile[p * TILE + end - first : p * TILE + vectors * LANES] = 0
    tile[len(samples) * TILE :] = 0
    return vectors


@njit(cache=True)
def _fold(four, places, samples, first, target):
    """Add up to 4 rows to the samples that `_unfold` would read them from."""
    j, end = first, min(first + TILE, len(places.rows) * places.length)
    while j < end:
        start, run = _run(places, j, end)
        for p in range(len(samples)):
            s, t = four[p * TILE + j - first :], target[start + samples[p] :]
            if places.step == 1:
                for i in range(run):
                    t[i] += s[i]
            else:
                for i in range(run):
                    t[places.step * i] += s[i]
        j += run


@njit(cache=True)
def _store(four, codes, atoms, first, target):
    """Copy up to 4 rows to the codes that `_unfold` would read them from."""
    j, end = first, min(first + TILE, len(codes.rows) * codes.length)
    while j < end:
        start, run = _run(codes, j, end)
        for p in range(len(atoms)):
            s, t = four[p * TILE + j - first :], target[start + atoms[p] :]
            for i in range(run):
                t[i] = s[i]
        j += run


@njit(cache=True)
def _run(places, position, end):
    """Where a position lies, and how many positions up to ``end`` follow in its row."""
    row, v = divmod(position, places.length)
    return places.rows[row] + places.step * v, min(places.length - v, end - position)
