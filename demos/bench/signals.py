"""The images and atoms of the benchmarks, from bundled photographs."""

import numpy as np
from scipy import ndimage

import csc


def pictures(*, colour=False):
    """High-passed photographs ``(C, H, W)``, those of least contrast first."""
    found = [p.pixels for p in csc.images.natural(colour=colour)]
    found = sorted((a if colour else a[None] for a in found), key=np.std)
    return [a - ndimage.gaussian_filter(a, (0, 3, 3)) for a in found]


def photograph(size, dtype="float32", *, colour=False):
    """A square of the photograph of most contrast that is large enough, ``(1, C, size, size)``.

    Where none is, a mosaic of tiles of all of them, mirrored at random.
    """
    fits = [a for a in pictures(colour=colour) if min(a.shape[1:]) >= size]
    if not fits:
        return mosaic(size, colour=colour).astype(dtype)
    x = fits[-1][None, :, :size, :size]
    return np.ascontiguousarray(x, dtype)


def mosaic(size, *, colour=False):
    """Tiles of bundled photographs, mirrored at random; ``(1, C, size, size)``."""
    rng = np.random.default_rng(0)
    tiles = [a[:, :256, :256] for a in pictures(colour=colour) if min(a.shape[1:]) >= 256]
    out = np.empty((1, len(tiles[0]), size, size), "float32")
    for i in range(0, size, 256):
        for j in range(0, size, 256):
            steps = rng.choice([-1, 1], 2)
            tile = tiles[rng.integers(len(tiles))][:, :: steps[0], :: steps[1]]
            out[0, :, i : i + 256, j : j + 256] = tile[:, : size - i, : size - j]
    return out


def learned_atoms(n_atoms, side, dtype="float32", *, colour=False):
    """Atoms ``(K, C, side, side)`` learned from patches of the photographs, of unit norm."""
    X = csc.images.extract_patches(pictures(colour=colour), (side, side), n=10_000, rng=0)
    X = (X / X.std()).astype("float32")
    model = csc.DictionaryLearning(n_atoms, (side, side), 1.0, max_iter=5, random_state=0)
    return csc.constraints.UnitSphere().project(model.fit(X).atoms_).astype(dtype)


def series(length):
    """A 1-D signal of sparse codes and noise, and its ten atoms of 64 samples; float64."""
    rng = np.random.default_rng(0)
    atoms = csc.constraints.UnitSphere().project(rng.standard_normal((10, 1, 64)).cumsum(axis=2))
    z = rng.standard_normal((1, 10, length - 63)) * (rng.random((1, 10, length - 63)) < 2e-3)
    return csc.Dictionary(atoms)(z) + 0.05 * rng.standard_normal((1, 1, length)), atoms
