"""Null models: what a Gabor fit finds in atoms without the structure in question."""

import numpy as np
from scipy import fft

from csc._typing import Array, Extents, Rng
from csc._validation import check_atoms, check_count, check_number
from csc.analysis.receptive_fields._gabor import check_images

CANVAS = 4  # times the patch: noise is cut out of it, so that it does not wrap around


def phase_scrambled(atoms: Array, rng: Rng = None) -> Array:
    """Atoms of the same amplitude spectrum with random phases.

    Whatever the spectrum alone determines stays: frequencies, orientations, bandwidths. What needs
    phases in line goes: a place, an envelope, a symmetry. All channels of an atom are turned by
    the same phases, so that their relation stays too.

    Parameters
    ----------
    atoms : (K, C, *s) float32 or float64 array
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    scrambled : (K, C, *s) array
        With the dtype of ``atoms``.

    Raises
    ------
    TypeError
        If ``atoms`` is no float array.
    ValueError
        If ``atoms`` has the wrong number of axes, holds NaN or nothing but zeros.

    Examples
    --------
    >>> import numpy as np
    >>> atoms = np.random.default_rng(0).standard_normal((2, 1, 6, 7))
    >>> null = phase_scrambled(atoms, rng=1)
    >>> bool(np.allclose(abs(np.fft.fft2(null)), abs(np.fft.fft2(atoms))))
    True
    """
    atoms = check_atoms(atoms)
    rng, extents = np.random.default_rng(rng), atoms.shape[2:]
    axes = tuple(range(2, atoms.ndim))
    noise = fft.rfftn(rng.standard_normal((len(atoms), 1, *extents)), axes=axes)
    turned = fft.rfftn(atoms.astype(np.float64), axes=axes) * (noise / np.abs(noise))
    return fft.irfftn(turned, s=extents, axes=axes).astype(atoms.dtype)


def frequency_band(atoms: Array) -> tuple[float, float]:
    """Radial frequencies between which the middle 80 % of the atoms' energy lies.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        Every atom counts alike, whatever its norm.

    Returns
    -------
    low, high : float
        Cycles per pixel.

    Raises
    ------
    TypeError
        If ``atoms`` is no float array.
    ValueError
        If ``atoms`` is not four-dimensional, smaller than 3 x 3, holds NaN or nothing but zeros.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.cos(2 * np.pi * np.arange(32) / 8) * np.ones((32, 1))
    >>> low, high = frequency_band(wave[None, None])
    >>> low < 1 / 8 < high
    True
    """
    atoms = check_atoms(check_images(atoms))
    extents = [CANVAS * n for n in atoms.shape[2:]]
    power = np.abs(fft.fft2(atoms.astype(np.float64), s=extents)) ** 2
    energy = power.sum(axis=(1, 2, 3), keepdims=True)
    pooled = (power / np.where(energy > 0, energy, 1)).sum(axis=(0, 1)).ravel()
    radius = _radius(extents).ravel()
    order = radius.argsort()
    cumulated = np.cumsum(pooled[order]) / pooled.sum()
    low, high = np.interp([0.1, 0.9], cumulated, radius[order])
    return float(low), float(high)


def band_pass_noise(n: int, shape: Extents, rng: Rng = None, *, low: float, high: float) -> Array:
    """White noise of which a band of frequencies is kept, in patches of unit norm.

    Parameters
    ----------
    n : int
        How many patches.
    shape : (C, h, w)
        Of one patch; the channels are independent.
    rng : numpy.random.Generator or seed, optional
    low, high : float
        The band, |frequency| in cycles per pixel; `frequency_band` measures that of atoms.

    Returns
    -------
    noise : (n, C, h, w) float64 array

    Raises
    ------
    TypeError
        If ``n`` is no integer, ``low`` or ``high`` no number.
    ValueError
        If ``shape`` has not three extents, or if the band is empty or holds no frequency of a
        canvas four times as wide and high, out of which each patch is cut.

    Examples
    --------
    >>> import numpy as np
    >>> noise = band_pass_noise(3, (1, 12, 12), rng=0, low=0.1, high=0.3)
    >>> noise.shape, np.linalg.norm(noise, axis=(2, 3)).ravel().round(6)
    ((3, 1, 12, 12), array([1., 1., 1.]))
    """
    check_count("n", n)
    check_number("low", low)
    check_number("high", high)
    if len(shape) != 3:
        raise ValueError(f"shape must be that of one patch, (C, h, w), got {tuple(shape)}")
    channels, h, w = shape
    canvas = CANVAS * h, CANVAS * w
    radius = _radius(canvas)
    kept = (radius >= low) & (radius <= high)
    if not kept.any():
        raise ValueError(
            f"the band from low={low} to high={high} cycles/pixel holds no frequency of "
            f"{canvas} pixels; widen it, below {np.sqrt(0.5):.3f}"
        )
    noise = np.random.default_rng(rng).standard_normal((n, channels, *canvas))
    noise = fft.ifft2(fft.fft2(noise) * kept).real[..., :h, :w]
    return noise / np.linalg.norm(noise.reshape(n, -1), axis=1)[:, None, None, None]


def _radius(extents):
    """Radial frequency, cycles per pixel, of each bin of a two-dimensional transform."""
    return np.hypot(fft.fftfreq(extents[0])[:, None], fft.fftfreq(extents[1]))
