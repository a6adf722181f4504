"""Null models for Gabor fits: atoms with random phases, and band-pass noise."""

import numpy as np
from scipy import fft

from csc._typing import Array, Rng, Shape
from csc._validation import check_atoms, check_count, check_number
from csc.analysis._matching import unit
from csc.analysis.receptive_fields._gabor import check_images

CANVAS_FACTOR = 4  # noise is cut from a canvas this many times larger, so it is not periodic


def phase_scrambled(atoms: Array, rng: Rng = None) -> Array:
    """Randomise the phases of atoms and keep their amplitude spectra.

    This keeps what the spectrum determines (frequencies, orientations, bandwidths) and destroys
    what depends on aligned phases (position, envelope, symmetry). All channels of an atom get the
    same phase shifts, so that their relation is kept.

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
        If ``atoms`` is not a float array.
    ValueError
        If ``atoms`` has the wrong number of axes, contains NaN, or is all zero.

    Examples
    --------
    >>> import numpy as np
    >>> atoms = np.random.default_rng(0).standard_normal((2, 1, 6, 7))
    >>> null = phase_scrambled(atoms, rng=1)
    >>> bool(np.allclose(abs(np.fft.fft2(null)), abs(np.fft.fft2(atoms))))
    True
    """
    atoms = check_atoms(atoms)
    rng, spatial_shape = np.random.default_rng(rng), atoms.shape[2:]
    axes = tuple(range(2, atoms.ndim))
    noise = fft.rfftn(rng.standard_normal((len(atoms), 1, *spatial_shape)), axes=axes)
    turned = fft.rfftn(atoms.astype(np.float64), axes=axes) * (noise / np.abs(noise))
    return fft.irfftn(turned, s=spatial_shape, axes=axes).astype(atoms.dtype)


def frequency_band(atoms: Array) -> tuple[float, float]:
    """Radial frequencies that bound the central 80 % of the energy of atoms.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        All atoms have the same weight, independent of their norm.

    Returns
    -------
    low, high : float
        Cycles per pixel.

    Raises
    ------
    TypeError
        If ``atoms`` is not a float array.
    ValueError
        If ``atoms`` is not four-dimensional, is smaller than 3 x 3, contains NaN, or is all zero.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.cos(2 * np.pi * np.arange(32) / 8) * np.ones((32, 1))
    >>> low, high = frequency_band(wave[None, None])
    >>> low < 1 / 8 < high
    True
    """
    atoms = check_atoms(check_images(atoms))
    spatial_shape = [CANVAS_FACTOR * n for n in atoms.shape[2:]]
    power = np.abs(fft.fft2(unit(atoms.astype(np.float64)), s=spatial_shape)) ** 2
    energy = power.sum(axis=(1, 2, 3), keepdims=True)
    pooled = (power / np.where(energy > 0, energy, 1)).sum(axis=(0, 1)).ravel()
    radius = _radius(spatial_shape).ravel()
    order = radius.argsort()
    cumulated = np.cumsum(pooled[order]) / pooled.sum()
    low, high = np.interp([0.1, 0.9], cumulated, radius[order])
    return float(low), float(high)


def band_pass_noise(n: int, shape: Shape, rng: Rng = None, *, low: float, high: float) -> Array:
    """Patches of band-pass filtered white noise, of unit norm.

    Parameters
    ----------
    n : int
        Number of patches.
    shape : (C, h, w)
        Shape of one patch; the channels are independent.
    rng : numpy.random.Generator or seed, optional
    low, high : float
        Bounds of the radial frequency in cycles per pixel; `frequency_band` returns those of atoms.

    Returns
    -------
    noise : (n, C, h, w) float64 array

    Raises
    ------
    TypeError
        If ``n`` is not an integer, or ``low`` or ``high`` not a number.
    ValueError
        If ``shape`` does not have three numbers, or if the band is empty or contains no frequency
        of the canvas, four times as wide and high as the patches that are cut from it.

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
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"shape must be that of one patch, (C, h, w), got {shape!r}")
    channels, h, w = (check_count("shape", size) for size in shape)
    canvas = CANVAS_FACTOR * h, CANVAS_FACTOR * w
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


def _radius(spatial_shape):
    """Radial frequency in cycles per pixel of each bin of a two-dimensional FFT."""
    return np.hypot(fft.fftfreq(spatial_shape[0])[:, None], fft.fftfreq(spatial_shape[1]))
