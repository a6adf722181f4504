"""Colour: luminance first, then differences between the channels."""

import numpy as np
from scipy.fft import dct, idct


def to_opponent(planes):
    """Orthonormal cosine transform along the channels: white noise stays what it is."""
    return np.ascontiguousarray(dct(planes, axis=0, norm="ortho"))


def from_opponent(planes):
    """The inverse of `to_opponent`."""
    return np.ascontiguousarray(idct(planes, axis=0, norm="ortho"))
