"""Sparse estimates: every patch by few atoms, overlapping patches averaged with weights.

Images are planes ``(C, H, W)``, coded one by one. Patches are cut band by band, so that memory
does not grow with the image but for a few images of its size.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from csc.kernels import cpu

PATCHES_IN_BAND = 16_384
FACTOR = 1.05  # a patch is coded until its residual norm is this times that of its noise
MAX_ATOMS = 20  # of a patch with missing pixels
TINY = 1e-6  # weight of a patch with no pixel seen, which has no say where others have


class Grid(NamedTuple):
    """Rows and columns of the upper left pixels of patches."""

    rows: np.ndarray
    columns: np.ndarray


def grid_of(shape, size, step, offset=(0, 0)):
    """Positions every ``step`` pixels from ``offset``, and those along the edges."""
    rows, columns = (
        np.unique(np.r_[0, np.arange(first, extent - size + 1, step), extent - size])
        for extent, first in zip(shape[-2:], offset, strict=True)
    )
    return Grid(rows, columns)


def sparse_estimate(planes, atoms, sigma, *, step=1, offset=(0, 0), factor=FACTOR):
    """Estimate the image whose patches OMP codes up to the noise.

    A patch with few atoms counts more in the average: its weight is 1 / (1 + number of atoms).
    """
    size = atoms.shape[-1]
    grid = grid_of(planes.shape, size, step, offset)
    flat = atoms.reshape(len(atoms), -1)
    gram = flat @ flat.T
    energy = (factor * sigma * size) ** 2
    out = np.empty_like(planes)
    for plane, estimate in zip(planes, out, strict=True):
        sums, totals = np.zeros((1, *plane.shape)), np.zeros(plane.shape)
        for rows, patches in _in_bands(plane, grid, size):
            x = patches.reshape(-1, size * size)
            means = x.mean(axis=1, keepdims=True)
            x = x - means
            energies = np.einsum("ij,ij->i", x, x, dtype="float64")
            codes = np.empty((len(x), len(flat)), x.dtype)
            cpu.omp_gram(gram, x @ flat.T, energies, 0.0, len(flat), energy, codes)
            weights = 1 / (1 + np.count_nonzero(codes, axis=1))
            _add((codes @ flat + means), weights, Grid(rows, grid.columns), size, sums, totals)
        estimate[...] = sums[0] / totals
    return out


def sparse_fill(planes, seen, atoms, sigma, guess):
    """Estimate an image from the pixels seen; each patch is coded by its own.

    The weight of a patch grows with the square of its share of seen pixels. Where it has none,
    ``guess`` stands for it, with next to no weight.
    """
    size = atoms.shape[-1]
    grid = grid_of(planes.shape, size, step=1)
    flat = atoms.reshape(len(atoms), -1)
    out = np.empty_like(planes)
    for plane, known, rough, estimate in zip(planes, seen, guess, out, strict=True):
        sums, totals = np.zeros((1, *plane.shape)), np.zeros(plane.shape)
        bands = (_in_bands(image, grid, size) for image in (plane, known, rough))
        for (rows, patches), (_, masks), (_, guesses) in zip(*bands, strict=True):
            x, m = patches.reshape(-1, size * size), masks.reshape(-1, size * size)
            n_seen = np.count_nonzero(m, axis=1)
            means = ((x * m).sum(axis=1) / np.maximum(n_seen, 1))[:, None]
            filled, counts = np.empty_like(x), np.empty(len(x), np.intp)
            cpu.omp_masked((x - means) * m, m, flat, sigma**2, MAX_ATOMS, filled, counts)
            weights = (n_seen / size**2) ** 2 / (1 + counts) + TINY
            empty = n_seen == 0
            weights[empty] *= TINY
            filled += means
            filled[empty] = guesses.reshape(x.shape)[empty]
            _add(filled, weights, Grid(rows, grid.columns), size, sums, totals)
        estimate[...] = sums[0] / totals
    return out


def patches_at(planes, grid, size):
    """The patches ``(N, 1, p, p)`` of all planes, without their means."""
    windows = sliding_window_view(planes, (size, size), axis=(1, 2))
    x = windows[:, grid.rows][:, :, grid.columns].reshape(-1, 1, size, size)
    return x - x.mean(axis=(2, 3), keepdims=True)


def _in_bands(plane, grid, size):
    """Yield rows of the grid, and their patches ``(R, Q, p, p)``."""
    windows = sliding_window_view(plane, (size, size))
    n = max(1, PATCHES_IN_BAND // len(grid.columns))
    for start in range(0, len(grid.rows), n):
        rows = grid.rows[start : start + n]
        yield rows, windows[rows][:, grid.columns]


def _add(patches, weights, grid, size, sums, totals):
    spatial_shape = len(grid.rows), len(grid.columns)
    cpu.add_patches(
        patches.reshape(*spatial_shape, 1, size, size),
        weights.reshape(spatial_shape),
        *grid,
        sums,
        totals,
    )
