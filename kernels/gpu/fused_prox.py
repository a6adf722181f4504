"""A proximal-gradient step in one pass: as ``csc.kernels.cpu.fused_prox``."""

import cupy as cp

from csc.kernels.gpu.conv import tiles
from csc.kernels.gpu.launch import VALUES_PER_THREAD, c_name, launch, rows_for, shape_of, up


def proximal_step(r, atoms, stride, point, prox, out):
    """Step from ``y = z + momentum (z - z_old)`` along the gradient, then soft-threshold.

    Arguments as in `csc.kernels.cpu.proximal_step`, CuPy arrays; momentum and factor may be such
    too, without axes, and so is the result: the host does not wait for it.
    """
    z, z_old, momentum = point
    thresholds, factor, positive = prox
    rows, number = rows_for(len(atoms)), r.dtype.type
    grid = tiles(out, rows), up(len(atoms), rows * VALUES_PER_THREAD)
    restart_score, shape = cp.empty(grid[::-1]), shape_of(r, atoms, out, stride)
    momentum, factor = (cp.asarray(a, dtype="float64") for a in (momentum, factor))
    rules = thresholds, factor, number(0 if positive else 1)
    arguments = r, atoms, shape, z, z_old, momentum
    name = f"proximal_step<{c_name(r)}, {rows}>"
    launch("correlate", name, grid, *arguments, *rules, out, restart_score)
    return restart_score.sum()
