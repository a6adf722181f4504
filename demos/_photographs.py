"""Bundled photographs as test images, atoms learned from the others, and their error measure."""

import numpy as np
from scipy import ndimage

import csc


def crop(side, index=0):
    """Return the central square of a bundled photograph, float32 in [0, 1]; side in pixels."""
    pixels = csc.images.natural()[index].pixels
    top, left = (max(0, n // 2 - side // 2) for n in pixels.shape)
    return np.ascontiguousarray(pixels[top : top + side, left : left + side], "float32")


def high_pass(pixels, sigma):
    """Subtract a Gaussian blur of standard deviation ``sigma`` pixels."""
    return pixels - ndimage.gaussian_filter(pixels, sigma)


def learn_atoms(n_atoms, side, sigma, *, without=None, lmbda=1.0):
    """Learn atoms ``(K, 1, side, side)`` from high-passed photographs, except number ``without``."""
    photographs = [p.pixels for i, p in enumerate(csc.images.natural()) if i != without]
    details = [high_pass(pixels, sigma) for pixels in photographs]
    X = csc.images.extract_patches(details, (side, side), n=20_000, rng=0)
    X = (X / X.std()).astype("float32")
    learner = csc.DictionaryLearning(n_atoms, (side, side), lmbda, max_iter=5, random_state=0)
    return csc.constraints.UnitSphere().project(learner.fit(X).atoms_)


def psnr(truth, estimate):
    """Return the peak signal-to-noise ratio in dB, for pixels in [0, 1]."""
    return float(-10 * np.log10(((truth - estimate) ** 2).mean(dtype="float64")))
