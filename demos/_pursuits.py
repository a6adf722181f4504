"""What the experiments of `demos.ml_pursuit` do alike: noise, errors, Gaussian layers."""

import numpy as np

from csc.datasets import make_multilayer_dictionary


def noisy(x, snr, rng):
    """Signals with white noise of that ratio, and its standard deviation."""
    sigma = float(10 ** (-snr / 20) * (x * x).mean() ** 0.5)
    return x + sigma * rng.standard_normal(x.shape), sigma


def errors(codes, truth):
    """``||g - g_true||^2 / ||g_true||^2`` of each signal."""
    misses, energies = (a.reshape(len(a), -1) ** 2 for a in (codes - truth, truth))
    return misses.sum(axis=1) / energies.sum(axis=1)


def dB(a):
    return float(10 * np.log10(a))


def matrices(*sizes):
    """Dense layers with Gaussian columns of unit norm: D_i is ``sizes[i - 1] x sizes[i]``."""
    shapes = zip(sizes[1:], sizes, (sizes[0], *[1] * len(sizes)), strict=False)
    shapes = [(k, 1 if i == 0 else c, s) for i, (k, c, s) in enumerate(shapes)]
    return make_multilayer_dictionary(shapes, rng=0)
