"""Montages of atoms as arrays, without a plotting library."""

from math import ceil, sqrt
from typing import Any

import numpy as np

from csc._typing import Array
from csc._validation import check_count, check_floats

IMAGES_NDIM, VOLUMES_NDIM = 4, 5  # axes of (K, C, h, w) and of (K, C, d, h, w)
COLOURS = (1, 3)  # numbers of channels that one image can show
GAPS_BETWEEN_VOLUMES = 3  # so that volumes stand out from their slices


def montage(atoms: Array, n_columns: int | None = None, gap: int = 1, scale: Any = None) -> Array:
    """Arrange atoms in the rows and columns of one image.

    Parameters
    ----------
    atoms : array (K, C, h, w) or (K, C, d, h, w)
        One channel is shown as grey, three as red, green and blue. For any other number each
        channel has its own montage, separated by the size of an atom. A volume is shown as the row
        of its d slices; volumes are separated by three gaps.
    n_columns : int, optional
        Atoms per row; None makes the montage about square.
    gap : int
        Pixels between atoms.
    scale : array (K,), optional
        The value shown as white; None takes the largest modulus of each atom.

    Returns
    -------
    image : array (H, W) in [-1, 1], or (H, W, 3) in [0, 1]
        Gaps are white.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.plot import montage
    >>> montage(np.ones((4, 1, 3, 3))).shape
    (9, 9)
    >>> montage(np.ones((4, 2, 3, 3))).shape  # two channels, three pixels apart
    (9, 21)
    """
    atoms = check_floats("atoms", atoms)
    if atoms.ndim not in (IMAGES_NDIM, VOLUMES_NDIM):
        raise ValueError(
            f"atoms must be (K, C, h, w) or (K, C, d, h, w), got shape {atoms.shape}; give grey "
            "pictures (K, h, w) an axis for it, atoms[:, None]; csc.plot.dictionary draws series "
            "(K, C, L)"
        )
    gap = check_count("gap", gap, low=0)
    n_columns = None if n_columns is None else check_count("n_columns", n_columns)
    pictures = np.moveaxis(scaled(atoms, scale).clip(-1, 1), 1, -1)
    margin, channel_gap = gap, max(pictures.shape[-3:-1])
    if atoms.ndim == VOLUMES_NDIM:
        pictures = np.stack([_laid(slices, len(slices), gap, 0) for slices in pictures])
        gap *= GAPS_BETWEEN_VOLUMES
    if atoms.shape[1] not in COLOURS:
        channels = np.moveaxis(pictures, -1, 0)[..., None]
        sheets = [_laid(channel, n_columns, gap, margin) for channel in channels]
        return _laid(np.stack(sheets), None, channel_gap, 0)[:, :, 0]
    sheet = _laid(pictures, n_columns, gap, margin)
    return sheet[:, :, 0] if atoms.shape[1] == 1 else (sheet + 1) / 2


def scaled(atoms, scale=None):
    """Atoms divided by their largest moduli, or by a scale for each; zero atoms stay zero."""
    axes = tuple(range(1, atoms.ndim))
    top = abs(atoms).max(axis=axes) if scale is None else np.asarray(scale)
    return atoms / np.expand_dims(np.where(top > 0, top, 1), axes)


def _laid(pictures, n_columns, gap, margin):
    """Images (n, h, w, c) row by row on white, with ``gap`` pixels between, ``margin`` around."""
    n, h, w, c = pictures.shape
    columns = n_columns or ceil(sqrt(n * h / w))
    spatial_shape = (
        np.array([ceil(n / columns) * (h + gap), columns * (w + gap)]) - gap + 2 * margin
    )
    sheet = np.ones((*spatial_shape, c))
    for i, picture in enumerate(pictures):
        r, s = margin + i // columns * (h + gap), margin + i % columns * (w + gap)
        sheet[r : r + h, s : s + w] = picture
    return sheet
