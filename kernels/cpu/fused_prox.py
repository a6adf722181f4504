"""A proximal-gradient step in one pass over the codes.

Correlations with the residual are not stored: a tile of them is thresholded while it lies in the
cache. The current and the last codes are read once, to compute the extrapolated point, and the new
codes are written once.
"""

import numpy as np

from csc.kernels._constants import TILE_POSITIONS
from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.conv import (
    MULTIPLICATIONS_PER_BATCH,
    _code_places,
    _fours,
    _run,
    _signal_places,
    _tiles,
    _unfold,
)
from csc.kernels.cpu.simd_intrinsics import multiply_tile
from csc.kernels.cpu.threads import in_batches


def proximal_step(r, atoms, stride, point, prox, out):
    """Step from ``y = z + momentum (z - z_old)`` along the gradient, then soft-threshold.

    ``out = factor soft(y + D^T r, thresholds)``, with the step size in the atoms.

    Parameters
    ----------
    r : array (N, C, S0, S1, S2)
        Residuals at y, float32 or float64, like all arrays here C-contiguous and of one dtype.
    atoms : array (K, C, s0, s1, s2)
        Atoms times the step size.
    stride : tuple of 3 ints
        Steps t between code positions.
    point : MomentumPoint
        Codes (N, K, V0, V1, V2).
    prox : SoftThreshold
    out : array (N, K, V0, V1, V2)
        Overwritten.

    Returns
    -------
    float
        ``<y - out, out - z>``: above 0, the momentum increases the objective.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.kernels.cpu.fused_prox import proximal_step
    >>> r, atom = np.array([3.0, -4.0]).reshape(1, 1, 1, 1, 2), np.ones((1, 1, 1, 1, 1))
    >>> z, out = np.zeros((1, 1, 1, 1, 2)), np.empty((1, 1, 1, 1, 2))
    >>> proximal_step(r, atom, (1, 1, 1), (z, z, 0.0), (np.ones(1), 0.5, False), out)
    -3.25
    >>> out.ravel()
    array([ 1. , -1.5])
    """
    z, z_old, momentum = point
    thresholds, factor, positive = prox
    number = r.dtype.type
    signal, codes = _signal_places(r, atoms, out, stride), _code_places(out)
    matrix = _fours(atoms.reshape(len(atoms), -1))
    tiles = -(-len(codes.rows) * codes.length // TILE_POSITIONS)
    restart_score = np.empty(tiles)
    arrays = r.reshape(-1), signal, matrix, codes, z.reshape(-1), z_old.reshape(-1)
    prox_point = thresholds, number(momentum), number(factor), number(0 if positive else 1)
    min_batch = 1 + MULTIPLICATIONS_PER_BATCH // (matrix.size * TILE_POSITIONS)
    in_batches(
        _proximal_step,
        tiles,
        *arrays,
        prox_point,
        out.reshape(-1),
        restart_score,
        min_batch=min_batch,
        scratch=lambda: _tiles(matrix.shape[1], matrix.dtype),
    )
    return float(restart_score.sum())


@entry()
def _proximal_step(
    start, stop, r, signal, matrix, codes, z, z_old, prox_point, out, restart_score, patches, four
):
    thresholds, momentum, factor, negative_sign = prox_point
    for i in range(start, stop):
        vectors = _unfold(r, signal, signal.samples, i * TILE_POSITIONS, patches)
        end = min(i * TILE_POSITIONS + TILE_POSITIONS, len(codes.rows) * codes.length)
        total = 0.0
        for k in range(0, len(matrix), 4):
            multiply_tile(matrix, k, patches, 0, vectors, four)
            for row in range(min(four.size // TILE_POSITIONS, len(thresholds) - k)):
                j = i * TILE_POSITIONS
                while j < end:
                    first, run = _run(codes, j, end)
                    first += codes.samples[k + row]
                    total += _threshold(
                        four[row * TILE_POSITIONS + j - i * TILE_POSITIONS :],
                        z[first : first + run],
                        z_old[first : first + run],
                        (thresholds[k + row], momentum, factor, negative_sign),
                        out[first : first + run],
                    )
                    j += run
        restart_score[i] = total


@inner(fastmath={"contract", "reassoc", "nsz"})
def _threshold(step, z, z_old, prox_point, out):
    """Threshold codes of one atom along a row; returns their part of ``<y - out, out - z>``."""
    threshold, momentum, factor, negative_sign = prox_point
    zero, total = step.dtype.type(0), step.dtype.type(0)
    for i in range(out.size):
        y = z[i] + momentum * (z[i] - z_old[i])
        v = y + step[i]
        new = factor * (max(v - threshold, zero) + negative_sign * min(v + threshold, zero))
        total += (y - new) * (new - z[i])
        out[i] = new
    return np.float64(total)
