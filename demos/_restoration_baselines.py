"""What restoration is compared with, each at the strength that is best for the picture at hand.

That needs the clean picture, which `csc.restoration` is never given.
"""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.restoration import (
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    inpaint_biharmonic,
    richardson_lucy,
    unsupervised_wiener,
    wiener,
)

from demos._photographs import psnr

RATIO = 1.25  # between neighbouring strengths of a grid
MAX_EXTENSIONS = 12  # of a grid whose best value is at an end
WITHOUT_BM3D = "BM3D is not in this table: pip install bm3d (free for non-commercial use only)"
WITHOUT_WAVELETS = "wavelets are not in this table: pip install PyWavelets"


class Best(NamedTuple):
    """An estimate, its PSNR in dB, and the strength that gave it."""

    estimate: np.ndarray
    score: float
    strength: object


def clipped_psnr(truth, estimate):
    return psnr(truth, np.clip(estimate, 0, 1))


def best_of(truth, method, strengths):
    """The best of a list, for strengths without an order."""
    tried = ((method(s), s) for s in strengths)
    return max((Best(e, clipped_psnr(truth, e), s) for e, s in tried), key=lambda b: b.score)


def best_strength(truth, method, start, ratio=RATIO):
    """The best of a geometric grid that goes on until its best value is not at an end."""
    tried = {}

    def score(step):
        if step not in tried:
            tried[step] = best_of(truth, method, [start * ratio**step])
        return tried[step].score

    best = max((-1, 0, 1), key=score)
    for _ in range(MAX_EXTENSIONS):
        neighbour = max((best - 1, best + 1), key=score)
        if score(neighbour) <= score(best):
            break
        best = neighbour
    return tried[best]


def total_variation(truth, y, sigma):
    def method(weight):
        return denoise_tv_chambolle(y, weight, eps=1e-4, max_num_iter=400, **_channels(y))

    return best_strength(truth, method, sigma)


def non_local_means(truth, y, sigma):
    """The fast and the slow variant, patches of 5 x 5 and, fast, of 7 x 7."""
    variants = [(5, 6, True), (7, 11, True), (5, 6, False)]

    def with_sizes(size, distance, fast):
        return lambda h: denoise_nl_means(
            y, size, distance, h, fast_mode=fast, sigma=sigma, **_channels(y)
        )

    return max(
        (best_strength(truth, with_sizes(*v), 0.8 * sigma) for v in variants),
        key=lambda best: best.score,
    )


def wavelets(truth, y, sigma):
    """Both thresholds, averaged over 4 x 4 shifts."""

    axes = (y.ndim - 2, y.ndim - 1)
    shifts = [(i, j) for i in range(4) for j in range(4)]

    def with_rule(rule):
        def method(strength):
            total = np.zeros(y.shape)
            for i, j in shifts:
                moved = np.roll(y, (i, j), axes)
                estimate = denoise_wavelet(moved, strength, "db2", method=rule, **_channels(y))
                total += np.roll(estimate, (-i, -j), axes)
            return total / len(shifts)

        return method

    rules = "BayesShrink", "VisuShrink"
    return max(
        (best_strength(truth, with_rule(rule), sigma) for rule in rules),
        key=lambda best: best.score,
    )


def bm3d(truth, y, sigma):
    """At the true noise level, as it is meant to be used."""
    from bm3d import bm3d, bm3d_rgb

    y = y.astype("float64")
    estimate = (
        np.moveaxis(bm3d_rgb(np.moveaxis(y, 0, -1), sigma), -1, 0)
        if y.ndim == 3
        else bm3d(y, sigma)
    )
    return Best(estimate, clipped_psnr(truth, estimate), sigma)


def denoisers():
    """Name and function of each, of those that are installed; and what is missing."""
    found = {"total variation": total_variation, "non-local means": non_local_means}
    missing = []
    for package, name, function, sentence in (
        ("pywt", "wavelets", wavelets, WITHOUT_WAVELETS),
        ("bm3d", "BM3D", bm3d, WITHOUT_BM3D),
    ):
        if find_spec(package):
            found[name] = function
        else:
            missing.append(sentence)
    return found, missing


def biharmonic(truth, y, seen):
    estimate = inpaint_biharmonic(np.where(seen, y, 0), ~seen)
    return Best(estimate, clipped_psnr(truth, estimate), None)


def median(truth, y):
    return best_of(truth, lambda size: ndimage.median_filter(y, size), (3, 5, 7, 9))


def switching_median(truth, y):
    """The median of a window takes the place of pixels that are far from it, several times."""

    def method(strength):
        size, threshold, times = strength
        estimate = y
        for _ in range(times):
            middle = ndimage.median_filter(estimate, size)
            estimate = np.where(abs(estimate - middle) > threshold, middle, estimate)
        return estimate

    thresholds = 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28
    return best_of(
        truth, method, [(n, t, k) for n in (3, 5, 7) for t in thresholds for k in (1, 2, 3, 5, 8)]
    )


def unsupervised(truth, y, kernel):
    estimate = unsupervised_wiener(y.astype("float64"), kernel, clip=False, rng=0)[0]
    return Best(estimate, clipped_psnr(truth, estimate), None)


def wiener_filter(truth, y, kernel):
    return best_strength(
        truth, lambda b: wiener(y.astype("float64"), kernel, b, clip=False), 0.03, 2
    )


def lucy(truth, y, kernel):
    wide = np.pad(np.clip(y, 1e-4, 1), 24, mode="wrap")

    def method(steps):
        return richardson_lucy(wide, kernel, num_iter=round(steps))[24:-24, 24:-24]

    return best_strength(truth, method, 40, 1.5)


def tv_deblurred(truth, y, blur, adjoint):
    """FISTA (Beck and Teboulle 2009) around scikit-image's proximal operator of total variation."""

    def method(weight):
        z = u = y.astype("float64")
        t = 1.0
        for _ in range(60):
            step = u - adjoint(blur(u) - y)
            before, z = z, denoise_tv_chambolle(step, weight, max_num_iter=20)
            t, last = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
            u = z + (last - 1) / t * (z - before)
        return z

    return best_strength(truth, method, 4e-4, 1.6)


def cubic_spline(truth, y):
    at = np.mgrid[: truth.shape[0], : truth.shape[1]] / 2
    estimate = ndimage.map_coordinates(y, at, order=3, mode="mirror")
    return Best(estimate, clipped_psnr(truth, estimate), None)


def _channels(y):
    return {"channel_axis": 0 if y.ndim == 3 else None}
