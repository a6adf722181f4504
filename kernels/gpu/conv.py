"""Direct convolution on the GPU: twins of the kernels in ``csc.kernels.cpu.conv``."""

from math import prod

import cupy as cp
import numpy as np

from csc.kernels.gpu.launch import REACH, THREADS, THREE, c_name, launch, rows_for, shape_of, up

PARTS = 256  # partial sums of `correlate_atoms`, at most
TOGETHER = 1024  # as in atoms.cu
BOXES = np.dtype(
    [
        *((name, *THREE) for name in ("positions", "numbers", "regions")),
        ("channels", "i4"),
        ("groups", "i4"),
    ]
)


def correlate(x, atoms, stride, out):
    """Correlate signals with atoms, ``out[n, k, v] = sum_{c, l} d[k, c, l] x[n, c, t v + l]``.

    Arguments as in `csc.kernels.cpu.correlate`, CuPy arrays.
    """
    rows = rows_for(len(atoms))
    grid = tiles(out, rows), up(len(atoms), rows * REACH)
    shape = shape_of(x, atoms, out, stride)
    launch("correlate", f"correlate<{c_name(x)}, {rows}>", grid, x, atoms, shape, out)


def dual_infeasibility(x, atoms, worths, stride, positive, out):
    """How far correlations exceed their prices, ``out[n, v] = max_k w_k |<d_k, x[n] at v>|``.

    Arguments as in `csc.kernels.cpu.excess`, CuPy arrays.
    """
    rows, x = rows_for(len(atoms)), cp.ascontiguousarray(x)
    priced = atoms * worths.reshape(-1, 1, 1, 1, 1)
    shape = shape_of(x, atoms, out[:, None], stride)
    grid = (tiles(out[:, None], rows),)
    name = f"excess<{c_name(x)}, {rows}>"
    launch("correlate", name, grid, x, priced, shape, np.int32(positive), out)


def synthesize(z, atoms, stride, out):
    """Synthesise signals from codes, ``out[n, c, u] = sum_{k, v} d[k, c, u - t v] z[n, k, v]``.

    Arguments as in `csc.kernels.cpu.synthesize`, CuPy arrays.
    """
    n, channels, extent = len(z), atoms.shape[1], prod(atoms.shape[2:])
    rows = rows_for(channels * extent)
    wide = REACH if z.dtype == "float32" else REACH // 2
    box = _box(z.shape[2:], THREADS // rows * wide)
    numbers = tuple(map(up, z.shape[2:], box))
    axes = zip(box, stride, atoms.shape[2:], strict=True)
    regions = tuple((b - 1) * t + s for b, t, s in axes)
    together = min(channels, max(1, rows * REACH // extent))  # channels
    groups = up(channels, together)
    boxes = np.array((box, numbers, regions, together, groups), BOXES)
    parts = cp.empty((n * prod(numbers), groups, together, *regions), z.dtype)
    shape, kind = shape_of(out, atoms, z, stride), c_name(z)
    grid = len(parts), groups
    launch("synthesize", f"synthesize<{kind}, {rows}>", grid, z, atoms, shape, boxes, parts)
    grid = (up(out.size, THREADS),)
    launch("synthesize", f"add_regions<{kind}>", grid, parts, shape, boxes, out)


def correlate_atoms(x, z, stride, out):
    """Correlate signals with codes, ``out[k, c, l] = sum_{n, v} x[n, c, t v + l] z[n, k, v]``.

    Arguments as in `csc.kernels.cpu.correlate_atoms`, CuPy arrays.
    """
    rows, positions = rows_for(len(out)), z.size // z.shape[1]
    part = TOGETHER * up(positions, TOGETHER * PARTS)
    sums = cp.empty((up(positions, part), *out.shape))
    across = THREADS // rows * REACH
    grid = len(sums), up(len(out), rows * REACH), up(out[0].size, across)
    shape = shape_of(x, out, z, stride)
    name = f"correlate_atoms<{c_name(x)}, {rows}>"
    launch("atoms", name, grid, x, z, shape, np.int64(part), sums)
    out[...] = sums.sum(axis=0)


def tiles(out, rows):
    """Blocks that cover the positions of codes ``out``."""
    return up(out.size // out.shape[1], THREADS // rows * REACH)


def _box(grid, size):
    """Extents of a box of ``size`` positions, a power of two, about as long on every axis."""
    box = [1, 1, 1]
    while prod(box) < size:
        open_axes = [a for a in range(3) if box[a] < grid[a]] or [2]
        shortest = min(open_axes, key=lambda a: (box[a], -a))
        box[shortest] *= 2
    return tuple(box)
