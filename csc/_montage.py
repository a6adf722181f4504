"""Atoms side by side in one picture, without a plotting library."""

from math import ceil, sqrt
from typing import Any

import numpy as np

from csc._typing import Array
from csc._validation import check_count, check_floats

PICTURES, VOLUMES = 4, 5  # axes of (K, C, h, w) and of (K, C, d, h, w)
COLOURS = (1, 3)  # channels that one picture can show
APART = 3  # gaps between volumes, so that they stand out from their slices


def montage(atoms: Array, n_columns: int | None = None, gap: int = 1, scale: Any = None) -> Array:
    """Lay atoms side by side.

    Parameters
    ----------
    atoms : array (K, C, h, w) or (K, C, d, h, w)
        One channel is shown as grey, three as red, green and blue. Of any other number each channel
        has a sheet of its own; the sheets lie side by side, an atom's extent apart. A volume is
        shown as the row of its d slices; volumes lie three gaps apart.
    n_columns : int, optional
        Atoms in a row; None makes each sheet about square.
    gap : int
        Pixels between atoms.
    scale : array (K,), optional
        What is shown as white; None takes each atom's largest modulus, of all its channels.

    Returns
    -------
    sheet : array (H, W) in [-1, 1], or (H, W, 3) in [0, 1]
        The gap is white.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.plot import tile
    >>> tile(np.ones((4, 1, 3, 3))).shape
    (9, 9)
    >>> tile(np.ones((4, 2, 3, 3))).shape  # two sheets, three pixels apart
    (9, 21)
    """
    atoms = check_floats("atoms", atoms)
    if atoms.ndim not in (PICTURES, VOLUMES):
        raise ValueError(
            f"atoms must be (K, C, h, w) or (K, C, d, h, w), got shape {atoms.shape}; give grey "
            "pictures (K, h, w) an axis for it, atoms[:, None]; csc.plot.dictionary draws series "
            "(K, C, L)"
        )
    gap = check_count("gap", gap, low=0)
    n_columns = None if n_columns is None else check_count("n_columns", n_columns)
    pictures = np.moveaxis(scaled(atoms, scale).clip(-1, 1), 1, -1)
    margin, apart = gap, max(pictures.shape[-3:-1])
    if atoms.ndim == VOLUMES:
        pictures = np.stack([_laid(slices, len(slices), gap, 0) for slices in pictures])
        gap *= APART
    if atoms.shape[1] not in COLOURS:
        channels = np.moveaxis(pictures, -1, 0)[..., None]
        sheets = [_laid(channel, n_columns, gap, margin) for channel in channels]
        return _laid(np.stack(sheets), None, apart, 0)[:, :, 0]
    sheet = _laid(pictures, n_columns, gap, margin)
    return sheet[:, :, 0] if atoms.shape[1] == 1 else (sheet + 1) / 2


def scaled(atoms, scale=None):
    """Atoms over their largest moduli, or over a scale of each; zeros stay."""
    axes = tuple(range(1, atoms.ndim))
    top = abs(atoms).max(axis=axes) if scale is None else np.asarray(scale)
    return atoms / np.expand_dims(np.where(top > 0, top, 1), axes)


def _laid(pictures, n_columns, gap, margin):
    """Pictures (n, h, w, c) row by row on white, with so many pixels between and around them."""
    n, h, w, c = pictures.shape
    columns = n_columns or ceil(sqrt(n * h / w))
    extents = np.array([ceil(n / columns) * (h + gap), columns * (w + gap)]) - gap + 2 * margin
    sheet = np.ones((*extents, c))
    for i, picture in enumerate(pictures):
        r, s = margin + i // columns * (h + gap), margin + i % columns * (w + gap)
        sheet[r : r + h, s : s + w] = picture
    return sheet
