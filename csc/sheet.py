"""Atoms side by side in one picture, without a plotting library."""

from math import ceil, sqrt
from typing import Any

import numpy as np

from csc._validate import check_floats
from csc.types import Array


def tile(atoms: Array, n_columns: int | None = None, gap: int = 1, scale: Any = None) -> Array:
    """Lay atoms side by side.

    Parameters
    ----------
    atoms : array (K, 1, h, w) or (K, 3, h, w)
    n_columns : int, optional
    gap : int
    scale : array (K,), optional
        What is shown as white; None takes each atom's largest modulus.

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
    """
    atoms = check_floats("atoms", atoms)
    if atoms.ndim != 4 or atoms.shape[1] not in (1, 3):
        raise ValueError(f"atoms must be (K, 1, h, w) or (K, 3, h, w), got shape {atoms.shape}")
    k, c, h, w = atoms.shape
    columns = n_columns or ceil(sqrt(k * h / w))
    rows = ceil(k / columns)
    sheet = np.ones((rows * (h + gap) + gap, columns * (w + gap) + gap, c))
    top = abs(atoms).max(axis=(1, 2, 3)) if scale is None else np.asarray(scale)
    shown = (atoms / np.where(top > 0, top, 1)[:, None, None, None]).clip(-1, 1)
    for i, atom in enumerate(np.moveaxis(shown, 1, 3)):
        r, s = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[r : r + h, s : s + w] = atom
    return sheet[:, :, 0] if c == 1 else (sheet + 1) / 2
