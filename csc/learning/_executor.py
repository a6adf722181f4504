"""What a learner asks of the place where codes are computed: this process, or Dask workers.

A learner holds atoms and sums; it never touches a signal. Signals are a `SignalSource`; a step takes
some of them as `SignalGroups`, whose `encode` returns an `EncodedSignals`. Each has two
implementations: `Signals`, `Groups` and `Batch` here, `DaskSignals`, `DaskGroups` and `DaskBatch` in
`csc.distributed`.
"""

from abc import ABC, abstractmethod
from math import prod
from typing import Any, Protocol

import numpy as np

from csc._typing import Array, Shape
from csc.learning._memory_plan import MemoryPlan, memory_plan_of, memory_plan_of_layers

MAX_GROUP_SAMPLES = 2**20  # of a group of signals, which are encoded together


class EncodedSignals(Protocol):
    """Signals with their codes on the current atoms; only sums over them are returned."""

    @property
    def groups(self) -> list[Any]:
        """Groups of signals; empty if no sample was observed."""

    @property
    def codes(self) -> list[Any] | None:
        """Codes of each group, from which the next pass starts; None if they stay with them."""

    @property
    def stride(self) -> tuple[int, ...]:
        """Stride of the codes."""

    def summary(self) -> Any:
        """`Summary` of all groups: sufficient statistics, objective, use of the atoms."""

    def extended_window_sums(self, reach: Any, /) -> tuple[Array, Array]:
        """Sums and squares of the signals around each atom."""

    def shift_codes(self, shifts: Array, /) -> list[Any] | None:
        """Codes of each group, shifted with the windows of their atoms."""

    def worst_windows(self, spatial_shape: Shape, number: int, /) -> list[Any]:
        """The windows of the signals that are reconstructed worst."""


class SignalGroups(Protocol):
    """Groups of signals for one step."""

    def encode(
        self, dictionary: Any, penalty: Any, tol: float, starts: Any = None, *terms: Any
    ) -> Any:
        """`EncodedSignals` on the atoms of a dictionary; ``terms``: data term, gradient weights."""

    def encode_layers(self, model: Any, limits: Any, starts: Any = None) -> Any:
        """`LayersBatch`: codes of all layers."""

    def resolve(self, dictionary: Any, penalty: Any, data_term: Any = None) -> Any:
        """The penalty with its ``lmbda`` as a number: the largest of all groups."""

    def resolve_layers(self, model: Any) -> Any:
        """The penalties of all layers with ``lmbda`` as numbers: the largest of all groups."""

    def windows(self, spatial_shape: Shape, n: int, seeds: Any) -> list[Any]:
        """`window_candidates` of all groups, each with its own seed."""


class SignalSource(ABC):
    """Signals to learn from, wherever they are."""

    is_array: bool  # else a list of signals, perhaps of several shapes
    x: Any
    mask: Any
    codes: Any = None  # of each group, if they stay with the signals

    def __len__(self) -> int:
        return len(self.x)

    @property
    def first(self) -> Any:
        """The first array of signals."""
        return self.x if self.is_array else self.x[0]

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Precision of the signals."""

    @property
    @abstractmethod
    def n_channels(self) -> int:
        """Number of channels C."""

    @property
    @abstractmethod
    def shapes(self) -> list[Shape]:
        """Shapes ``(C, *S)`` of all signals."""

    @abstractmethod
    def check(self, atom_shape: tuple[int | None, ...], must_fit: bool = True) -> None:
        """Refuse signals that do not fit atoms ``(C, *s)``; C = None accepts any number."""

    @abstractmethod
    def refuse_missing(self) -> None:
        """Refuse a mask and NaN."""

    @abstractmethod
    def as_codes(self, dictionary: Any, penalty: Any, tol: float) -> "SignalSource":
        """Codes of all signals as new signals, the input of the next layer."""

    @abstractmethod
    def take(self, which: Any, window: Any = None) -> Any:
        """`SignalGroups` of the signals with indices ``which``, in order.

        Parameters
        ----------
        which : array of int
        window : (spatial shape, Generator), optional
            Use a random window of this spatial shape of each signal.
        """

    def memory_plan(self, learner: Any, lags: Any, dense: bool) -> MemoryPlan:
        """Memory that a learner needs on these signals: `MemoryPlan`; see `memory_plan_of`."""
        return memory_plan_of(learner, lags, self, dense)

    def memory_plan_of_layers(self, layers: Any, joint: Any, most_codes: int) -> MemoryPlan:
        """Memory that a multi-layer learner needs: `MemoryPlan`."""
        return memory_plan_of_layers(layers, self, joint, most_codes=most_codes)

    def runs(self, which: Any, window: Any = None) -> tuple[list[Any], list[range]]:
        """Split signals into runs that form one group each.

        Returns
        -------
        places : list of (int, tuple of slices)
            Index of each signal and the window of it.
        runs : list of range
            Consecutive places of one shape with at most `MAX_GROUP_SAMPLES` samples together.
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


def _part(shape, window):
    """Slices of a whole signal, or of a random window of it."""
    if window is None:
        return tuple(slice(0, n) for n in shape[1:])
    spatial_shape, rng = window
    size = [min(a, b) for a, b in zip(spatial_shape, shape[1:], strict=True)]
    low = [int(rng.integers(n - a + 1)) for n, a in zip(shape[1:], size, strict=True)]
    return tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
