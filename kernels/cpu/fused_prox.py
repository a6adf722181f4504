"""A proximal-gradient step in one pass over the codes.

Between the correlations with the residual and the new codes nothing is stored: a tile of
correlations is thresholded while it lies in the cache. Codes are read twice (the present and the
last ones, from which the extrapolated point is made on the way) and written once.
"""

import numpy as np
from numba import njit

from csc.kernels.cpu.conv import (
    TILE,
    WORK,
    _code_places,
    _fours,
    _multiply,
    _run,
    _signal_places,
    _unfold,
)
from csc.kernels.cpu.threads import in_batches


def proximal_step(r, atoms, stride, point, prox, out):  # noqa: PLR0913
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
    point : (z, z_old, momentum)
        Codes (N, K, V0, V1, V2), twice, and a number.
    prox : (thresholds, factor, positive)
        Thresholds (K,), a number, and whether codes must not be negative.
    out : array (N, K, V0, V1, V2)
        Overwritten.

    Returns
    -------
    float
        ``<y - out, out - z>``, above 0 where the momentum points uphill.

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
    tiles = -(-len(codes.rows) * codes.length // TILE)
    restart_score = np.empty(tiles)
    arrays = r.reshape(-1), signal, matrix, codes, z.reshape(-1), z_old.reshape(-1)
    rules = thresholds, number(momentum), number(factor), number(0 if positive else 1)
    least = 1 + WORK // (matrix.size * TILE)
    in_batches(_proximal_step, tiles, *arrays, rules, out.reshape(-1), restart_score, least=least)
    return float(restart_score.sum())


@njit(cache=True, nogil=True)
def _proximal_step(start, stop, r, signal, matrix, codes, z, z_old, rules, out, restart_score):  # noqa: PLR0913
    thresholds, momentum, factor, mirror = rules
    patches = np.empty(matrix.shape[1] * TILE, r.dtype)
    four = np.empty(4 * TILE, r.dtype)
    for i in range(start, stop):
        vectors = _unfold(r, signal, signal.samples, i * TILE, patches)
        end = min(i * TILE + TILE, len(codes.rows) * codes.length)
        total = 0.0
        for k in range(0, len(matrix), 4):
            _multiply(matrix[k : k + 4], patches, vectors, four)
            for row in range(min(4, len(thresholds) - k)):
                j = i * TILE
                while j < end:
                    first, run = _run(codes, j, end)
                    first += codes.samples[k + row]
                    total += _threshold(
                        four[row * TILE + j - i * TILE :],
                        z[first : first + run],
                        z_old[first : first + run],
                        (thresholds[k + row], momentum, factor, mirror),
                        out[first : first + run],
                    )
                    j += run
        restart_score[i] = total


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def _threshold(step, z, z_old, rules, out):
    """Codes of one atom along a row; returns their part of ``<y - out, out - z>``."""
    threshold, momentum, factor, mirror = rules
    zero, total = step.dtype.type(0), step.dtype.type(0)
    for i in range(out.size):
        y = z[i] + momentum * (z[i] - z_old[i])
        v = y + step[i]
        new = factor * (max(v - threshold, zero) + mirror * min(v + threshold, zero))
        total += (y - new) * (new - z[i])
        out[i] = new
    return np.float64(total)
