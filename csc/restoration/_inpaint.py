"""Missing pixels: sparse estimates from those seen, then groups of similar patches."""

from time import perf_counter
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from csc._progress import progress_iter
from csc._typing import ArrayLike, Rng
from csc._validation import check_choice
from csc.operators import Dictionary
from csc.restoration._colour import from_opponent, to_opponent
from csc.restoration._dictionary import Effort, given_atoms, learned_atoms
from csc.restoration._groups import RULE, group_fill
from csc.restoration._images import Restored, check_incomplete
from csc.restoration._sparse_estimate import sparse_fill

CODED_TO = 5 / 255  # root mean square of the residual at which a patch is coded well enough
LEARNING_LMBDA = 6 / 255
FILLING_SIGMA = 2 / 255  # noise that groups assume, and what is added to their deviations
FILLING_RULE = RULE._replace(members=48, reach=12)
GROUP_PASSES = {"best": 6, "fast": 2}
RELEARNED = {"best": 2, "fast": 0}  # times


def inpaint(
    y: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    dictionary: Dictionary | ArrayLike | None = None,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Estimate the missing pixels of an image without noise.

    Each patch of 8 x 8 pixels is coded by OMP on the pixels seen in it; atoms are learned from the
    estimate, and the patches coded again. Then each patch is grouped with those most like it in
    the last estimate, and its missing pixels are estimated from those seen under a Gaussian
    fitted to the group [1]_. This is structured, not l0-sparse, coding.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        Image with pixels in [0, 1]. NaN and the masked entries of a masked array are missing.
    mask : array, optional
        1 where a pixel was observed and 0 where it is missing, of a shape that broadcasts to
        that of ``y``. (In `skimage.restoration.inpaint_biharmonic` 1 means missing.)
    dictionary : Dictionary or (K, 1, p, p) array, optional
        Atoms to start from; by default 256 of 8 x 8 pixels that ship with the package.
    quality : {"best", "fast"}
        ``"fast"`` learns no atoms and takes 2 instead of 6 passes over the groups.
    rng : numpy.random.Generator or int
        Of the patches that are learned from.
    verbose : bool
        Whether to show progress.

    Returns
    -------
    Restored
        Observed pixels are those of ``y``.

    Raises
    ------
    TypeError
        If ``y`` is no float array.
    ValueError
        If no pixel was observed, or ``y`` has its channels last or values far from [0, 1].

    References
    ----------
    .. [1] G. Yu, G. Sapiro, S. Mallat, "Solving inverse problems with piecewise linear
       estimators", IEEE Trans. Image Process. 21(5), 2012.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.add.outer(np.arange(32.0), np.arange(32.0)) / 64
    >>> mask = np.random.default_rng(0).random(clean.shape) < 0.5
    >>> restored = inpaint(clean, mask, quality="fast")
    >>> bool(abs(restored.image - clean).max() < 0.05)
    True
    """
    start = perf_counter()
    image, seen = check_incomplete(y, mask)
    check_choice("quality", quality, ("best", "fast"))
    atoms = given_atoms(dictionary, image.shape)
    if seen.all():
        kept = image.original.copy()
        return Restored(kept, 0.0, Dictionary(atoms), perf_counter() - start, "no pixel is missing")
    image = image.in_full_range()
    planes, atoms = _fill(image.planes, seen, atoms, quality, rng, verbose)
    restored = np.where(seen.reshape(image.shape) != 0, image.original, image.like_input(planes))
    message = (
        f"{1 - seen.mean():.1%} of the pixels were missing; atoms learned {RELEARNED[quality]} times, "
        f"{GROUP_PASSES[quality]} passes over groups of similar patches"
    )
    return Restored(restored, 0.0, Dictionary(atoms), perf_counter() - start, message)


def _fill(planes, seen, atoms, quality, rng, verbose):
    """The estimate of all planes, and the atoms used last."""
    rng = np.random.default_rng(rng)
    together = len(planes) > 1 and (seen == seen[:1]).all()  # else colours do not mix
    guess = rough_fill(planes, seen)
    if together:
        planes, guess = to_opponent(planes), to_opponent(guess)
    estimate = sparse_fill(planes, seen, atoms, CODED_TO, guess)
    for _ in progress_iter(range(RELEARNED[quality]), "relearning", verbose=verbose):
        atoms = learned_atoms(estimate, LEARNING_LMBDA, atoms, Effort(), rng)
        estimate = sparse_fill(planes, seen, atoms, CODED_TO, guess)
    for _ in progress_iter(range(GROUP_PASSES[quality]), "pass", verbose=verbose):
        estimate = np.where(seen != 0, planes, estimate)
        guide = estimate[0] if together else estimate.mean(axis=0)
        estimate = group_fill((planes, seen), estimate, guide, FILLING_SIGMA, rule=FILLING_RULE)
    return from_opponent(estimate) if together else estimate, atoms


def rough_fill(planes, seen):
    """Missing pixels from averages of those seen, as near as there are any."""
    observed, known = planes * seen, seen != 0
    filled = observed.copy()
    width = 1.0
    while not known.all() and width < max(planes.shape):
        near = gaussian_filter(seen, (0, width, width), truncate=3)
        means = gaussian_filter(observed, (0, width, width), truncate=3)
        fresh = ~known & (near > 1e-2)
        filled[fresh] = means[fresh] / near[fresh]
        known |= fresh
        width *= 2
    for c in range(len(planes)):  # a channel of which nothing, or very little, was seen
        filled[c][~known[c]] = observed.sum() / seen.sum()
    return filled
