"""What comes in and what goes out: images ``(H, W)`` or ``(C, H, W)``, and `Restored`."""

from typing import NamedTuple

import numpy as np

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_floats, check_number, fill_missing, split_missing

SMALLEST = 8  # pixels, the shortest side of an image
MAX_CHANNELS = 16  # a longer first axis is one of the image
LARGEST = 10.0  # modulus of a noisy pixel: more is another unit


class Restored(NamedTuple):
    """A restored image, and how it was made.

    Attributes
    ----------
    image : (H, W) or (C, H, W) array
        Of the shape and precision of the input. Values are not clipped to [0, 1].
    sigma : float
        Standard deviation of the noise: as given, or as estimated.
    dictionary : csc.Dictionary
        The atoms that were used.
    seconds : float
        Time that it took.
    message : str
        What was done, in a sentence.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.restoration.denoise(np.full((16, 16), 0.5)).message
    'noise (estimated) is below 0.001: nothing was changed'
    """

    image: Array
    sigma: float
    dictionary: object
    seconds: float
    message: str

    def __repr__(self):
        return (
            f"Restored(image {'x'.join(map(str, self.image.shape))}, sigma={self.sigma:.4g}, "
            f"{self.seconds:.2f} s: {self.message})"
        )


class Image(NamedTuple):
    """An image that was checked.

    Attributes
    ----------
    planes : (C, H, W) float32 array
    original : (H, W) or (C, H, W) array
        In the precision that the user gave; 0 where a pixel is missing.
    exponent : int
        ``planes`` are ``original / 2^exponent``.
    """

    planes: Array
    original: Array
    exponent: int = 0

    @property
    def shape(self):
        """Of what the user gave."""
        return self.original.shape

    def like_input(self, planes):
        """Planes in the shape, precision and range of the input."""
        planes = planes.reshape(*self.shape[:-2], *planes.shape[-2:])
        return np.ldexp(planes.astype(self.original.dtype), self.exponent)

    def in_full_range(self):
        """A dark image times a power of two, so that its largest modulus is above 1/2.

        Levels at which a patch is coded well enough are those of such images.
        """
        exponent = min(0, int(np.frexp(abs(self.original).max())[1]))
        planes = np.ldexp(self.original, -exponent).astype("float32")
        return self._replace(planes=planes.reshape(self.planes.shape), exponent=exponent)


def check_image(y, name="y", *, largest=LARGEST, unit="255"):
    """The image as float32 planes, or an error that says what to do.

    ``largest`` is the largest modulus of a pixel, and ``unit`` what larger ones may be divided by.
    """
    y, mask = split_missing(y, None, name)
    if mask is not None:
        raise ValueError(
            f"{name} holds NaN or masked pixels, which are missing; "
            "csc.restoration.inpaint estimates them"
        )
    return _planes(y, name, largest, unit)


def check_incomplete(y, mask):
    """The image with zeros where pixels are missing, and a mask ``(C, H, W)`` of those seen."""
    y, mask = split_missing(y, mask, "y")
    if mask is None:
        mask = np.ones(y.shape, bool)
    y, mask = fill_missing(y, mask, "y")
    image = _planes(y, "y")
    return image, np.ascontiguousarray(mask.reshape(image.planes.shape), "float32")


def _planes(y, name, largest=LARGEST, unit="255"):
    y = check_floats(name, y)
    if namespace(y) is not np:
        raise TypeError(f"{name} must be a NumPy array; use csc.to_device({name}, 'cpu')")
    if y.ndim not in (2, 3):
        raise ValueError(f"{name} must be (H, W) or (C, H, W), got shape {y.shape}")
    if y.ndim == 3 and y.shape[0] > 4 and y.shape[-1] <= 4:
        raise ValueError(
            f"{name} of shape {y.shape} has its channels last; use numpy.moveaxis({name}, -1, 0)"
        )
    if y.ndim == 3 and y.shape[0] > MAX_CHANNELS:
        raise ValueError(
            f"{name} of shape {y.shape} has {y.shape[0]} channels, more than {MAX_CHANNELS}; for a "
            f"batch restore one image at a time"
        )
    if min(y.shape[-2:]) < SMALLEST:
        raise ValueError(
            f"{name} of shape {y.shape} is smaller than {SMALLEST} x {SMALLEST} pixels; "
            "pad it, for example with numpy.pad(..., mode='reflect')"
        )
    low, high = float(y.min()), float(y.max())
    if max(-low, high) > largest:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}, but pixels go from 0 to 1 (noise may "
            f"leave that range a little); use {name} / {unit}, say"
        )
    planes = np.ascontiguousarray(y if y.ndim == 3 else y[None], "float32")
    return Image(planes, y)


def check_sigma(sigma):
    """The standard deviation of noise, on the scale of pixels in [0, 1]."""
    sigma = float(check_number("sigma", sigma, strict=True))
    if sigma > 2:
        raise ValueError(
            f"sigma = {sigma} is too large for pixels from 0 to 1; for one on the scale of 0 to 255 "
            "pass sigma / 255"
        )
    return sigma
