"""Signals to learn from: of one or of several shapes, whole or in windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from csc._backend import as_native, check_same_device, namespace, to_host
from csc._typing import Shape
from csc._validation import (
    MASK_HINT,
    check_array,
    check_floats,
    check_mask,
    check_real,
    check_signals,
    split_masked,
)
from csc.data_terms import LEAST_SQUARES
from csc.learning._batch import Batch, codes_of_signal
from csc.learning._encode import Group, encode, resolve_lmbda
from csc.learning._executor import MAX_GROUP_SAMPLES, SignalSource
from csc.learning._init import window_candidates
from csc.learning.multilayer._encode import encode_layers, largest, resolve_lmbdas
from csc.learning.multilayer._step import LayersBatch

NO_MISSING_SAMPLES = "{}: multi-layer learning does not support missing samples"


@dataclass(frozen=True)
class Groups:
    """Groups of signals in the memory of this process: `SignalGroups`; an iterable for one pass.

    Parameters
    ----------
    groups : iterable of Group
    """

    groups: object

    def __iter__(self):
        return iter(self.groups)

    def encode(self, dictionary, penalty, tol, starts=None, *terms):
        """Codes of all groups: `Batch`; ``terms`` are the last arguments of `encode`."""
        return Batch(encode(self, dictionary, penalty, starts, tol, *terms))

    def resolve(self, dictionary, penalty, data_term=LEAST_SQUARES):
        """The penalty with its ``lmbda`` resolved: the largest value of all groups."""
        resolved = [resolve_lmbda(x, dictionary, penalty, mask, data_term) for x, mask, _ in self]
        if not resolved:
            raise ValueError("X contains no observed sample; there is nothing to learn from")
        return max(resolved, key=lambda penalty: penalty.lmbda)

    def encode_layers(self, model, limits, starts=None):
        """Codes of all layers for all groups: `LayersBatch`."""
        return LayersBatch.of(encode_layers(self, model, limits, starts))

    def resolve_layers(self, model):
        """The penalties of the layers with ``lmbda`` resolved: the largest values of all groups."""
        return largest(resolve_lmbdas(self, model))

    def windows(self, spatial_shape, n, seeds):
        """`window_candidates` of all groups, each with its own seed."""
        return [
            window
            for x, *_ in self
            for window in window_candidates(x, spatial_shape, n, *seeds.spawn(1))
        ]


class Signals(SignalSource):
    """Signals in the memory of this process.

    Parameters
    ----------
    X : array (N, C, *S) or sequence of arrays (C, *S)
        NaN marks missing samples, and so do the masked entries of masked arrays.
    mask : array or sequence of arrays, optional
        1 = observed; broadcastable to the signals.
    sample_weight : array (N,), optional
        Weight of each signal in all sums; signals of weight 0 are left out.
    """

    def __init__(self, X: Any, mask: Any = None, sample_weight: Any = None) -> None:
        if hasattr(X, "__dask_graph__"):
            raise TypeError(
                f"X is a {type(X).__name__} of Dask; fit with csc.distributed.fit(learner, X)"
            )
        self.is_array = isinstance(X, str) or not isinstance(X, Sequence)
        if self.is_array:
            x, mask = split_masked(as_native(X), mask, "X")
            self.x = check_array("X", x)
            self.mask = None if mask is None else check_mask(mask, self.x, like="X")
        else:
            self.x, self.mask = _lists([as_native(x) for x in X], mask)
        self.weight = None if sample_weight is None else check_weight(sample_weight, len(self.x))
        if self.weight is not None and not self.weight.all():
            self._leave_out(self.weight == 0)

    def _leave_out(self, which):
        """Leave out the signals of the boolean mask ``which``."""
        kept = np.flatnonzero(~which)
        self.weight = self.weight[kept]
        if self.is_array:
            at = namespace(self.x).asarray(kept)
            self.x, self.mask = self.x[at], None if self.mask is None else self.mask[at]
        else:
            self.x = [self.x[i] for i in kept]
            self.mask = None if self.mask is None else [self.mask[i] for i in kept]

    def check(self, atom_shape: tuple[int | None, ...], must_fit: bool = True) -> None:
        """Refuse signals that do not fit atoms ``(C, *s)``; C = None accepts any number."""
        channels, *spatial_shape = atom_shape
        for name, x in self._named():
            check_same_device(**{self._named()[0][0]: self.first, name: x})
            if not self.is_array and x.ndim != 2 + len(spatial_shape):
                raise ValueError(
                    f"{name} must be (C, *S) with {len(spatial_shape)} spatial axes, got shape "
                    f"{x.shape[1:]}; for one channel use {name}[None]"
                )
            present = check_observed(name, x)
            own = x.shape[1] if channels is None and x.ndim > 1 else channels
            check_signals(present, (own or 0, *spatial_shape), name, fit=must_fit)
            if channels is None:
                channels = x.shape[1]
            if x.dtype != self.dtype:
                raise TypeError(f"{name} is {x.dtype}, X[0] is {self.dtype}; use one precision")

    def _named(self):
        if self.is_array:
            return [("X", self.x)]
        return [(f"X[{i}]", x[None]) for i, x in enumerate(self.x)]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the signals."""
        return self.first.dtype

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return self.x.shape[1] if self.is_array else self.x[0].shape[0]

    @property
    def shapes(self) -> list[Shape]:
        """Shapes ``(C, *S)`` of all signals."""
        if self.is_array:
            return [self.x.shape[1:]] * len(self.x)
        return [x.shape for x in self.x]

    def refuse_missing(self) -> None:
        """Refuse a mask and NaN."""
        if self.mask is not None:
            raise ValueError(NO_MISSING_SAMPLES.format("mask must be None"))
        if any(np.isnan(x).any() for x in ([self.x] if self.is_array else self.x)):
            raise ValueError(NO_MISSING_SAMPLES.format("X holds NaN"))

    def as_codes(self, dictionary: Any, penalty: Any, tol: float) -> "CodesAsSignals":
        """Codes of all signals as new signals, the input of the next layer."""
        groups = self.take(np.arange(len(self)))
        coded = (encode([group], dictionary, penalty, None, tol) for group in groups)
        return CodesAsSignals([batch.z for (batch,) in coded], self.weight)

    def take(self, which: Any, window: Any = None) -> Any:
        """`Groups` of some signals, or of windows of them; see `SignalSource.take`."""
        if self.is_array and window is None and len(which) == len(self.x):
            return Groups(_split(self.x, self.mask, self.weight))
        if self.is_array and window is None:
            at = namespace(self.x).asarray(which)
            mask = None if self.mask is None else self.mask[at]
            return Groups(_split(self.x[at], mask, self._weights(which)))
        places, runs = self.runs(which, window)
        return Groups(self._joined(places, runs))

    def _joined(self, places, runs):
        for run in runs:
            which, parts = zip(*(places[i] for i in run), strict=True)
            masks = None if self.mask is None else [self.mask[i] for i in which]
            weight = self._weights(np.array(which))
            yield from group_signals([self.x[i] for i in which], masks, parts, weight)

    def _weights(self, which):
        return None if self.weight is None else self.weight[which]


class CodesAsSignals(Signals):
    """Sparse codes as the signals ``(K, *V)`` of the next layer, made dense when taken.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    weight : array (N,), optional
        Weight of each signal.
    """

    def __init__(self, groups: Any, weight: Any = None) -> None:
        self.is_array, self.x, self.mask, self.weight = False, Rows(groups), None, weight

    @property
    def shapes(self) -> list[Shape]:
        """Shapes ``(K, *V)`` of all signals."""
        return [self.x.groups[g].shape[1:] for g, _ in self.x.places]


class Rows:
    """Sequence of the dense codes ``(K, *V)`` of single signals, computed on access.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    """

    def __init__(self, groups):
        self.groups = groups
        self.places = [(g, i) for g, codes in enumerate(groups) for i in range(codes.shape[0])]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        g, row = self.places[i]
        return codes_of_signal(self.groups[g], row)


def _lists(X, mask):
    """Signals of a list, and their masks if any sample is missing."""
    if not X:
        raise ValueError("X is an empty list; give at least one signal (C, *S)")
    masks = [None] * len(X) if mask is None else list(mask)
    if len(masks) != len(X):
        raise ValueError(f"mask has {len(masks)} arrays for {len(X)} signals in X")
    pairs = [split_masked(x, m, f"X[{i}]") for i, (x, m) in enumerate(zip(X, masks, strict=True))]
    signals = [check_array(f"X[{i}]", x) for i, (x, _) in enumerate(pairs)]
    if all(m is None for _, m in pairs):
        return signals, None
    return signals, [True if m is None else m for _, m in pairs]


def group_signals(signals, masks, parts, weight=None):
    """Group of windows of one shape; none if nothing was observed.

    Parameters
    ----------
    signals : list of arrays (C, *S)
    masks : list of arrays or None
        Broadcastable to the signals.
    parts : list of tuples of slices
    weight : array (n,), optional
    """
    xp, cuts = namespace(*signals), [(..., *part) for part in parts]
    if masks is not None:
        masks = [check_mask(m, x) for m, x in zip(masks, signals, strict=True)]
        masks = xp.stack([mask[cut] for mask, cut in zip(masks, cuts, strict=True)])
    x = xp.stack([x[cut] for x, cut in zip(signals, cuts, strict=True)])
    return _split(x, masks, weight)


def _split(x, mask, weight=None):
    """Split signals into groups of at most `MAX_GROUP_SAMPLES` samples, NaN as masks.

    Groups without observed samples are skipped.
    """
    size = max(1, MAX_GROUP_SAMPLES // prod(x.shape[1:]))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        seen = None if mask is None else mask[start : start + size] != 0
        missing = namespace(part).isnan(part)
        if missing.any():
            seen = ~missing if seen is None else seen & ~missing
        own = None if weight is None else weight[start : start + size]
        if seen is None or seen.all():
            yield Group(part, None, own)
        elif seen.any():
            yield Group(part, seen, own)


def check_weight(weight, n):
    """Return a ``sample_weight``, an array or list, as float64 ``(n,)``."""
    weight = np.asarray(to_host(weight), dtype="float64")
    if weight.shape != (n,):
        raise ValueError(
            f"sample_weight must have one number per signal of X, ({n},), got shape {weight.shape}"
        )
    if not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        raise ValueError("sample_weight must be finite and >= 0, and not 0 for all signals of X")
    return weight


def check_observed(name, x):
    """Check real floating-point signals, in which NaN marks missing samples."""
    x = check_real(name, x)
    if x.size:
        xp = namespace(x)
        missing = xp.isnan(x)
        if missing.any():
            if missing.all():
                raise ValueError(f"{name} holds nothing but NaN; there is nothing to learn from")
            x = xp.where(missing, x.dtype.type(0), x)
    return check_floats(name, x, hint=MASK_HINT)
