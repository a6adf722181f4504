"""What a learner learns from: signals of one shape or of many, whole or in part."""

from math import prod
from typing import NamedTuple

import numpy as np

from csc._device import namespace
from csc._validate import check_floats, check_signals

SAMPLES = 2**20  # of the signals that are coded together


class Group(NamedTuple):
    """Signals of one shape, coded together."""

    x: np.ndarray  # (n, C, *S)
    mask: np.ndarray | None  # of the same shape; None: all was observed


class Signals:
    """Signals to learn from.

    Parameters
    ----------
    X : array (N, C, *S) or sequence of arrays (C, *S)
        NaN marks what is missing.
    mask : array or sequence of arrays, optional
        1 = observed; broadcastable to the signals.
    """

    def __init__(self, X, mask=None):
        self.is_array = hasattr(X, "dtype")
        self.x = X if self.is_array else list(X)
        if not self.is_array and not self.x:
            raise ValueError("X is an empty list; give at least one signal (C, *S)")
        if mask is not None and self.is_array:
            mask = _broadcast("mask", np.asarray(mask), X.shape)
        if mask is not None and not self.is_array:
            mask = list(mask)
            if len(mask) != len(self.x):
                raise ValueError(f"mask has {len(mask)} arrays for {len(self.x)} signals in X")
        self.mask = mask

    def __len__(self):
        return len(self.x)

    def check(self, atom_shape, must_fit=True):
        """Refuse signals that atoms ``(C, *s)`` cannot explain; None for C asks for any number."""
        channels, *extents = atom_shape
        for name, x in self._named():
            present = _floats(name, x)
            own = x.shape[1] if channels is None and x.ndim > 1 else channels
            check_signals(present, (own or 0, *extents), name, fit=must_fit)
            if channels is None:
                channels = x.shape[1]
            if x.dtype != self.dtype:
                raise TypeError(f"{name} is {x.dtype}, X[0] is {self.dtype}; use one precision")

    def _named(self):
        if self.is_array:
            return [("X", self.x)]
        for i, x in enumerate(self.x):
            if not hasattr(x, "dtype"):
                raise TypeError(f"X[{i}] must be an array (C, *S), got {type(x).__name__}")
        return [(f"X[{i}]", x[None]) for i, x in enumerate(self.x)]

    @property
    def dtype(self):
        """Precision of the signals."""
        return self.x.dtype if self.is_array else self.x[0].dtype

    @property
    def n_channels(self):
        """C."""
        return self.x.shape[1] if self.is_array else self.x[0].shape[0]

    @property
    def shapes(self):
        """Shapes ``(C, *S)`` of all signals."""
        if self.is_array:
            return [self.x.shape[1:]] * len(self.x)
        return [x.shape for x in self.x]

    def take(self, which, window=None):
        """Groups of the signals with indices ``which``, in order.

        Parameters
        ----------
        which : array of int
        window : (extents, Generator), optional
            Of each signal only a window of these extents, at a place drawn from the generator.
        """
        if self.is_array and window is None and len(which) == len(self.x):
            yield from _split(self.x, self.mask)
        elif self.is_array and window is None:
            yield from _split(self.x[which], None if self.mask is None else self.mask[which])
        else:
            yield from _joined([self._one(i, window) for i in which])

    def _one(self, i, window):
        x, mask = self.x[i], None
        if self.mask is not None:
            mask = _broadcast(f"mask[{i}]", np.asarray(self.mask[i]), x.shape)
        if window is not None:
            extents, rng = window
            size = [min(a, b) for a, b in zip(extents, x.shape[1:], strict=True)]
            low = [rng.integers(n - a + 1) for n, a in zip(x.shape[1:], size, strict=True)]
            own = (..., *(slice(a, a + n) for a, n in zip(low, size, strict=True)))
            x, mask = x[own], None if mask is None else mask[own]
        return x, mask


def _joined(signals):
    """Neighbours of one shape as one group, no larger than `SAMPLES` ask for."""
    run = []
    for x, mask in signals:
        full = (len(run) + 1) * x.size > SAMPLES
        if run and (full or x.shape != run[0][0].shape or (mask is None) != (run[0][1] is None)):
            yield from _split(*_stacked(run))
            run = []
        run.append((x, mask))
    yield from _split(*_stacked(run))


def _stacked(run):
    xp = namespace(run[0][0])
    masks = None if run[0][1] is None else xp.stack([mask for _, mask in run])
    return xp.stack([x for x, _ in run]), masks


def _split(x, mask):
    """Groups of at most `SAMPLES` samples, with NaN told apart; none of nothing observed."""
    size = max(1, SAMPLES // prod(x.shape[1:]))
    for start in range(0, len(x), size):
        some = x[start : start + size]
        seen = None if mask is None else mask[start : start + size] != 0
        missing = namespace(some).isnan(some)
        if missing.any():
            seen = ~missing if seen is None else seen & ~missing
        if seen is None or seen.all():
            yield Group(some, None)
        elif seen.any():
            yield Group(some, seen)


def _floats(name, x):
    """Check that all but NaN is as it should be."""
    if getattr(x, "dtype", None) in ("float32", "float64") and x.size:
        xp = namespace(x)
        missing = xp.isnan(x)
        if missing.any():
            if missing.all():
                raise ValueError(f"{name} holds nothing but NaN; there is nothing to learn from")
            x = xp.where(missing, x.dtype.type(0), x)
    return check_floats(name, x)


def _broadcast(name, mask, shape):
    if not np.isin(np.unique(mask), (0, 1)).all():
        raise ValueError(f"{name} must hold only 0 (missing) and 1 (observed)")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"{name} of shape {mask.shape} does not broadcast to {shape}") from None
