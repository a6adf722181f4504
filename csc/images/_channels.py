"""Patches as the visual pathway sends them on: contrast gain, ON and OFF cells, an aperture."""

import numpy as np

from csc._norms import without_mean
from csc._typing import Array, Shape
from csc._validation import check_floats, check_number, check_scale, check_shape


def patch_contrast_normalise(
    patches: Array, eps: float = 0.1, *, variance: float | None = None
) -> Array:
    """Subtract each patch's mean and divide by its contrast, as gain control does.

    With the contrast c = ||x - mean|| / sqrt(pixels) of a patch and its mean <c> over all patches,
    y = (x - mean) / (c + eps <c>).

    Parameters
    ----------
    patches : (N, C, *s) float32 or float64 array
        The mean of each channel is subtracted; all channels of a patch share one contrast.
    eps : float
        Contrast, relative to the mean, below which patches stay weak.
    variance : float, optional
        Scale the result, all patches by one factor, to this variance.

    Returns
    -------
    normalised : (N, C, *s) array
        With the dtype of ``patches``; patches without contrast are zero.

    Examples
    --------
    >>> import numpy as np
    >>> patches = np.array([1.0, 100.0])[:, None, None] * np.array([[[-1.0, 1.0]]])
    >>> patch_contrast_normalise(patches).round(2).ravel()
    array([-0.17,  0.17, -0.95,  0.95])
    """
    patches = _checked(patches)
    check_scale("patches", patches)
    check_number("eps", eps, strict=True)
    centred = without_mean(patches, tuple(range(2, patches.ndim)))
    axes = tuple(range(1, patches.ndim))
    contrast = np.sqrt((centred**2).mean(axis=axes, keepdims=True, dtype=np.float64))
    floor = eps * contrast.mean()
    if not floor:
        return centred
    scale = 1 / (contrast + floor)
    if variance is not None:
        check_number("variance", variance, strict=True)
        scale *= np.sqrt(variance / np.mean((contrast * scale) ** 2))
    return centred * scale.astype(patches.dtype)


def on_off(patches: Array) -> Array:
    """Split patches into ON and OFF channels: max(x, 0) and max(-x, 0).

    Cells of the lateral geniculate nucleus do not fire negatively: ON cells answer to light, OFF
    cells to dark. With non-negative atoms and codes, ON may not cancel OFF.

    Parameters
    ----------
    patches : (N, C, *s) float32 or float64 array

    Returns
    -------
    channels : (N, 2 C, *s) array
        First all ON channels, then all OFF channels.

    See Also
    --------
    on_minus_off : the way back.

    Examples
    --------
    >>> import numpy as np
    >>> on_off(np.array([[[-2.0, 0.0, 3.0]]])).tolist()
    [[[0.0, 0.0, 3.0], [2.0, 0.0, 0.0]]]
    """
    patches = _checked(patches)
    zero = patches.dtype.type(0)
    return np.concatenate([np.maximum(patches, zero), np.maximum(-patches, zero)], axis=1)


def on_minus_off(channels: Array) -> Array:
    """Combine ON and OFF channels, of patches or of atoms, to images with a sign: ON - OFF.

    Parameters
    ----------
    channels : (N, 2 C, *s) float32 or float64 array

    Returns
    -------
    images : (N, C, *s) array

    Examples
    --------
    >>> import numpy as np
    >>> on_minus_off(on_off(np.array([[[-2.0, 0.0, 3.0]]]))).tolist()
    [[[-2.0, 0.0, 3.0]]]
    """
    channels = _checked(channels)
    half, odd = divmod(channels.shape[1], 2)
    if odd:
        raise ValueError(f"channels must be ON and OFF in pairs, got {channels.shape[1]}")
    return channels[:, :half] - channels[:, half:]


def gaussian_aperture(shape: Shape, sigma: float) -> Array:
    """Weights exp(-r^2 / (2 sigma^2)) around the middle of a patch, 1 at the middle.

    Patches times these weights fade towards their border, so that no border cuts an atom.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of a patch.
    sigma : float
        In pixels.

    Returns
    -------
    aperture : (*shape) float64 array

    Examples
    --------
    >>> gaussian_aperture((3, 1), 1.0).round(3).ravel()
    array([0.607, 1.   , 0.607])
    """
    shape = check_shape("shape", shape)
    check_number("sigma", sigma, strict=True)
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    squares = sum(axis**2 for axis in np.ix_(*axes))
    return np.exp(-squares / (2 * sigma**2))


def _checked(patches):
    patches = check_floats("patches", patches)
    if patches.ndim < 3:
        raise ValueError(f"patches must be (N, C, *s), got shape {patches.shape}")
    return patches
