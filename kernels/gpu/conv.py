"""Direct convolution on the GPU, with the names and arguments of `csc.kernels.cpu.conv`."""

from math import prod

import cupy as cp
import numpy as np

from csc.kernels._constants import GPU_CONSTANTS
from csc.kernels.gpu.launch import (
    THREADS_PER_BLOCK,
    THREE,
    VALUES_PER_THREAD,
    c_name,
    launch,
    rows_for,
    shape_of,
    up,
)

MAX_PARTIAL_SUMS = 256  # of `correlate_atoms`
POSITIONS_PER_SUM = GPU_CONSTANTS["POSITIONS_PER_SUM"]
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
    grid = tiles(out, rows), up(len(atoms), rows * VALUES_PER_THREAD)
    shape = shape_of(x, atoms, out, stride)
    launch("correlate", f"correlate<{c_name(x)}, {rows}>", grid, x, atoms, shape, out)


def dual_infeasibility(x, atoms, inverse_lmbda, stride, positive, out):
    """Largest correlation relative to lmbda, ``out[n, v] = max_k |<d_k, x[n] at v>| / lmbda_k``.

    Arguments as in `csc.kernels.cpu.dual_infeasibility`, CuPy arrays.
    """
    rows, x = rows_for(len(atoms)), cp.ascontiguousarray(x)
    scaled = atoms * inverse_lmbda.reshape(-1, 1, 1, 1, 1)
    shape = shape_of(x, atoms, out[:, None], stride)
    grid = (tiles(out[:, None], rows),)
    name = f"dual_infeasibility<{c_name(x)}, {rows}>"
    launch("correlate", name, grid, x, scaled, shape, np.int32(positive), out)


def synthesize(z, atoms, stride, out):
    """Synthesise signals from codes, ``out[n, c, u] = sum_{k, v} d[k, c, u - t v] z[n, k, v]``.

    Arguments as in `csc.kernels.cpu.synthesize`, CuPy arrays.
    """
    n, channels, extent = len(z), atoms.shape[1], prod(atoms.shape[2:])
    rows = rows_for(channels * extent)
    wide = VALUES_PER_THREAD if z.dtype == "float32" else VALUES_PER_THREAD // 2
    box = _box(z.shape[2:], THREADS_PER_BLOCK // rows * wide)
    numbers = tuple(map(up, z.shape[2:], box))
    axes = zip(box, stride, atoms.shape[2:], strict=True)
    regions = tuple((b - 1) * t + s for b, t, s in axes)
    channels_per_block = min(channels, max(1, rows * VALUES_PER_THREAD // extent))  # channels
    groups = up(channels, channels_per_block)
    boxes = np.array((box, numbers, regions, channels_per_block, groups), BOXES)
    parts = cp.empty((n * prod(numbers), groups, channels_per_block, *regions), z.dtype)
    shape, kind = shape_of(out, atoms, z, stride), c_name(z)
    grid = len(parts), groups
    launch("synthesize", f"synthesize<{kind}, {rows}>", grid, z, atoms, shape, boxes, parts)
    grid = (up(out.size, THREADS_PER_BLOCK),)
    launch("synthesize", f"add_regions<{kind}>", grid, parts, shape, boxes, out)


def correlate_atoms(x, z, stride, out):
    """Correlate signals with codes, ``out[k, c, l] = sum_{n, v} x[n, c, t v + l] z[n, k, v]``.

    Arguments as in `csc.kernels.cpu.correlate_atoms`, CuPy arrays.
    """
    rows, positions = rows_for(len(out)), z.size // z.shape[1]
    part = POSITIONS_PER_SUM * up(positions, POSITIONS_PER_SUM * MAX_PARTIAL_SUMS)
    sums = cp.empty((up(positions, part), *out.shape))
    across = THREADS_PER_BLOCK // rows * VALUES_PER_THREAD
    grid = len(sums), up(len(out), rows * VALUES_PER_THREAD), up(out[0].size, across)
    shape = shape_of(x, out, z, stride)
    name = f"correlate_atoms<{c_name(x)}, {rows}>"
    launch("atoms", name, grid, x, z, shape, np.int64(part), sums)
    out[...] = sums.sum(axis=0)


def tiles(out, rows):
    """Blocks that cover the positions of codes ``out``."""
    return up(out.size // out.shape[1], THREADS_PER_BLOCK // rows * VALUES_PER_THREAD)


def _box(grid, size):
    """Shape of a box of ``size`` positions, a power of two, about as long on every axis."""
    box = [1, 1, 1]
    while prod(box) < size:
        open_axes = [a for a in range(3) if box[a] < grid[a]] or [2]
        shortest = min(open_axes, key=lambda a: (box[a], -a))
        box[shortest] *= 2
    return tuple(box)
