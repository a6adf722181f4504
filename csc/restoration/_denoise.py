"""Denoising: a sparse estimate first, then groups of similar patches in it."""

from time import perf_counter
from typing import Literal

import numpy as np

from csc._progress import progress_iter
from csc._typing import ArrayLike, Rng
from csc._validation import check_choice, check_number
from csc.operators import Dictionary
from csc.restoration._colour import from_opponent, to_opponent
from csc.restoration._dictionary import Effort, given_atoms, learned_atoms
from csc.restoration._groups import group_colours, group_planes
from csc.restoration._images import LARGEST, Restored, check_image, check_sigma
from csc.restoration._noise import sigma_of
from csc.restoration._sparse_estimate import sparse_estimate

MIN_SIGMA = 1e-3  # a quarter of a grey level of 255: less noise is left as it is
LEARNING_LMBDA = 2.0  # times sigma
LEARNING_PASSES = 3
LEARNING_PATCHES = 40_000
# Patches of an estimate vary less than those of the clean image. Groups make up for that by taking
# the variance of the noise for less than it is: this share of it. Chosen on six photographs.
FIRST_SHARE = 0.8
SECOND_SHARE = ((10 / 255, 0.8), (50 / 255, 0.5))  # at these sigmas, and between them
COLOUR_SHARE = 0.7
STEP = {"best": 3, "fast": 4}  # pixels between the references of groups


def denoise(
    y: ArrayLike,
    sigma: float | None = None,
    *,
    dictionary: Dictionary | ArrayLike | None = None,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Remove white Gaussian noise from an image.

    Every patch of 8 x 8 pixels is coded by the fewest atoms that explain it up to the noise
    (`csc.solvers.OMP`), and overlapping patches are averaged with weights [1]_. In that estimate
    each patch is grouped with those most like it; a Gaussian fitted to the group gives a better
    estimate of its noisy patches [2]_. This second step is structured, not l0-sparse, coding;
    ``quality="best"`` takes it twice.
    Colour is treated after an orthonormal transform along the channels, luminance first.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        The noisy image; the clean one has pixels in [0, 1].
    sigma : float, optional
        Standard deviation of the noise, the same in all channels; by default `estimate_sigma`.
    dictionary : Dictionary or (K, 1, p, p) array, optional
        Atoms of the first step; by default 256 of 8 x 8 pixels that ship with the package. With
        ``quality="best"`` learning starts from them.
    quality : {"best", "fast"}
        ``"best"`` learns the atoms from the noisy image first if it is grey, which takes half of
        its time. In colour learning gains nothing; there a third step groups patches of all
        channels.
    rng : numpy.random.Generator or int
        Of the patches that are learned from.
    verbose : bool
        Whether to show progress.

    Returns
    -------
    Restored
        In float32 inside, whatever the precision of ``y``. The result is the same for any number
        of threads, and memory grows with the image by a few images of its size.

    Raises
    ------
    TypeError
        If ``y`` is no float array.
    ValueError
        If ``y`` has NaN, channels last or values far from [0, 1], or ``sigma`` is not positive.

    References
    ----------
    .. [1] M. Elad, M. Aharon, "Image denoising via sparse and redundant representations over
       learned dictionaries", IEEE Trans. Image Process. 15(12), 2006.
    .. [2] M. Lebrun, A. Buades, J.-M. Morel, "A nonlocal Bayesian image denoising algorithm",
       SIAM J. Imaging Sci. 6(3), 2013.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.kron(np.eye(4, dtype="float32"), np.ones((8, 8), "float32"))
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(clean.shape).astype("float32")
    >>> restored = denoise(clean + noise, sigma=0.1, quality="fast")
    >>> bool(abs(restored.image - clean).mean() < 0.3 * abs(noise).mean())
    True
    """
    start = perf_counter()
    image = check_image(y)
    check_choice("quality", quality, ("best", "fast"))
    atoms = given_atoms(dictionary, image.shape)
    given = sigma is not None
    sigma = check_sigma(sigma) if given else sigma_of(image)
    source = "given" if given else "estimated"
    image = image.in_full_range()
    level = float(np.ldexp(sigma, -image.exponent))
    if level < MIN_SIGMA:
        kept, least = image.original.copy(), np.ldexp(MIN_SIGMA, image.exponent)
        message = f"noise ({source}) is below {least:.3g}: nothing was changed"
        return Restored(kept, sigma, Dictionary(atoms), perf_counter() - start, message)
    planes = to_opponent(image.planes)
    learning = quality == "best" and len(planes) == 1
    if learning:
        atoms = _learned(planes, level, atoms, np.random.default_rng(rng))
    restored = _in_steps(planes, atoms, level, quality, verbose)
    how = "learned from the image" if learning else "given" if dictionary is not None else "shipped"
    message = (
        f"noise {source}; {len(atoms)} atoms, {how}; a sparse estimate, then groups of similar "
        "patches"
    )
    restored = image.like_input(from_opponent(restored))
    return Restored(restored, sigma, Dictionary(atoms), perf_counter() - start, message)


def _in_steps(planes, atoms, sigma, quality, verbose):
    """The sparse estimate, then those of groups: one, two, or in colour three."""
    step, colour = STEP[quality], len(planes) > 1
    first, second = (
        sigma * np.sqrt(share) for share in (FIRST_SHARE, _second_share(sigma, colour))
    )
    steps = [
        lambda _: sparse_estimate(planes, atoms, sigma),
        lambda pilot: group_planes(planes, pilot, first, step=step),
    ]
    if quality == "best":
        steps.append(lambda pilot: group_planes(planes, pilot, second, step=step))
    if quality == "best" and colour:
        steps.append(lambda pilot: group_colours(planes, pilot, second, step=step))
    estimate = None
    for take in progress_iter(steps, "step", verbose=verbose):
        estimate = take(estimate)
    return estimate


def _second_share(sigma, colour):
    """The more noise, the more the first estimate lacks."""
    return COLOUR_SHARE if colour else np.interp(sigma, *zip(*SECOND_SHARE, strict=True))


def _learned(plane, sigma, atoms, rng):
    """Atoms learned from a noisy plane ``(1, H, W)``, from atoms to start with."""
    lmbda, step = LEARNING_LMBDA * sigma, _step(plane.shape)
    effort = Effort(step, LEARNING_PATCHES, LEARNING_PASSES)
    return learned_atoms(plane, lmbda, atoms, effort, rng)


def _step(shape):
    """A step at which even a large image gives no more patches than fit into memory."""
    return max(1, int(np.sqrt(shape[-2] * shape[-1] / 250_000)))


def denoise_poisson(
    y: ArrayLike,
    peak: float,
    *,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Remove Poisson noise, as of counted photons.

    Anscombe's transform makes the variance of counts one, `denoise` removes that noise, and the
    exact unbiased inverse [1]_ leads back.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        Counts divided by ``peak``.
    peak : float
        Mean count of a pixel of value 1: ``peak * y`` has a Poisson distribution.
    quality, rng, verbose
        As in `denoise`.

    Returns
    -------
    Restored
        ``sigma`` is that of the transformed image, whose largest pixel for a clean image is 1.

    Notes
    -----
    The transform needs about four counts or more in a bright pixel. Below, its noise is not Gaussian: at
    ``peak=2`` a Gaussian filter of the best width is about as good, at ``peak=1`` it can be better.

    References
    ----------
    .. [1] M. Makitalo, A. Foi, "A closed-form approximation of the exact unbiased inverse of the
       Anscombe variance-stabilizing transformation", IEEE Trans. Image Process. 20(9), 2011.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.random.default_rng(0).poisson(20 * np.full((32, 32), 0.5)) / 20
    >>> restored = denoise_poisson(y, 20, quality="fast")
    >>> bool(abs(restored.image - 0.5).mean() < 0.03)
    True
    """
    peak = check_number("peak", peak, strict=True)
    image = check_image(y, largest=max(LARGEST, 1 + LARGEST / peak), unit="peak")
    if image.planes.min() < 0:
        raise ValueError(
            f"y has negative values, down to {image.planes.min():.3g}; counts have none"
        )
    top = 2 * np.sqrt(peak + 3 / 8)
    stable = 2 * np.sqrt(peak * image.planes + 3 / 8) / top
    restored = denoise(stable, 1 / top, quality=quality, rng=rng, verbose=verbose)
    z = np.maximum(top * restored.image.astype("float64"), 2 * np.sqrt(3 / 8))
    root = np.sqrt(3 / 2)
    counts = z**2 / 4 - 1 / 8 + root / (4 * z) - 11 / (8 * z**2) + 5 * root / (8 * z**3)
    return restored._replace(image=image.like_input(np.maximum(counts, 0) / peak))
