"""The parts for methods of one's own: the search for similar patches, and estimates of groups."""

from typing import NamedTuple

import numpy as np

from csc._typing import Array, ArrayLike
from csc._validation import check_count
from csc.kernels import cpu
from csc.restoration._colour import to_opponent
from csc.restoration._groups import RULE, fitting, group_fill, group_filter
from csc.restoration._images import check_image, check_incomplete, check_sigma


class SimilarPatches(NamedTuple):
    """Where the patches most like some others are.

    Attributes
    ----------
    rows, columns : (G, n) integer arrays
        Upper left pixels, the most similar first: each patch is the first of its own.
    distances : (G, n) float32 array
        Squared Euclidean distances of the patches.

    Examples
    --------
    >>> import numpy as np, csc
    >>> found = csc.restoration.similar_patches(np.eye(12), [[0, 0]], size=4, n=3)
    >>> found.distances.tolist()
    [[0.0, 0.0, 0.0]]
    """

    rows: Array
    columns: Array
    distances: Array


def similar_patches(
    image: ArrayLike, positions: ArrayLike, *, size: int = 8, n: int = 64, reach: int = 15
) -> SimilarPatches:
    """Find the patches of an image that are most like those at some positions.

    The distance of two patches p and q is ||p - q||^2.

    Parameters
    ----------
    image : (H, W) or (C, H, W) float32 or float64 array
        Pixels in [0, 1]. Channels are compared by their mean times sqrt(C), the luminance.
    positions : (G, 2) integer array
        Rows and columns of the upper left pixels of the patches.
    size : int
        Side of a patch in pixels.
    n : int
        How many are found for each; fewer where the search covers fewer.
    reach : int
        The search goes up to this many pixels in each direction. Near an edge the same area is moved
        inside.

    Returns
    -------
    SimilarPatches

    Raises
    ------
    TypeError
        If ``image`` is no float array, or ``positions`` are no integers.
    ValueError
        If a patch leaves the image.

    Examples
    --------
    >>> import numpy as np, csc
    >>> stripes = np.tile([0.0, 1.0, 0.5, 0.2], (16, 8))
    >>> found = csc.restoration.similar_patches(stripes, [[4, 8]], n=5, reach=4)
    >>> sorted(set((found.columns[0] - 8).tolist()))  # the period of the stripes
    [-4, 0, 4]
    """
    image = check_image(image, "image")
    rule = _rule(image.shape, size, check_count("n", n), reach)
    at = np.asarray(positions)
    if at.dtype.kind not in "iu" or at.ndim != 2 or at.shape[1] != 2:
        raise TypeError(
            f"positions must be integers (G, 2), rows and columns, got {at.dtype} of shape {at.shape}"
        )
    most = np.array(image.shape[-2:]) - size
    if len(at) and (at.min() < 0 or (at > most).any()):
        raise ValueError(
            f"positions must be from (0, 0) to {tuple(map(int, most))}, so that patches of size {size} "
            f"stay in the image, got {at.min(axis=0).tolist()} to {at.max(axis=0).tolist()}"
        )
    shape = len(at), rule.members
    rows, columns = np.empty(shape, np.intp), np.empty(shape, np.intp)
    distances = np.empty(shape, "float32")
    guide = to_opponent(image.planes)[0]
    cpu.similar_patches(guide, at.astype(np.intp), rule, rows, columns, distances)
    return SimilarPatches(rows, columns, distances)


def group_estimate(  # noqa: PLR0913
    y: ArrayLike,
    pilot: ArrayLike,
    sigma: float,
    *,
    mask: ArrayLike | None = None,
    size: int = 8,
    members: int = 64,
    reach: int = 15,
    step: int = 3,
) -> Array:
    """Estimate an image from groups of similar patches in a first estimate of it, the pilot.

    Each group of patches of the pilot has a mean m and a covariance C. A patch y of the noisy image
    at the same place is estimated under that Gaussian [1]_:

        m + C (C + sigma^2 I)^-1 (y - m),

    and overlapping patches are averaged with weights 1 / (1 + tr C (C + sigma^2 I)^-1). With a mask
    M only the pixels seen of a patch enter [2]_:

        m + C M' (M C M' + sigma^2 I)^-1 (M y - M m),

    with C + sigma^2 I for C, for the four most similar patches of each group.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        The observed image. With channels, a patch is a vector of all of them; with a mask each
        channel is by itself.
    pilot : array of the shape of ``y``
        The first estimate, of all pixels.
    sigma : float
        Standard deviation of the noise.
    mask : array, optional
        1 where a pixel was observed, of a shape that broadcasts to that of ``y``.
    size : int
        Side of a patch in pixels.
    members : int
        Patches in a group; fewer where the search covers fewer.
    reach : int
        Similar patches are searched up to this many pixels away.
    step : int
        Pixels between the patches that groups are formed for; at most ``size``.

    Returns
    -------
    array of the shape and precision of ``y``
        Computed in float32. With a mask, groups are formed for patches with a missing pixel only, and
        a pixel in no patch that was estimated is that of the pilot.

    Raises
    ------
    TypeError
        If ``y`` or ``pilot`` is no float array.
    ValueError
        If the shapes differ, a patch does not fit into the image, or ``sigma`` is not positive.

    References
    ----------
    .. [1] M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image denoising algorithm",
       SIAM J. Imaging Sci. 6(3), 2013.
    .. [2] G. Yu, G. Sapiro, S. Mallat, "Solving inverse problems with piecewise linear
       estimators", IEEE Trans. Image Process. 21(5), 2012.

    Examples
    --------
    A second look at what a median filter leaves:

    >>> import numpy as np, csc
    >>> from scipy.ndimage import median_filter
    >>> clean = np.kron(np.eye(4), np.ones((8, 8)))
    >>> y = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    >>> pilot = median_filter(y, 3)
    >>> estimate = csc.restoration.group_estimate(y, pilot, 0.1)
    >>> bool(abs(estimate - clean).mean() < 0.7 * abs(pilot - clean).mean())
    True
    """
    image, seen = check_incomplete(y, mask)
    pilot, sigma = check_image(pilot, "pilot"), check_sigma(sigma)
    if pilot.shape != image.shape:
        raise ValueError(f"pilot has shape {pilot.shape}, y has {image.shape}; they must be equal")
    rule = _rule(image.shape, size, members, reach)
    if check_count("step", step) > size:
        raise ValueError(f"step = {step} is larger than size = {size}: pixels would be left out")
    guide = to_opponent(pilot.planes)[0]
    if seen.all():
        found = group_filter(image.planes, pilot.planes, sigma, guide, rule=rule, step=step)
    else:
        observed = image.planes, seen
        found = group_fill(observed, pilot.planes, guide, sigma, rule=rule, step=step)
    return image.like_input(found)


def _rule(shape, size, members, reach):
    """The rule of groups, or what is wrong with it."""
    rule = RULE._replace(
        size=check_count("size", size), members=check_count("members", members),
        reach=check_count("reach", reach),
    )  # fmt: skip
    if size > min(shape[-2:]):
        raise ValueError(f"size = {size} is larger than the image of shape {shape}")
    return fitting(rule, shape)
