"""Photographs, patches and gratings of the chapter."""

import numpy as np

import csc

VARIANCE = 0.1  # of the whitened photographs
BORDER = 4  # pixels of each photograph that are not used


def patches(side, n, seed):
    """Patches (n, 1, side, side) of the bundled photographs, whitened, float32."""
    whitened = [csc.images.whiten(p.pixels, variance=VARIANCE) for p in csc.images.natural()]
    X = csc.images.extract_patches(whitened, (side, side), n=n, border=BORDER, rng=seed)
    return X.astype("float32")


def coordinates(side, centre=(0.0, 0.0), orientation=0.0):
    """Pixels across and along bars of this orientation, from a centre (x, y); as in `GaborFit`."""
    row, column = np.indices((side, side)) - (side - 1) / 2
    dx, dy = column - centre[0], row - centre[1]
    sine, cosine = np.sin(orientation), np.cos(orientation)
    return dx * sine + dy * cosine, -dx * cosine + dy * sine


def gratings(side, orientations, frequencies, n_phases):
    """Full-field gratings (orientations, frequencies, phases, side, side) of amplitude 1."""
    phases = 2 * np.pi * np.arange(n_phases) / n_phases
    waves = np.empty((len(orientations), len(frequencies), n_phases, side, side))
    for i, orientation in enumerate(orientations):
        across, _ = coordinates(side, orientation=orientation)
        angle = 2 * np.pi * np.multiply.outer(frequencies, across)
        waves[i] = np.cos(angle[:, None] + phases[None, :, None, None])
    return waves
