"""Impulses: pixels that hold nothing of the image are found, and then filled as missing."""

from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import median_filter, uniform_filter

from csc._progress import progress_iter
from csc._typing import ArrayLike, Rng
from csc._validation import check_choice
from csc.restoration._dictionary import shipped_atoms
from csc.restoration._groups import group_planes
from csc.restoration._images import Restored, check_image
from csc.restoration._inpaint import inpaint
from csc.restoration._sparse_estimate import sparse_estimate

SATURATED_SHARE = 0.6  # of a neighbourhood with the same extreme value: not impulses
FAR = 0.08  # from a robust estimate: an impulse
MEDIAN_SIZE = 3  # pixels, of the filter that gives the first estimate


class _Search(NamedTuple):
    """How a robust estimate is found.

    Attributes
    ----------
    levels : array
        Standard deviations of the noise assumed, one iteration for each.
    pull : float
        The most by which data draw an estimate, in units of that noise.
    """

    levels: np.ndarray
    pull: float


# The first starts from impulses that a median left; the second from an image without most of them,
# so that data may draw more.
SEARCHES = (
    _Search(np.geomspace(35 / 255, 8 / 255, 5, dtype="float32"), 1.0),
    _Search(np.geomspace(20 / 255, 6 / 255, 3, dtype="float32"), 1.5),
)


def remove_impulses(
    y: ArrayLike,
    *,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Remove salt-and-pepper noise: pixels that are 0 or 1 for no reason in the image.

    A pixel at 0 or below, or at 1 or above, is taken for an impulse, unless more than 60 % of the 5 x 5
    pixels around it are at the same end: that is a black or white area. Impulses are filled by
    `inpaint`. Impulses of other values are not found: see `remove_random_impulses`.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        Image with pixels in [0, 1].
    quality, rng, verbose
        As in `inpaint`.

    Returns
    -------
    Restored

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.add.outer(np.arange(1, 33), np.arange(32.0)) / 70
    >>> u = np.random.default_rng(0).random(clean.shape)
    >>> restored = remove_impulses(np.where(u < 0.1, 0, np.where(u > 0.9, 1, clean)), quality="fast")
    >>> bool(abs(restored.image - clean).max() < 0.05)
    True
    """
    image = check_image(y)
    impulse = np.zeros(image.planes.shape, bool)
    for extreme in (image.planes <= 0, image.planes >= 1):
        share = uniform_filter(extreme.astype("float32"), (0, 5, 5))
        impulse |= extreme & (share <= SATURATED_SHARE)
    return _filled(y, image, impulse, quality=quality, rng=rng, verbose=verbose)


def remove_random_impulses(
    y: ArrayLike,
    *,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Remove impulses of any value: pixels that have nothing to do with the image.

    An estimate with a robust data term, sum |y - x|, finds them: its proximal operator moves an
    estimate towards the data by a small step at most, in turn with the denoiser of `denoise`, with less and
    less noise assumed. Pixels that stay further than 0.08 from that estimate are taken for impulses
    and filled by `inpaint`; nearer ones stay as they are. This is done twice, the second time from
    what the first one gave.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        Image with pixels in [0, 1]. Each channel has impulses of its own.
    quality, rng, verbose
        As in `inpaint`.

    Returns
    -------
    Restored

    Notes
    -----
    Fine detail that differs by more than 0.08 from what surrounds it is lost. For impulses at 0 and 1
    only, `remove_impulses` is better: it finds them by their value.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.add.outer(np.arange(1, 33), np.arange(32.0)) / 70
    >>> rng = np.random.default_rng(0)
    >>> y = np.where(rng.random(clean.shape) < 0.2, rng.random(clean.shape), clean)
    >>> restored = remove_random_impulses(y, quality="fast")
    >>> bool(abs(restored.image - clean).mean() < 0.1 * abs(y - clean).mean())
    True
    """
    image = check_image(y)
    check_choice("quality", quality, ("best", "fast"))
    estimate = median_filter(image.planes, (1, MEDIAN_SIZE, MEDIAN_SIZE))
    for search in progress_iter(SEARCHES, "search", verbose=verbose):
        near = abs(image.planes - _robust(image.planes, estimate, search)) < FAR
        if search is not SEARCHES[-1]:
            estimate = inpaint(image.planes, near, quality="fast", rng=rng).image
    return _filled(y, image, ~near, quality=quality, rng=rng, verbose=verbose)


def _robust(planes, x, search):
    """Lower sum |y - x| plus the penalty of the sparse codes of x, from a first estimate ``x``."""
    for level in search.levels:
        drawn = x + np.clip(planes - x, -search.pull * level, search.pull * level)
        x = sparse_estimate(drawn, shipped_atoms(), level, step=2)
        x = group_planes(drawn, x, level, step=4)
    return x


def _filled(y, image, impulse, **options):
    """`inpaint` what is no impulse."""
    if impulse.all():
        raise ValueError("every pixel of y is taken for an impulse: nothing of the image is left")
    restored = inpaint(y, ~impulse.reshape(image.shape), **options)
    return restored._replace(
        message=f"{impulse.mean():.1%} of the pixels were impulses; {restored.message}"
    )
