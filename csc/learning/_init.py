"""Initial atoms from windows of the signals."""

import numpy as np

from csc._backend import namespace, to_host
from csc.constraints import UnitSphere
from csc.operators import Dictionary

MIN_RELATIVE_ENERGY = 1e-9  # of the largest energy; a window with less contains rounding errors


def windows_of(signals, spatial_shape, n, rng):
    """Random windows of signals as initial atoms, ``(n, C, *s)`` of norm one.

    They are drawn without replacement with probabilities proportional to their squared energy. If
    there are too few non-zero windows, the other atoms are noise.
    """
    atoms = UnitSphere().project(rng.standard_normal((n, signals.n_channels, *spatial_shape)))
    seeds = rng.bit_generator.seed_seq
    drawn = signals.take(np.arange(len(signals))).windows(spatial_shape, n, seeds)
    drawn.sort(key=lambda pair: -pair[0])
    for k, (_, window) in enumerate(drawn[:n]):
        atoms[k] = window
    xp = namespace(signals.first)
    return xp.asarray(UnitSphere().project(atoms), dtype=signals.dtype)


def window_candidates(x, spatial_shape, n, seed):
    """List of (key, window) of the ``n`` windows of signals ``(N, C, *S)`` with the largest keys.

    A key is log p plus Gumbel noise: the windows with the largest keys, of one or of several
    groups, are a sample without replacement.
    """
    xp, rng = namespace(x), np.random.default_rng(seed)
    box = Dictionary(xp.ones((1, 1, *spatial_shape)))
    energies = to_host(box.adjoint((x.astype("float64") ** 2).sum(axis=1, keepdims=True)))
    with np.errstate(divide="ignore"):
        keys = 2 * np.log(np.maximum(energies, 0)) + rng.gumbel(size=energies.shape)
    found, best = [], np.argsort(keys, axis=None)[::-1][:n]
    for place in zip(*np.unravel_index(best, keys.shape), strict=True):
        i, _, *corner = place
        own = tuple(slice(a, a + s) for a, s in zip(corner, spatial_shape, strict=True))
        if energies[place] > MIN_RELATIVE_ENERGY * energies.max():
            found.append((keys[place], to_host(x[(i, slice(None), *own)])))
    return found
