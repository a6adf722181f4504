"""Layers learned one after the other, each from the codes of the one before."""

from math import prod

import numpy as np

from csc._device import namespace, to_host
from csc.constraints import UnitSphere
from csc.dictionary import Dictionary
from csc.learn.coding import code
from csc.learn.signals import Signals
from csc.sparse import SparseCodes

RESIDUE = 1e-9  # of the largest energy: a window with less holds nothing but rounding


class CodesAsSignals(Signals):
    """Sparse codes as the signals ``(K, *V)`` of the next layer: dense only where one is taken.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    """

    def __init__(self, groups):
        self.is_array, self.x, self.mask = False, Rows(groups), None

    @property
    def shapes(self):
        """Shapes ``(K, *V)`` of all signals."""
        return [self.x.groups[g].shape[1:] for g, _ in self.x.places]


class Rows:
    """Codes of single signals: dense arrays ``(K, *V)``, made when asked.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    """

    def __init__(self, groups):
        self.groups = groups
        self.places = [(g, i) for g, some in enumerate(groups) for i in range(some.shape[0])]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        g, row = self.places[i]
        some = self.groups[g]
        if not isinstance(some, SparseCodes):
            return some[row]
        size = prod(some.shape[1:])
        low, high = some.index.searchsorted([row * size, (row + 1) * size])
        index, values = some.index[low:high] - row * size, some.values[low:high]
        return SparseCodes((1, *some.shape[1:]), index, values).dense()[0]


def codes_of(learner, signals):
    """`CodesAsSignals` of all signals on a fitted `DictionaryLearning`."""
    D, penalty, groups = (
        learner.dictionary_,
        learner.penalty_,
        signals.take(np.arange(len(signals))),
    )
    coded = (code([group], D, penalty, None, learner.coding_tol) for group in groups)
    return CodesAsSignals([some.z for (some,) in coded])


def windows_of(signals, extents, n, rng):
    """Windows of signals as atoms to begin with, ``(n, C, *s)`` of norm one.

    They are drawn without replacement, with a probability in proportion to the square of their
    energy; noise where there are not enough that hold anything.
    """
    noise = UnitSphere().project(rng.standard_normal((n, signals.n_channels, *extents)))
    drawn, xp = [], namespace(signals.first)
    for x, _ in signals.take(np.arange(len(signals))):
        box = Dictionary(xp.ones((1, 1, *extents)))
        energies = to_host(box.adjoint((x.astype("float64") ** 2).sum(axis=1, keepdims=True)))
        # the largest of log p + Gumbel noise are a draw without replacement
        with np.errstate(divide="ignore"):
            keys = 2 * np.log(np.maximum(energies, 0)) + rng.gumbel(size=energies.shape)
        best = np.argsort(keys, axis=None)[::-1][:n]
        for place in zip(*np.unravel_index(best, keys.shape), strict=True):
            i, _, *corner = place
            own = tuple(slice(a, a + s) for a, s in zip(corner, extents, strict=True))
            if energies[place] > RESIDUE * energies.max():
                drawn.append((keys[place], to_host(x[(i, slice(None), *own)])))
    drawn.sort(key=lambda one: -one[0])
    for k, (_, window) in enumerate(drawn[:n]):
        noise[k] = window
    return xp.asarray(UnitSphere().project(noise), dtype=signals.dtype)
