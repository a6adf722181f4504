"""Matrix products of patches, on the same threads as their solvers.

A BLAS has threads of its own, which wait busily for a while after each product and take the cores
from the solver that follows: coding 20,000 patches on two cores took 90 ms instead of 60.
"""

import numpy as np

from csc.kernels._constants import TILE_POSITIONS, TILE_POSITIONS_PER_STEP
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, list_active
from csc.kernels.cpu.simd_intrinsics import multiply_tile
from csc.kernels.cpu.threads import in_batches, inputs


def correlate_patches(x, atoms, out):
    """Correlate patches with atoms, ``out[n, k] = <d_k, x_n>``.

    Parameters
    ----------
    x, atoms : arrays (N, n), (K, n)
        Patches and atoms as rows, of one dtype.
    out : array (N, K)
        Overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.gram_products import correlate_patches
    >>> out = np.empty((1, 2))
    >>> correlate_patches(np.array([[1.0, 2.0]]), np.eye(2), out)
    >>> out
    array([[1., 2.]])
    """
    n_atoms, n = atoms.shape
    # tiles of TILE_POSITIONS atoms as columns, filled up with zeros, as `multiply_tile` expects
    columns = np.zeros((-(-n_atoms // TILE_POSITIONS), -(-n // 4) * 4, TILE_POSITIONS), x.dtype)
    for i, tile in enumerate(columns):
        some = atoms[i * TILE_POSITIONS : (i + 1) * TILE_POSITIONS]
        tile[:n, : len(some)] = some.T

    def scratch():
        return np.zeros((4, columns.shape[1]), x.dtype), np.empty(4 * TILE_POSITIONS, x.dtype)

    in_batches(_correlate, len(x), *inputs(x, columns.reshape(-1)), out, scratch=scratch)


@entry()
def _correlate(start, stop, x, columns, out, rows, four):
    n, n_atoms = x.shape[1], out.shape[1]
    for i in range(start, stop, 4):
        some = min(4, stop - i)
        for j in range(some):  # loops: assignments of slices take seconds to compile
            for p in range(n):
                rows[j, p] = x[i + j, p]
        for t in range(-(-n_atoms // TILE_POSITIONS)):
            width = min(TILE_POSITIONS, n_atoms - t * TILE_POSITIONS)
            first = t * TILE_POSITIONS * rows.shape[1]
            multiply_tile(rows, 0, columns, first, -(-width // TILE_POSITIONS_PER_STEP), four)
            for j in range(some):
                for k in range(width):
                    out[i + j, t * TILE_POSITIONS + k] = four[j * TILE_POSITIONS + k]


def inner_products(a, b, out):
    """Products of the rows of ``a`` and ``b`` ``(N, n)`` in float64, ``out[n] = <a_n, b_n>``."""
    in_batches(_inner_products, len(a), *inputs(a, b), out)


@entry(fastmath={"contract", "reassoc"})
def _inner_products(start, stop, a, b, out):
    for i in range(start, stop):
        total = 0.0
        for j in range(a.shape[1]):
            total += np.float64(a[i, j]) * np.float64(b[i, j])
        out[i] = total


def statistics(x, z, phi, psi):
    """Second moments of patch codes, ``phi = sum_n z_n z_n^T`` and ``psi = sum_n z_n x_n^T``.

    The cost is that of the nonzero codes.

    Parameters
    ----------
    x, z : arrays (N, n), (N, K)
        Patches and their codes.
    phi, psi : arrays (K, K), (K, n), float64
        Overwritten.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.gram_products import statistics
    >>> phi, psi = np.empty((2, 2)), np.empty((2, 1))
    >>> statistics(np.array([[3.0]]), np.array([[1.0, 2.0]]), phi, psi)
    >>> phi, psi
    (array([[1., 2.],
           [2., 4.]]), array([[3.],
           [6.]]))
    """
    phi[...] = 0
    psi[...] = 0
    _statistics(*inputs(x, z), phi, psi, np.empty(z.shape[1], np.intp))


@entry(fastmath={"contract"})
def _statistics(x, z, phi, psi, active):
    for i in range(len(z)):
        m = list_active(z[i], active)
        for k in active[:m]:
            code = np.float64(z[i, k])
            for j in active[:m]:
                phi[k, j] += code * z[i, j]
            for j in range(x.shape[1]):
                psi[k, j] += code * x[i, j]


@inner(**OPTIONS)
def residual_correlations(gram, q, m, active, codes, c):
    """c = D^T r = q - G_:A z_A of the first m active atoms, four atoms at a time."""
    scalar, n = gram.dtype.type, len(gram)
    for k in range(n):
        c[k] = q[k]
    fours = m - m % 4
    for a in range(0, fours, 4):
        k0, k1, k2, k3 = active[a], active[a + 1], active[a + 2], active[a + 3]
        z0, z1 = scalar(codes[a]), scalar(codes[a + 1])
        z2, z3 = scalar(codes[a + 2]), scalar(codes[a + 3])
        for k in range(n):
            c[k] -= (z0 * gram[k0, k] + z1 * gram[k1, k]) + (z2 * gram[k2, k] + z3 * gram[k3, k])
    for a in range(fours, m):
        k0, z0 = active[a], scalar(codes[a])
        for k in range(n):
            c[k] -= z0 * gram[k0, k]
