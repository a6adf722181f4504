"""Whitening of images and patches, and local contrast normalisation."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from scipy import fft, ndimage

from csc._typing import Array
from csc._validation import (
    MOST_COLOURS,
    check_choice,
    check_count,
    check_floats,
    check_number,
    check_scale,
)

FILL = (
    "the filter needs a value at every pixel: fill the gaps, for example with "
    "skimage.restoration.inpaint_biharmonic, and pass the mask to the solver or learner"
)


def whiten(
    image: Array,
    f0: float = 0.4,
    order: float = 4,
    *,
    variance: float | None = None,
    ndim: int | None = None,
) -> Array:
    """Filter an image with the gain R(f) = f exp(-(f / f0)^order) of Olshausen & Field [1]_.

    The amplitude spectrum of natural images falls roughly as 1/f: the factor f flattens it, and
    the exponential removes the highest frequencies, which are dominated by noise and by the
    corners of the square sampling lattice. R(0) = 0, so the mean is removed.

    The image is extended by mirror reflection (the filter is applied to the discrete cosine
    transform). A circular Fourier transform would create a false edge between opposite borders.

    Parameters
    ----------
    image : (..., H, W) float32 or float64 array
        One image or a stack, of any size; the last two axes are filtered. NaN and masked
        values are not allowed.
    f0 : float
        Cut-off in cycles per pixel. The published value, 200 cycles per picture of 512 pixels, is
        0.4 times the width in the authors' code: 0.4 cycles per pixel [1]_.
    order : float
        Steepness of the cut-off.
    variance : float, optional
        Scale the whole result by one factor to this mean variance; 0.1 in the published recipe.
        By default the result is not scaled, and the gain is R(f).
    ndim : int, optional
        Number of last axes that are filtered: 1 for series ``(..., T)``, 2 for images, 3 for
        volumes. By default 2, and stacks that look like series or like images with channels last
        raise an error.

    Returns
    -------
    whitened : (..., H, W) array
        In the dtype of ``image``.

    Raises
    ------
    TypeError
        If ``image`` is not a float array or has masked entries, or a parameter is not a number.
    ValueError
        If ``image`` has axes other than (..., H, W) or holds NaN, if a parameter is not positive,
        or if a constant image is to be scaled to a variance.

    References
    ----------
    .. [1] B. A. Olshausen, D. J. Field, "Sparse coding with an overcomplete basis set: a strategy
       employed by V1?", Vision Research 37(23), 1997; and the code `sparsenet`.

    Examples
    --------
    A wave of 1/8 cycle per pixel is multiplied by the gain R(1/8):

    >>> import numpy as np
    >>> wave = np.cos(2 * np.pi / 8 * (np.arange(64) + 0.5)) * np.ones((48, 1))
    >>> gain = whiten(wave) / wave
    >>> bool(np.allclose(gain, 0.125 * np.exp(-((0.125 / 0.4) ** 4))))
    True
    """
    image, axes = _checked("image", image, ndim)
    check_number("f0", f0, strict=True)
    check_number("order", order, strict=True)
    if variance is not None:
        check_number("variance", variance, strict=True)
        check_scale("image", image)
        if not np.ptp(image, axis=axes).any():
            raise ValueError("image is constant: it cannot have a variance; leave it out")
    # the k-th cosine of n samples has k / 2n cycles per pixel
    along = [np.arange(image.shape[axis]) / (2 * image.shape[axis]) for axis in axes]
    f = reduce(np.hypot, np.ix_(*along))
    R = (f * np.exp(-((f / f0) ** order))).astype(image.dtype)
    whitened = fft.idctn(R * fft.dctn(image, axes=axes), axes=axes)
    if variance is not None:
        mean_variance = np.mean(whitened * whitened, dtype=np.float64)  # each has zero mean
        whitened *= whitened.dtype.type(np.sqrt(variance / mean_variance))
    return whitened


def local_contrast_normalise(
    image: Array, sigma: float = 4.0, eps: float = 0.02, *, ndim: int | None = None
) -> Array:
    r"""Subtract the local mean, then divide by the local standard deviation (``eps`` or more).

    With the Gaussian average G of width ``sigma``

    .. math::  v = x - G x, \qquad  y = v / \max(\sqrt{G v^2}, \epsilon),

    the local normalisation of Jarrett et al. [1]_ with a fixed floor. Each image plane is
    normalised separately; borders are extended by mirror reflection.

    Parameters
    ----------
    image : (..., H, W) float32 or float64 array
        One image or a stack; the last two axes are averaged over. NaN and masked values are not
        allowed.
    sigma : float
        Standard deviation of the Gaussian in pixels.
    eps : float
        Floor of the local standard deviation, in the units of the image: weaker contrast counts
        as noise and is not amplified to one.
    ndim : int, optional
        Number of last axes that are averaged over: 1 for series ``(..., T)``, 2 for images, 3 for
        volumes. By default 2, and stacks that look like series or like images with channels last
        raise an error.

    Returns
    -------
    normalised : (..., H, W) array
        In the dtype of ``image``.

    Raises
    ------
    TypeError
        If ``image`` is not a float array or has masked entries, or a parameter is not a number.
    ValueError
        If ``image`` has axes other than (..., H, W) or holds NaN, or if a parameter is not
        positive.

    References
    ----------
    .. [1] K. Jarrett, K. Kavukcuoglu, M. Ranzato, Y. LeCun, "What is the best multi-stage
       architecture for object recognition?", ICCV 2009.

    Examples
    --------
    The result does not depend on the contrast of a texture:

    >>> import numpy as np
    >>> texture = np.random.default_rng(0).standard_normal((32, 32))
    >>> strong, weak = (local_contrast_normalise(c * texture) for c in (1.0, 0.1))
    >>> bool(np.allclose(strong, weak))
    True
    """
    image, axes = _checked("image", image, ndim)
    check_number("sigma", sigma, strict=True)
    check_number("eps", eps, strict=True)
    check_scale("image", image)

    def G(a):
        return ndimage.gaussian_filter(a, sigma, mode="reflect", axes=axes)

    v = image - G(image)
    return v / np.maximum(np.sqrt(G(v * v)), image.dtype.type(eps))


@dataclass(eq=False)
class ZCA:
    r"""Whiten patches with the symmetric square root of their inverse covariance.

    With the covariance C = U diag(e) U^T of the flattened patches and m the mean of e,

    .. math::  y = W (x - \bar x), \qquad  W = U \, diag(1 / \sqrt{e + eps \, m}) \, U^T,

    so that y has covariance I where e is well above eps m. Of all whitening matrices this one
    changes the patches least [1]_: they still look like patches. The class is a scikit-learn
    transformer, for pipelines and `sklearn.base.clone`.

    Parameters
    ----------
    eps : float
        Regularisation relative to the mean eigenvalue, independent of the units of X. It prevents
        division by zero in directions without variance (the mean, if it was subtracted from each
        patch).

    Attributes
    ----------
    mean_ : (*F) float array
        Mean patch.
    whitening_, dewhitening_ : (P, P) float array
        W and its inverse, for patches flattened to P numbers.
    n_features_in_ : int
        P.

    References
    ----------
    .. [1] A. J. Bell, T. J. Sejnowski, "The 'independent components' of natural scenes are edge
       filters", Vision Research 37(23), 1997.

    Examples
    --------
    >>> import numpy as np
    >>> mixing = np.random.default_rng(0).standard_normal((12, 12))
    >>> patches = np.random.default_rng(1).standard_normal((500, 12)) @ mixing
    >>> whitened = ZCA(eps=1e-12).fit_transform(patches.reshape(500, 1, 3, 4))
    >>> whitened.shape, bool(np.allclose(np.cov(whitened.reshape(500, -1).T), np.eye(12)))
    ((500, 1, 3, 4), True)
    """

    eps: float = 1e-5

    def fit(self, X: Array, y: object = None) -> "ZCA":  # noqa: ARG002
        """Learn the mean and the whitening matrix of patches X ``(N, *F)``, N at least 2."""
        check_number("eps", self.eps, strict=True)
        X = check_floats("X", X)
        if X.ndim < 2 or len(X) < 2:
            raise ValueError(f"X must be (N, *F) with N >= 2 patches, got shape {X.shape}")
        check_scale("X", X)
        if not np.ptp(X, axis=0).any():
            raise ValueError("X holds the same patch throughout; its covariance is zero")
        mean = X.mean(axis=0, dtype=np.float64)
        e, U = np.linalg.eigh(_covariance(X, mean))
        scale = np.sqrt(np.maximum(e, 0) + self.eps * e.mean())
        self.mean_ = mean.astype(X.dtype)
        self.whitening_ = ((U / scale) @ U.T).astype(X.dtype)
        self.dewhitening_ = ((U * scale) @ U.T).astype(X.dtype)
        self.n_features_in_ = len(e)
        return self

    def transform(self, X: Array) -> Array:
        """Return the whitened patches y, shaped like X."""
        X, mean, W = self._fitted(X, "whitening_")
        return ((X - mean).reshape(len(X), -1) @ W).reshape(X.shape)

    def fit_transform(self, X: Array, y: object = None) -> Array:
        """Fit to X and return it whitened."""
        return self.fit(X, y).transform(X)

    def inverse_transform(self, X: Array) -> Array:
        """Return the patches whose whitened versions are X, shaped like X."""
        X, mean, inverse = self._fitted(X, "dewhitening_")
        return (X.reshape(len(X), -1) @ inverse).reshape(X.shape) + mean

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters by name."""
        return {"eps": self.eps}

    def set_params(self, **params: Any) -> "ZCA":
        """Set parameters by name and return self."""
        for name, value in params.items():
            check_choice("parameters", name, self.get_params())
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self):
        """Describe this estimator to scikit-learn, which `csc.images` does not import itself."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        transformer = TransformerTags(preserves_dtype=["float32", "float64"])
        patches = InputTags(two_d_array=True, three_d_array=True)  # more axes are allowed too
        return Tags(None, TargetTags(required=False), transformer, input_tags=patches)

    def _fitted(self, X, matrix):
        """Check X; return it with the mean and a matrix in its dtype."""
        if not hasattr(self, "mean_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this ZCA has seen no patches yet; call fit first")
        X = check_floats("X", X)
        if X.shape[1:] != self.mean_.shape:
            raise ValueError(
                f"X must be (N, *F) with patches of shape {self.mean_.shape} as in fit, got shape "
                f"{X.shape}"
            )
        return X, *(a.astype(X.dtype, copy=False) for a in (self.mean_, getattr(self, matrix)))


def _covariance(X, mean):
    """Return the float64 sample covariance of patches, without a float64 copy of all of them."""
    covariance = np.zeros((mean.size, mean.size))
    for start in range(0, len(X), 4096):
        centred = (X[start : start + 4096] - mean).reshape(-1, mean.size)
        covariance += centred.T @ centred
    return covariance / (len(X) - 1)


def _checked(name, image, ndim):
    """Check an image; return it and its pixel axes, counted from the end."""
    if np.ma.is_masked(image):
        raise TypeError(f"{name} is a masked array with masked entries; {FILL}")
    image = check_floats(name, image, hint=FILL)
    if ndim is not None and check_count("ndim", ndim) > 3:
        raise ValueError(f"ndim must be 1, 2 or 3, got {ndim}")
    if image.ndim < (ndim or 2):
        hint = "for a series (..., T) pass ndim=1" if ndim is None else f"ndim is {ndim}"
        raise ValueError(f"{name} must be (..., H, W), got shape {image.shape}; {hint}")
    if ndim is None and image.ndim > 2:  # a stack
        _check_stack(name, image.shape)
    return image, tuple(range(-(ndim or 2), 0))


def _check_stack(name, shape):
    """Raise an error for a stack of images with an axis that looks like channels."""
    H, W = shape[-2:]
    if W <= MOST_COLOURS < H:
        raise ValueError(
            f"{name} must be (..., H, W), got shape {shape}, whose last axis looks like channels; "
            f"pass numpy.moveaxis({name}, -1, -3), or ndim=2 if images are {W} pixels wide"
        )
    if H <= MOST_COLOURS < W:
        raise ValueError(
            f"{name} must be (..., H, W), got shape {shape}, which looks like series (N, C, T); "
            f"pass ndim=1 to filter their last axis, or ndim=2 if images are {H} pixels high"
        )
