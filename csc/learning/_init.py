"""Windows of signals as atoms to begin with."""

import numpy as np

from csc._backend import namespace, to_host
from csc.constraints import UnitSphere
from csc.operators import Dictionary

MIN_RELATIVE_ENERGY = 1e-9  # of the largest energy: a window with less holds nothing but rounding


def windows_of(signals, extents, n, rng):
    """Windows of signals as atoms to begin with, ``(n, C, *s)`` of norm one.

    They are drawn without replacement, with a probability in proportion to the square of their
    energy; noise where there are not enough that hold anything.
    """
    atoms = UnitSphere().project(rng.standard_normal((n, signals.n_channels, *extents)))
    seeds = rng.bit_generator.seed_seq
    drawn = signals.take(np.arange(len(signals))).windows(extents, n, seeds)
    drawn.sort(key=lambda one: -one[0])
    for k, (_, window) in enumerate(drawn[:n]):
        atoms[k] = window
    xp = namespace(signals.first)
    return xp.asarray(UnitSphere().project(atoms), dtype=signals.dtype)


def window_candidates(x, extents, n, seed):
    """The ``n`` windows of signals ``(N, C, *S)`` with the highest keys: a list of both.

    The largest of log p + Gumbel noise are a draw without replacement; so are the largest of
    several groups.
    """
    xp, rng = namespace(x), np.random.default_rng(seed)
    box = Dictionary(xp.ones((1, 1, *extents)))
    energies = to_host(box.adjoint((x.astype("float64") ** 2).sum(axis=1, keepdims=True)))
    with np.errstate(divide="ignore"):
        keys = 2 * np.log(np.maximum(energies, 0)) + rng.gumbel(size=energies.shape)
    found, best = [], np.argsort(keys, axis=None)[::-1][:n]
    for place in zip(*np.unravel_index(best, keys.shape), strict=True):
        i, _, *corner = place
        own = tuple(slice(a, a + s) for a, s in zip(corner, extents, strict=True))
        if energies[place] > MIN_RELATIVE_ENERGY * energies.max():
            found.append((keys[place], to_host(x[(i, slice(None), *own)])))
    return found
