"""Receptive fields in the pixels of the stimulus, for atoms of whitened patches."""

from collections.abc import Callable
from typing import Any

import numpy as np

from csc._typing import Array
from csc._validation import check_count
from csc.analysis.receptive_fields._gabor import check_images

MARGIN = 4  # pixels: whitening spreads a field by about as much
N_CHECKED = 4  # atoms on which a whitening is tested
LINEAR_TOL = 1e-3  # relative to the largest pixel of a field: float32 suffices
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

    Raises
    ------
    ValueError
        If the whitening is not linear, as found on a few of the atoms, or changes shapes.

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
    fields = whitening(canvas)
    _check_linear(whitening, canvas, fields)
    return fields[:, :, kept[0], kept[1]]


def _check_linear(whitening, canvas, fields):
    """Refuse a whitening W for which ``W(a / 2 - 2 b)`` is not ``W(a) / 2 - 2 W(b)``, of a few atoms a and b."""
    if np.shape(fields) != canvas.shape:
        raise ValueError(
            f"whitening must keep the shape of images, got {np.shape(fields)} for {canvas.shape}"
        )
    few, found = canvas[:N_CHECKED], fields[:N_CHECKED]
    expected = found / 2 - 2 * found[::-1]
    error = np.abs(whitening(few / 2 - 2 * few[::-1]) - expected).max()
    if not error <= LINEAR_TOL * np.abs(found).max():
        raise ValueError(
            "whitening must be linear, as a filter is: this one maps a / 2 - 2 b to something else "
            "than W(a) / 2 - 2 W(b); take for example csc.images.whiten without variance"
        )
