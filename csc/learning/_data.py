"""What a learner learns from: signals of one shape or of many, whole or in part."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from csc._backend import as_native, check_same_device, namespace
from csc._typing import Array, Extents
from csc._validation import (
    MASK_HINT,
    check_array,
    check_floats,
    check_mask,
    check_real,
    check_signals,
    split_masked,
)
from csc.learning._batch import Batch
from csc.learning._encode import Group, encode, resolve_lmbda
from csc.learning._init import window_candidates
from csc.learning._memory_plan import MemoryPlan, memory_plan_of, memory_plan_of_layers
from csc.learning.multilayer._encode import encode_layers, largest, resolve_lmbdas
from csc.learning.multilayer._step import LayersBatch
from csc.operators import SparseCodes

MAX_GROUP_SAMPLES = 2**20  # of the signals that are coded together
NO_MISSING_SAMPLES = "{}: multi-layer learning knows no missing samples"


@dataclass(frozen=True)
class Groups:
    """Groups of signals, one after the other, that can be gone through once.

    Parameters
    ----------
    groups : iterable of Group
    """

    groups: object

    def __iter__(self):
        return iter(self.groups)

    def encode(self, dictionary, penalty, tol, starts=None):
        """`Batch` of all groups, coded as by `encode`."""
        return Batch(encode(self, dictionary, penalty, starts, tol))

    def resolve(self, dictionary, penalty):
        """The penalty with its strength in numbers, the largest that any group gives."""
        resolved = [resolve_lmbda(x, dictionary, penalty, mask) for x, mask in self]
        return max(resolved, key=lambda penalty: penalty.lmbda)

    def encode_layers(self, model, limits, starts=None):
        """`LayersBatch` of all groups, coded as by `encode_layers`."""
        return LayersBatch.of(encode_layers(self, model, limits, starts))

    def resolve_layers(self, model):
        """The layers' penalties with strengths in numbers, the largest that any group gives."""
        return largest(resolve_lmbdas(self, model))

    def windows(self, extents, n, seeds):
        """`window_candidates` of all groups, each with a seed of its own."""
        return [one for x, _ in self for one in window_candidates(x, extents, n, *seeds.spawn(1))]


class Signals:
    """Signals to learn from.

    Parameters
    ----------
    X : array (N, C, *S) or sequence of arrays (C, *S)
        NaN marks what is missing, and so do the masked entries of masked arrays.
    mask : array or sequence of arrays, optional
        1 = observed; broadcastable to the signals.
    """

    codes: Any = None  # of each group, where they stay with the signals: on the workers of Dask

    def __init__(self, X: Any, mask: Any = None) -> None:
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

    def __len__(self) -> int:
        return len(self.x)

    def check(self, atom_shape: tuple[int | None, ...], must_fit: bool = True) -> None:
        """Refuse signals that atoms ``(C, *s)`` cannot explain; None for C asks for any number."""
        channels, *extents = atom_shape
        for name, x in self._named():
            check_same_device(**{self._named()[0][0]: self.first, name: x})
            if not self.is_array and x.ndim != 2 + len(extents):
                raise ValueError(
                    f"{name} must be (C, *S) with {len(extents)} spatial axes, got shape "
                    f"{x.shape[1:]}; for one channel use {name}[None]"
                )
            present = check_observed(name, x)
            own = x.shape[1] if channels is None and x.ndim > 1 else channels
            check_signals(present, (own or 0, *extents), name, fit=must_fit)
            if channels is None:
                channels = x.shape[1]
            if x.dtype != self.dtype:
                raise TypeError(f"{name} is {x.dtype}, X[0] is {self.dtype}; use one precision")

    def _named(self):
        if self.is_array:
            return [("X", self.x)]
        return [(f"X[{i}]", x[None]) for i, x in enumerate(self.x)]

    @property
    def first(self) -> Array:
        """An array of signals."""
        return self.x if self.is_array else self.x[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the signals."""
        return self.first.dtype

    @property
    def n_channels(self) -> int:
        """C."""
        return self.x.shape[1] if self.is_array else self.x[0].shape[0]

    @property
    def shapes(self) -> list[Extents]:
        """Shapes ``(C, *S)`` of all signals."""
        if self.is_array:
            return [self.x.shape[1:]] * len(self.x)
        return [x.shape for x in self.x]

    def memory_plan(self, learner: Any, lags: Any, dense: bool) -> MemoryPlan:
        """`MemoryPlan` of a learner with this many lags, whose codes may be dense."""
        return memory_plan_of(learner, lags, self, dense)

    def memory_plan_of_layers(self, layers: Any, joint: Any, most_codes: int) -> MemoryPlan:
        """`MemoryPlan` of a learner of layers."""
        return memory_plan_of_layers(layers, self, joint, most_codes=most_codes)

    def refuse_missing(self) -> None:
        """Refuse a mask and NaN."""
        if self.mask is not None:
            raise ValueError(NO_MISSING_SAMPLES.format("mask must be None"))
        if any(np.isnan(x).any() for x in ([self.x] if self.is_array else self.x)):
            raise ValueError(NO_MISSING_SAMPLES.format("X holds NaN"))

    def as_codes(self, dictionary: Any, penalty: Any, tol: float) -> "CodesAsSignals":
        """Codes of all signals, as signals."""
        groups = self.take(np.arange(len(self)))
        coded = (encode([group], dictionary, penalty, None, tol) for group in groups)
        return CodesAsSignals([some.z for (some,) in coded])

    def take(self, which: Any, window: Any = None) -> Any:
        """`Groups` of the signals with indices ``which``, in order.

        Parameters
        ----------
        which : array of int
        window : (extents, Generator), optional
            Of each signal only a window of these extents, at a place drawn from the generator.
        """
        if self.is_array and window is None and len(which) == len(self.x):
            return Groups(_split(self.x, self.mask))
        if self.is_array and window is None:
            which = namespace(self.x).asarray(which)
            return Groups(_split(self.x[which], None if self.mask is None else self.mask[which]))
        places, runs = self.runs(which, window)
        return Groups(self._joined(places, runs))

    def runs(self, which: Any, window: Any = None) -> tuple[list[Any], list[range]]:
        """Which signals are coded together, and which part of them.

        Returns
        -------
        places : list of (int, tuple of slices)
            Of each signal its number and the part that is looked at.
        runs : list of range
            Neighbours among the places, of one shape, no more than `MAX_GROUP_SAMPLES` ask for.
        """
        shapes = self.shapes
        places = [(int(i), _part(shapes[i], window)) for i in which]
        sizes = [tuple(s.stop - s.start for s in part) for _, part in places]
        runs, first = [], 0
        for i, size in enumerate(sizes):
            full = (i - first + 1) * self.n_channels * prod(size) > MAX_GROUP_SAMPLES
            if i > first and (full or size != sizes[first]):
                runs.append(range(first, i))
                first = i
        return places, [*runs, range(first, len(sizes))]

    def _joined(self, places, runs):
        for run in runs:
            which, parts = zip(*(places[i] for i in run), strict=True)
            masks = None if self.mask is None else [self.mask[i] for i in which]
            yield from group_signals([self.x[i] for i in which], masks, parts)


class CodesAsSignals(Signals):
    """Sparse codes as the signals ``(K, *V)`` of the next layer: dense only where one is taken.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    """

    def __init__(self, groups: Any) -> None:
        self.is_array, self.x, self.mask = False, Rows(groups), None

    @property
    def shapes(self) -> list[Extents]:
        """Shapes ``(K, *V)`` of all signals."""
        return [self.x.groups[g].shape[1:] for g, _ in self.x.places]


class Rows:
    """Codes of single signals: dense arrays ``(K, *V)``, made when asked.

    Parameters
    ----------
    groups : list of SparseCodes or arrays (n, K, *V)
    """

    def __init__(self, groups):
        self.groups = groups
        self.places = [(g, i) for g, some in enumerate(groups) for i in range(some.shape[0])]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        g, row = self.places[i]
        return codes_of_signal(self.groups[g], row)


def _lists(X, mask):
    """Signals of a list and, if any sample is missing, the mask of each."""
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


def codes_of_signal(codes, row):
    """Codes of one signal of a group, dense: ``(K, *V)``."""
    if not isinstance(codes, SparseCodes):
        return codes[row]
    size = prod(codes.shape[1:])
    low, high = codes.index.searchsorted([row * size, (row + 1) * size])
    index, values = codes.index[low:high] - row * size, codes.values[low:high]
    return SparseCodes((1, *codes.shape[1:]), index, values).dense()[0]


def group_signals(signals, masks, parts):
    """Groups of the parts of signals of one shape; one, unless nothing was observed.

    Parameters
    ----------
    signals : list of arrays (C, *S)
    masks : list of arrays or None
        Broadcastable to the signals.
    parts : list of tuples of slices
    """
    xp, cuts = namespace(*signals), [(..., *part) for part in parts]
    if masks is not None:
        masks = [check_mask(m, x) for m, x in zip(masks, signals, strict=True)]
        masks = xp.stack([mask[cut] for mask, cut in zip(masks, cuts, strict=True)])
    x = xp.stack([x[cut] for x, cut in zip(signals, cuts, strict=True)])
    return _split(x, masks)


def _part(shape, window):
    """The whole of a signal, or a window at a place that is drawn."""
    if window is None:
        return tuple(slice(0, n) for n in shape[1:])
    extents, rng = window
    size = [min(a, b) for a, b in zip(extents, shape[1:], strict=True)]
    low = [int(rng.integers(n - a + 1)) for n, a in zip(shape[1:], size, strict=True)]
    return tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))


def _split(x, mask):
    """Groups of at most `MAX_GROUP_SAMPLES` samples, with NaN told apart; none of nothing observed."""
    size = max(1, MAX_GROUP_SAMPLES // prod(x.shape[1:]))
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


def check_observed(name, x):
    """Check that all but NaN is as it should be."""
    x = check_real(name, x)
    if x.size:
        xp = namespace(x)
        missing = xp.isnan(x)
        if missing.any():
            if missing.all():
                raise ValueError(f"{name} holds nothing but NaN; there is nothing to learn from")
            x = xp.where(missing, x.dtype.type(0), x)
    return check_floats(name, x, hint=MASK_HINT)
