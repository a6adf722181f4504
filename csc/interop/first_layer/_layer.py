"""`FirstLayer`, and its construction from raw arrays."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from csc._repr_html import card
from csc._validation import check_choice, check_floats, check_number

COLOURS = ("RGB", "BGR")
UNKNOWN = "unknown"
CHANNELS = (*COLOURS, "grey", UNKNOWN)
OIHW, HWIO = "OIHW", "HWIO"  # (K, C, h, w), as here and in PyTorch; (h, w, C, K), as in Keras
MAX_FILTER_SIZE = 32  # pixels per axis, in known networks
MAX_LISTED = 8  # names in a message
EPS = 1e-5  # of batch normalisations that do not state it: the default of PyTorch and ONNX


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """Filters of the first convolution of a network.

    A network correlates: its first layer computes ``conv(x, weights) + bias``, without flipping
    the weights. The weights can be used as atoms without changes.

    Parameters
    ----------
    weights : (K, C, h, w) float32 array
    bias : (K,) float32 array or None
        None where the layer has none.
    stride : (int, int) or None
        None where the source does not state it, as for plain arrays.
    name : str
        Source of the weights.
    channels : {"RGB", "BGR", "grey", "unknown"}
        Order of the C channels.

    Examples
    --------
    >>> import numpy as np, csc
    >>> layer = csc.interop.load_first_layer({"weight": np.ones((2, 1, 3, 3), "float32")})
    >>> layer.channels, csc.Dictionary(layer.weights).n_atoms
    ('grey', 2)
    """

    weights: np.ndarray
    bias: np.ndarray | None
    stride: tuple | None
    name: str
    channels: str

    def __repr__(self):
        K, _, h, w = self.weights.shape
        stride = "unknown" if self.stride is None else "x".join(map(str, self.stride))
        bias = "no bias" if self.bias is None else "with bias"
        parts = repr(self.name), f"{K} filters {h}x{w}", self.channels, f"stride {stride}", bias
        return f"FirstLayer({', '.join(parts)})"

    def _repr_html_(self):
        return card(repr(self), self.weights)


class Norm(NamedTuple):
    """A batch normalisation in inference mode; every array (K,)."""

    scale: object
    shift: object
    mean: object
    variance: object
    eps: float = EPS


class Found(NamedTuple):
    """A first layer as read from its source: arrays or tensors of any type, unchecked."""

    weights: object
    bias: object
    name: str
    stride: tuple | None = None
    norm: Norm | None = None
    channels: str = UNKNOWN
    layout: str | None = None  # of the axes of the weights, if known


def finished(found, fold, channels, order):
    """Check a layer that a reader found; fold the normalisation and reorder channels on request."""
    weights = _weights(found.weights, found.name, found.layout)
    bias = None if found.bias is None else _vector("bias", found.bias, found.name, len(weights))
    if fold:
        weights, bias = _folded(weights, bias, found)
    channels = _channels(found.channels if channels is None else channels, weights.shape[1])
    weights, bias = _float32("weights", weights, found.name), _float32("bias", bias, found.name)
    layer = FirstLayer(weights, bias, found.stride, found.name, channels)
    return layer if order is None else _ordered(layer, order)


def listed(names):
    """Join names for a message; only the first ones if there are many."""
    names = list(names)
    shown = ", ".join(names[:MAX_LISTED]) or "none"
    return f"{shown} and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else shown


def host(name, values):
    """Copy an array or tensor of any float type to the host, in float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise TypeError(
            f"{name} must be floating-point numbers, got {values.dtype}; convert them to float32 "
            "(quantised weights: multiply them by their scale)"
        )
    with np.errstate(invalid="ignore"):  # check_floats below raises for NaN
        values = values.astype(np.float64)
    return check_floats(name, values)


def may_be_rows_first(shape):
    """Whether an array of this shape may be (h, w, C, K), as in TensorFlow, Keras and Flax."""
    a, b, c, d = shape
    if max(a, b) > MAX_FILTER_SIZE:
        return False
    if a == b:  # as many filters as channels, or a square filter
        return not c == d < a
    return max(c, d) > MAX_FILTER_SIZE and (c != d or b not in (1, 3))


def _weights(values, source, layout):
    weights = host(f"weights ({source})", values)
    shape = weights.shape
    if weights.ndim != 4:
        raise ValueError(
            f"weights ({source}) must be (K, C, h, w), got shape {shape}; filters without channels "
            "need them: weights[:, None]"
        )
    if layout is None and may_be_rows_first(shape):
        raise ValueError(
            f"weights ({source}) of shape {shape} may be (K, C, h, w), or (h, w, C, K) as in Keras "
            "and Flax; say which, layout='OIHW' or 'HWIO'"
        )
    return weights.transpose(3, 2, 0, 1) if layout == HWIO else weights


def _vector(what, values, source, K):
    values = host(f"{what} ({source})", values)
    if values.shape != (K,):
        raise ValueError(
            f"{what} ({source}) must be ({K},), one number per filter, got shape {values.shape}"
        )
    return values


def _folded(weights, bias, found):
    """Return weights and bias of the convolution with the following normalisation folded in."""
    if found.norm is None:
        raise ValueError(
            f"fold_batch_norm=True, but no batch normalisation directly follows {found.name}, or "
            "it is folded already; leave fold_batch_norm out"
        )
    norm = Norm(
        *(_vector(f"batch norm {field}", values, found.name, len(weights))
          for field, values in zip(Norm._fields, found.norm[:4], strict=False)),
        check_number("eps of the batch norm", found.norm.eps),
    )  # fmt: skip
    if (norm.variance + norm.eps <= 0).any():
        raise ValueError(f"batch norm variance ({found.name}) must be > -eps = {-norm.eps}")
    gain = norm.scale / np.sqrt(norm.variance + norm.eps)
    before = 0.0 if bias is None else bias
    return weights * gain[:, None, None, None], norm.shift + gain * (before - norm.mean)


def _channels(channels, C):
    if C == 1 and channels in (UNKNOWN, "grey"):
        return "grey"
    check_choice("channels", channels, CHANNELS)
    if channels != UNKNOWN and (1 if channels == "grey" else 3) != C:
        raise ValueError(f"channels={channels!r}, but the weights have {C}; leave channels out")
    return channels


def _float32(what, values, source):
    if values is None:
        return None
    if abs(values).max() > np.finfo(np.float32).max:
        raise ValueError(f"{what} ({source}) has values too large for float32; rescale the weights")
    return np.ascontiguousarray(values, dtype=np.float32)


def _ordered(layer, order):
    """Return the layer for images with this order of colours."""
    check_choice("order", order, COLOURS)
    if layer.channels not in COLOURS:
        raise ValueError(
            f"order={order!r}, but the channels of {layer.name} are {layer.channels}; "
            "say what they are, channels='RGB' or 'BGR', or leave order out"
        )
    if layer.channels == order:
        return layer
    reordered = np.ascontiguousarray(layer.weights[:, ::-1])
    return replace(layer, weights=reordered, channels=order)
