"""Patches on the GPU, with the names and arguments of the kernels in `csc.kernels.cpu`."""

import cupy as cp
import numpy as np

from csc.kernels._constants import GPU_CONSTANTS
from csc.kernels.gpu.launch import c_name, launch

THREADS_PER_WARP = GPU_CONSTANTS["THREADS_PER_WARP"]
MAX_BLOCKS = 4096  # signals solved at once
MAX_SCRATCH_BYTES = 2**28  # for their Cholesky factors
MAX_CORRELATIONS = 2**25  # float64 numbers computed at once in `certify_patches`


def lasso_gram(gram, correlations, energies, weights, positive, tol, max_rounds, start, z, gap):
    """Minimise the lasso of each signal until its duality gap is ``tol`` times the objective.

    Arguments as in `csc.kernels.cpu.lasso_gram`, CuPy arrays.
    """
    n, wide = len(gram), len(gram) + 1
    blocks = max(1, min(len(z), MAX_BLOCKS, MAX_SCRATCH_BYTES // (8 * wide * (wide + 6))))
    scratch = (
        cp.empty((blocks, wide + 6, wide)),
        cp.empty((blocks, 3, wide), gram.dtype),
        cp.empty((blocks, 2, wide), "int32"),
    )
    problem = gram, correlations, energies, weights, gram.diagonal().max()
    sizes = np.int32(n), np.int64(len(z))
    rules = np.int32(not positive), np.float64(tol), np.int32(max_rounds)
    arguments = *problem, *sizes, *rules, start, z, gap, *scratch
    launch("lasso", f"lasso_gram<{c_name(gram)}>", (blocks,), *arguments, threads=THREADS_PER_WARP)


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


def certify_patches(x, atoms, gram, correlations, weights, positive, z, objective, gap):  # noqa: ARG001
    """Objective and duality gap of the lasso of each signal.

    Arguments as in `csc.kernels.cpu.certify_patches`, CuPy arrays. All is computed in float64,
    without the Gram matrix.
    """
    atoms, lmbda = atoms.astype("float64"), weights.astype("float64")
    free, inverse_lmbda = lmbda == 0, 1 / cp.where(lmbda > 0, lmbda, 1)
    size = max(1, MAX_CORRELATIONS // len(atoms))
    for i in range(0, len(x), size):
        some = slice(i, i + size)
        codes, signals = z[some].astype("float64"), x[some].astype("float64")
        fit = codes @ atoms
        r = signals - fit
        q = r @ atoms.T
        above = cp.maximum(q, 0 if positive else -q)
        top = (cp.where(free & (above > 0), cp.inf, above * inverse_lmbda)).max(axis=1)
        shrink, half = 1 / cp.maximum(top, 1), 0.5 * (r * r).sum(axis=1)
        penalty_value = (abs(codes) * lmbda).sum(axis=1)
        if positive:
            penalty_value = cp.where((codes < 0).any(axis=1), cp.inf, penalty_value)
        slack = penalty_value - shrink * (fit * r).sum(axis=1)
        objective[some] = half + penalty_value
        gap[some] = cp.maximum(half * (1 - shrink) ** 2 + slack, 0)
