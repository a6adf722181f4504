"""Receptive fields in the pixels of the stimulus, for atoms of whitened patches."""

from collections.abc import Callable
from typing import Any

import numpy as np

from csc._typing import Array
from csc._validation import check_count
from csc.analysis.receptive_fields._gabor import check_images

MARGIN = 4  # pixels: whitening spreads a field by about as much
CANVAS_FACTOR = 4  # the canvas is so many times larger that its borders do not matter


def pixel_fields(
    atoms: Array, whitening: Callable[[Array], Array] | Any, *, margin: int = MARGIN
) -> Array:
    """Map atoms of whitened images to the receptive fields in the images themselves.

    An atom d meets a whitened image W x. As <d, W x> = <W^T d, x>, the field that a physiologist
    measures with stimuli x is W^T d, the adjoint of the whitening applied to the atom.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
    whitening : callable or csc.images.ZCA
        A linear filter that is its own adjoint, such as `csc.images.whiten` without ``variance``:
        it is applied to the atoms, surrounded by zeros. A fitted `csc.images.ZCA` has no pixels
        beyond the patch: the atoms are multiplied by its symmetric matrix.
    margin : int
        Pixels around the patch that are returned as well; none are for ZCA.

    Returns
    -------
    fields : (K, C, h + 2 margin, w + 2 margin) float64 array

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 12, 12))
    >>> csc.analysis.receptive_fields.pixel_fields(atoms, csc.images.whiten).shape
    (3, 1, 20, 20)
    """
    atoms = check_images(atoms).astype(np.float64)
    check_count("margin", margin, low=0)
    if hasattr(whitening, "whitening_"):
        W = whitening.whitening_.astype(np.float64)
        return (atoms.reshape(len(atoms), -1) @ W).reshape(atoms.shape)
    if not callable(whitening):
        raise TypeError(
            "whitening must be a linear filter such as csc.images.whiten, or a fitted "
            f"csc.images.ZCA, got {whitening!r}"
        )
    border = [margin + (CANVAS_FACTOR - 1) * n // 2 for n in atoms.shape[2:]]
    canvas = np.pad(atoms, [(0, 0), (0, 0), *((b, b) for b in border)])
    kept = [
        slice(b - margin, n - b + margin) for b, n in zip(border, canvas.shape[2:], strict=True)
    ]
    return whitening(canvas)[:, :, kept[0], kept[1]]
