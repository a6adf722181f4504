"""Blurred and subsampled images: a sparse denoiser in turn with the data, solved by FFT."""

from time import perf_counter
from typing import Literal, NamedTuple

import numpy as np
from scipy.fft import fft2, ifft2, irfft2, next_fast_len, rfft2
from scipy.ndimage import map_coordinates
from scipy.sparse.linalg import LinearOperator, cg

from csc._progress import progress_iter
from csc._typing import Array, ArrayLike, Rng
from csc._validation import check_choice, check_count, check_floats, check_scale
from csc.operators import Dictionary
from csc.restoration._colour import from_opponent, to_opponent
from csc.restoration._dictionary import shipped_atoms
from csc.restoration._groups import RULE, group_planes
from csc.restoration._images import Image, Restored, check_image, check_sigma
from csc.restoration._sparse_estimate import sparse_estimate

COUPLING = 0.23  # weight of the denoised image, relative to sigma^2 / sigma_k^2
ITERATIONS = {"best": 24, "fast": 12}
GROUPED_FRACTION = 1 / 3  # of the iterations, the last ones, use groups
FACTOR = 1.08  # as in `sparse_estimate`
FIRST_SIGMA = 35 / 255  # of the denoiser, for blur
FIRST_SIGMA_FINE = 14 / 255  # for subsampling, which starts from splines
MIN_SIGMA = 2 / 255
CG_TOL, CG_STEPS = 1e-2, 30  # of the data step where borders are unknown
RULE_HERE = RULE._replace(reach=12)


def deblur(
    y: ArrayLike,
    kernel: ArrayLike,
    sigma: float,
    *,
    boundary: Literal["reflect", "wrap"] = "reflect",
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Restore an image that a known kernel has blurred, and white noise disturbed.

    Two steps in turn, with less and less noise assumed (half-quadratic splitting [1]_): the sparse
    denoiser of `csc.restoration.denoise`, and the image that fits the data and is near what was
    denoised.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        The blurred image; the sharp one has pixels in [0, 1].
    kernel : (h, w) array
        Point spread function, centred at pixel ``(h // 2, w // 2)``; it is divided by its sum. The
        image was blurred as by ``scipy.ndimage.convolve(image, kernel)``.
    sigma : float
        Standard deviation of the noise.
    boundary : {"reflect", "wrap"}
        What lies outside the image: nothing known ("reflect": it is estimated as well, from a
        mirror image), or the opposite side.
    quality : {"best", "fast"}
        24 iterations or 12.
    rng : numpy.random.Generator or int
        Of where patches start.
    verbose : bool
        Whether to show progress.

    Returns
    -------
    Restored

    Raises
    ------
    ValueError
        If the kernel is larger than the image or has a sum that is not positive, or as `denoise`.

    References
    ----------
    .. [1] D. Zoran, Y. Weiss, "From learning models of natural image patches to whole image
       restoration", ICCV 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import uniform_filter
    >>> clean = np.kron(np.eye(4), np.ones((10, 10)))
    >>> y = uniform_filter(clean, 3, mode="wrap")
    >>> restored = deblur(y, np.ones((3, 3)), 1 / 255, boundary="wrap", quality="fast")
    >>> bool(abs(restored.image - clean).mean() < 0.3 * abs(y - clean).mean())
    True
    """
    start = perf_counter()
    image, sigma, kernel = check_image(y), check_sigma(sigma), check_kernel(kernel, y)
    check_choice("boundary", boundary, ("reflect", "wrap"))
    return _restored(_Observed(image, kernel, 1, sigma, boundary), quality, rng, start, verbose)


def super_resolve(
    y: ArrayLike,
    factor: int,
    kernel: ArrayLike,
    sigma: float = 1 / 255,
    *,
    quality: Literal["best", "fast"] = "best",
    rng: Rng = 0,
    verbose: bool = False,
) -> Restored:
    """Enlarge an image: find one that, blurred and subsampled, gives what was observed.

    Parameters
    ----------
    y : (H, W) or (C, H, W) float32 or float64 array
        Every ``factor``-th pixel of the blurred image, from the first.
    factor : int
        At least 2.
    kernel : (h, w) array
        Blur before the subsampling, on the pixels of the large image, as in `deblur`; divided by its
        sum. If each pixel of y is the mean of a block of the large image, use
        ``np.pad(np.ones((factor, factor)), (0, factor - 1))``.
    sigma : float
        Standard deviation of the noise; at least 0.5 / 255 is sensible for images of 8 bits.
    quality, rng, verbose
        As in `deblur`.

    Returns
    -------
    Restored
        ``image`` is (factor H, factor W), with channels as in ``y``.

    Examples
    --------
    >>> import numpy as np
    >>> super_resolve(np.zeros((3, 16, 16)), 2, np.ones((2, 2)), quality="fast").image.shape
    (3, 32, 32)
    """
    start = perf_counter()
    factor = check_count("factor", factor, low=2)
    image, sigma, kernel = check_image(y), check_sigma(sigma), check_kernel(kernel, y, factor)
    observed = _Observed(image, kernel, factor, sigma, "reflect")
    return _restored(observed, quality, rng, start, verbose)


def check_kernel(kernel: ArrayLike, y: Array, factor: int = 1) -> Array:
    """The kernel with sum 1, or what is wrong with it."""
    kernel = np.asarray(kernel)
    if kernel.dtype.kind not in "biuf":
        raise TypeError(f"kernel must hold real numbers, got {kernel.dtype}")
    kernel = check_floats("kernel", kernel.astype("float64"))
    check_scale("kernel", kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel must be (h, w), got shape {kernel.shape}")
    spatial_shape = tuple(factor * n for n in y.shape[-2:])
    if kernel.shape[0] > spatial_shape[0] or kernel.shape[1] > spatial_shape[1]:
        raise ValueError(f"kernel of shape {kernel.shape} is larger than the image {spatial_shape}")
    if not kernel.sum() > 0:
        raise ValueError(f"kernel must have a positive sum, got {kernel.sum():.3g}")
    return kernel / kernel.sum()


class _Data:
    """The data term 1/2 ||M (S H x - y)||^2 with blur H that wraps around, and subsampling S.

    M keeps the pixels of y in the slices ``observed``; None stands for all.
    """

    def __init__(self, y, kernel, factor, observed=None):
        self.factor, self.observed = factor, observed
        self.shape = tuple(factor * n for n in y.shape[-2:])
        centred = np.zeros(self.shape)
        centred[: kernel.shape[0], : kernel.shape[1]] = kernel
        centred = np.roll(centred, [-(n // 2) for n in kernel.shape], (0, 1))
        self.transfer, self.y = fft2(centred), fft2(y.astype("float64"))
        self.power = self._fold(np.abs(self.transfer) ** 2)

    def nearest(self, v, weight):
        """argmin_x 1/2 ||M (S H x - y)||^2 + weight/2 ||x - v||^2.

        With A = S H this is ``v + A^T M^T (M A A^T M^T + weight)^-1 M (y - A v)``, which divides by no
        small weight. The system is solved in closed form if M is the identity, else by conjugate
        gradients with that closed form as preconditioner.
        N. Zhao et al., "Fast single image super-resolution using a new analytical solution for
        l2-l2 problems", IEEE Trans. Image Process. 25(8), 2016, eq. (16).
        """
        spectrum = fft2(v.astype("float64"))
        residual = self.y - self._fold(self.transfer * spectrum)
        power = self.power + max(weight, np.finfo("float64").eps)
        solved = residual / power
        if self.observed is not None:
            solved = fft2([self._solve_observed(plane, power[0]) for plane in ifft2(residual).real])
        tiles = np.tile(solved, (1, self.factor, self.factor))
        x = spectrum + np.conj(self.transfer) * tiles
        return np.ascontiguousarray(ifft2(x).real, "float32")

    def _solve_observed(self, residual, power):
        """(M P M^T)^-1 M residual for P with the given power spectrum, 0 where nothing was observed."""
        padded, half = np.zeros_like(residual), power[:, : power.shape[1] // 2 + 1]
        observed = padded[self.observed]  # a view

        def product(spectrum, values):
            observed[:] = values.reshape(observed.shape)
            return irfft2(rfft2(padded) * spectrum, padded.shape)[self.observed].ravel()

        operator, inverse = (
            LinearOperator(
                (observed.size,) * 2, lambda values, s=s: product(s, values), dtype="float64"
            )
            for s in (half, 1 / half)
        )
        b = residual[self.observed].ravel()
        found, _ = cg(operator, b, rtol=CG_TOL, maxiter=CG_STEPS, M=inverse)
        observed[:] = found.reshape(observed.shape)
        return padded

    def _fold(self, spectrum):
        """Mean of the spectra that subsampling lays onto each other."""
        f = self.factor
        h, w = (n // f for n in self.shape)
        return spectrum.reshape(-1, f, h, f, w).mean(axis=(1, 3))


class _Observed(NamedTuple):
    """What was observed, and how: blurred by the kernel, then one pixel in ``factor`` kept per axis."""

    image: Image
    kernel: np.ndarray
    factor: int
    sigma: float
    boundary: str


def _restored(observed, quality, rng, start, verbose):
    """`Restored` of what `_restore` finds in an image of full range."""
    image = observed.image.in_full_range()
    sigma = np.ldexp(observed.sigma, -image.exponent)
    planes, message = _restore(
        observed._replace(image=image, sigma=sigma), quality, rng, verbose=verbose
    )
    atoms, seconds = Dictionary(shipped_atoms()), perf_counter() - start
    return Restored(image.like_input(planes), observed.sigma, atoms, seconds, message)


def _restore(observed, quality, rng, *, verbose):
    """The sharp planes, and what was done in a sentence."""
    (planes, *_), kernel, factor, sigma, boundary = observed
    check_choice("quality", quality, tuple(ITERATIONS))
    n_iter, rng, atoms = ITERATIONS[quality], np.random.default_rng(rng), shipped_atoms()
    padded, inside = to_opponent(planes), None
    if boundary == "reflect":
        padded, inside = _with_borders(padded, [-(-n // factor) for n in kernel.shape])
    data = _Data(padded, kernel, factor, inside)
    first = FIRST_SIGMA if factor == 1 else FIRST_SIGMA_FINE
    levels = np.geomspace(first, max(sigma, MIN_SIGMA), n_iter)
    n_grouped = round(GROUPED_FRACTION * n_iter)
    # a blurred image has no brighter or darker pixels than the sharp one
    low, high = min(0, planes.min()), max(1, planes.max())
    x = _enlarged(padded, factor) if factor > 1 else padded
    if factor == 1:
        x = data.nearest(x, COUPLING * (sigma / levels[0]) ** 2)
    for k in progress_iter(range(n_iter), "iteration", verbose=verbose):
        offset = tuple(rng.integers(0, 2, 2))
        limited = to_opponent(from_opponent(x).clip(low, high))
        v = sparse_estimate(limited, atoms, levels[k], step=2, offset=offset, factor=FACTOR)
        if k >= n_iter - n_grouped:
            v = group_planes(x, v, levels[k], rule=RULE_HERE, step=4)
        x = data.nearest(v, COUPLING * (sigma / levels[k]) ** 2)
    if inside is not None:
        v = v[:, *(slice(factor * s.start, factor * s.stop) for s in inside)]
    message = f"{n_iter} iterations of the denoiser and the data, {n_grouped} of them with groups"
    return from_opponent(v), message


def _with_borders(planes, margins):
    """Mirrored planes with borders of at least ``margins``, of a size with fast transforms, and where they are."""
    sizes = planes.shape[-2:]
    padded = [next_fast_len(n + 2 * m, real=True) for n, m in zip(sizes, margins, strict=True)]
    after = [p - n - m for p, n, m in zip(padded, sizes, margins, strict=True)]
    inside = tuple(slice(m, m + n) for n, m in zip(sizes, margins, strict=True))
    return np.pad(planes, [(0, 0), *zip(margins, after, strict=True)], "symmetric"), inside


def _enlarged(planes, factor):
    """Cubic splines through the pixels observed."""
    h, w = (factor * n for n in planes.shape[-2:])
    at = np.mgrid[:h, :w] / factor
    return np.stack([map_coordinates(p, at, order=3, mode="mirror") for p in planes]).astype(
        "float32"
    )
