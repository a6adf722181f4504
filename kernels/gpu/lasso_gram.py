"""Patches on the GPU: twins of ``csc.kernels.cpu.lasso_gram``, ``.products`` and ``.certify``."""

import cupy as cp
import numpy as np

from csc.kernels.gpu.launch import c_name, launch

WARP = 32
BLOCKS = 4096  # signals at work at once, at most
SCRATCH = 2**28  # bytes for the factors of these
CERTIFIED = 2**25  # float64 correlations of signals certified at once


def lasso_gram(  # noqa: PLR0913  a kernel has no objects to group its arrays in
    gram, correlations, energies, weights, positive, tol, max_rounds, start, z, gap
):
    """Minimise the lasso of each signal until its duality gap is ``tol`` times the objective.

    Arguments as in `csc.kernels.cpu.lasso_gram`, CuPy arrays.
    """
    n, wide = len(gram), len(gram) + 1
    blocks = max(1, min(len(z), BLOCKS, SCRATCH // (8 * wide * (wide + 6))))
    scratch = (
        cp.empty((blocks, wide + 6, wide)),
        cp.empty((blocks, 3, wide), gram.dtype),
        cp.empty((blocks, 2, wide), "int32"),
    )
    problem = gram, correlations, energies, weights, gram.diagonal().max()
    sizes = np.int32(n), np.int64(len(z))
    rules = np.int32(not positive), np.float64(tol), np.int32(max_rounds)
    given = *problem, *sizes, *rules, start, z, gap, *scratch
    launch("lasso", f"lasso_gram<{c_name(gram)}>", (blocks,), *given, threads=WARP)


def correlate_patches(x, atoms, out):
    """Correlate patches with atoms, ``out[n, k] = <d_k, x_n>``."""
    cp.matmul(x, atoms.T, out=out)


def inner_products(a, b, out):
    """Products of the rows of ``a`` and ``b`` ``(N, n)`` in float64, ``out[n] = <a_n, b_n>``."""
    cp.sum(a.astype("float64") * b.astype("float64"), axis=1, out=out)


def statistics(x, z, phi, psi):
    """Second moments of patch codes, ``phi = sum_n z_n z_n^T`` and ``psi = sum_n z_n x_n^T``."""
    wide = z.astype("float64")
    cp.matmul(wide.T, wide, out=phi)
    cp.matmul(wide.T, x.astype("float64"), out=psi)


def certify_patches(x, atoms, gram, correlations, weights, positive, z, objective, gap):  # noqa: ARG001, PLR0913
    """Objective and duality gap of the lasso of each signal.

    Arguments as in `csc.kernels.cpu.certify_patches`, CuPy arrays. All in float64: the device has
    no need of the Gram matrix.
    """
    atoms, prices = atoms.astype("float64"), weights.astype("float64")
    free, worths = prices == 0, 1 / cp.where(prices > 0, prices, 1)
    size = max(1, CERTIFIED // len(atoms))
    for i in range(0, len(x), size):
        some = slice(i, i + size)
        codes, signals = z[some].astype("float64"), x[some].astype("float64")
        fit = codes @ atoms
        r = signals - fit
        q = r @ atoms.T
        above = cp.maximum(q, 0 if positive else -q)
        top = (cp.where(free & (above > 0), cp.inf, above * worths)).max(axis=1)
        shrink, half = 1 / cp.maximum(top, 1), 0.5 * (r * r).sum(axis=1)
        price = (abs(codes) * prices).sum(axis=1)
        if positive:
            price = cp.where((codes < 0).any(axis=1), cp.inf, price)
        slack = price - shrink * (fit * r).sum(axis=1)
        objective[some] = half + price
        gap[some] = cp.maximum(half * (1 - shrink) ** 2 + slack, 0)
