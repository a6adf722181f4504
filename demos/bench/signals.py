"""Signals and atoms of the benchmarks, most of them from the bundled photographs."""

import numpy as np
from scipy import ndimage

import csc

HIGH_PASS_SIGMA = 3  # pixels
TILE_SIDE = 256  # pixels


def high_passed_photographs(*, colour=False):
    """Return high-passed photographs ``(C, H, W)`` in the order of their contrast."""
    pixels = [p.pixels for p in csc.images.natural(colour=colour)]
    pixels = sorted((a if colour else a[None] for a in pixels), key=np.std)
    return [a - ndimage.gaussian_filter(a, (0, HIGH_PASS_SIGMA, HIGH_PASS_SIGMA)) for a in pixels]


def photograph(size, dtype="float32", *, colour=False):
    """Return a square of the photograph with the highest contrast, ``(1, C, size, size)``.

    If all photographs are smaller: a mosaic of their tiles, mirrored at random.
    """
    large_enough = [a for a in high_passed_photographs(colour=colour) if min(a.shape[1:]) >= size]
    if not large_enough:
        return mosaic(size, colour=colour).astype(dtype)
    x = large_enough[-1][None, :, :size, :size]
    return np.ascontiguousarray(x, dtype)


def mosaic(size, *, colour=False):
    """Return tiles of bundled photographs, mirrored at random, ``(1, C, size, size)``."""
    rng = np.random.default_rng(0)
    tiles = [
        a[:, :TILE_SIDE, :TILE_SIDE]
        for a in high_passed_photographs(colour=colour)
        if min(a.shape[1:]) >= TILE_SIDE
    ]
    out = np.empty((1, len(tiles[0]), size, size), "float32")
    for i in range(0, size, TILE_SIDE):
        for j in range(0, size, TILE_SIDE):
            mirror = rng.choice([-1, 1], 2)
            tile = tiles[rng.integers(len(tiles))][:, :: mirror[0], :: mirror[1]]
            out[0, :, i : i + TILE_SIDE, j : j + TILE_SIDE] = tile[:, : size - i, : size - j]
    return out


def learned_atoms(n_atoms, side, dtype="float32", *, colour=False):
    """Return atoms ``(K, C, side, side)`` learned from patches of the photographs, of unit norm."""
    X = csc.images.extract_patches(
        high_passed_photographs(colour=colour), (side, side), n=10_000, rng=0
    )
    X = (X / X.std()).astype("float32")
    model = csc.DictionaryLearning(n_atoms, (side, side), 1.0, max_iter=5, random_state=0)
    return csc.constraints.UnitSphere().project(model.fit(X).atoms_).astype(dtype)


def series(length):
    """Return a 1-D signal of sparse codes and noise, and its ten atoms of 64 samples; float64."""
    rng = np.random.default_rng(0)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((10, 1, 64)).cumsum(axis=2))
    z = rng.standard_normal((1, 10, length - 63)) * (rng.random((1, 10, length - 63)) < 2e-3)
    return csc.Dictionary(atoms)(z) + 0.05 * rng.standard_normal((1, 1, length)), atoms
