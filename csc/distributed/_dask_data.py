"""Signals in the memory of Dask workers, or read by the workers when needed."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from csc._typing import Shape
from csc._validation import check_signals
from csc.distributed import _tasks
from csc.distributed._client import (
    Keys,
    client_of,
    make_task,
    map_tasks,
    single_task,
    submit,
    workers_of,
)
from csc.distributed._dask_groups import DaskGroups
from csc.images import picture_files, read_picture
from csc.learning import (
    ARRAYS_WHILE_CODING,
    COPIES_OF_STATISTICS,
    MAX_GROUP_SAMPLES,
    NO_MISSING_SAMPLES,
    TREE_ARITY,
    MemoryPlan,
    SignalSource,
    check_weight,
    maps_while_coding,
)

USABLE_MEMORY_FRACTION = 0.6  # of a worker's memory; above it, Dask spills data or pauses


class DaskSignals(SignalSource):
    """Signals to learn from, on the workers of a Dask cluster.

    Parameters
    ----------
    X : dask.array (N, C, *S), or a list or bag of signals (C, *S), or the path of a folder
        A list may contain delayed signals, dask arrays and arrays; a folder contains pictures,
        which are converted to grey, or a Zarr array.
    mask : array or dask.array, or a list
        1 = observed; broadcastable to the signals.
    client : distributed.Client, optional
        Default: the current client of Dask.
    looks : list of (shape, dtype), optional
        Of each signal, if known; by default the workers determine them.
    sample_weight : array (N,), optional
        Weight of each signal in all sums; signals of weight 0 are left out.

    Examples
    --------
    >>> import numpy as np, csc, csc.distributed
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     X = da.ones((6, 1, 8), chunks=(2, 1, 8))
    ...     signals = csc.distributed.DaskSignals(X, client=client)
    ...     len(signals), signals.n_channels
    (6, 1)
    """

    def __init__(
        self,
        X: Any,
        mask: Any = None,
        client: Any = None,
        looks: Any = None,
        sample_weight: Any = None,
    ) -> None:
        self.client, self.keys = client_of(client), Keys()
        from dask import is_dask_collection

        self.loaded_groups, self.is_persistent, self.complete = None, True, False
        if X is None or (hasattr(X, "dtype") and not is_dask_collection(X)):
            raise TypeError(
                "X must be a dask array, delayed images, or the path of a folder or of a Zarr array, "
                f"got {type(X)}; of an array in memory or in a file make dask.array.from_array(X)"
            )
        X = _opened(X)
        self.is_array = hasattr(X, "dtype")
        self.x = X if self.is_array or isinstance(X, CodeRows) else _listed(X)
        if self.is_array and 0 in X.shape:
            raise ValueError(f"X is empty: shape {X.shape}")
        self.mask = self._masked(mask)
        self.weight = None if sample_weight is None else check_weight(sample_weight, len(self.x))
        if self.weight is not None and not self.weight.all():
            self._keep(np.flatnonzero(self.weight))
        if self.is_array:
            self._looks = [(X.shape[1:], X.dtype)] * len(self.x)
        elif looks is not None:
            self._looks = looks
        else:
            name = self.keys.of_round()
            looks = map_tasks(
                "shape_and_dtype", _tasks.shape_and_dtype, name, [(x,) for x in self.x]
            )
            self._looks = self.client.gather(submit(self.client, looks)[0])

    def _keep(self, which):
        """Leave out all signals but those with indices ``which``."""
        take = (lambda a: a[which]) if self.is_array else (lambda a: [a[i] for i in which])
        self.weight, self.x = self.weight[which], take(self.x)
        self.mask = None if self.mask is None else take(self.mask)

    def _masked(self, mask):
        if mask is None or not self.is_array:
            if mask is not None and len(mask) != len(self.x):
                raise ValueError(f"mask has {len(mask)} arrays for {len(self.x)} signals in X")
            return None if mask is None else _listed(mask)
        import dask.array as da

        try:
            return da.broadcast_to(da.asarray(mask), self.x.shape)
        except ValueError:
            raise ValueError(
                f"mask of shape {np.shape(mask)} does not broadcast to {self.x.shape}"
            ) from None

    def check(self, atom_shape: tuple[int | None, ...], must_fit: bool = True) -> None:
        """Refuse shapes that do not fit the atoms; values are checked when they are loaded."""
        channels, *spatial_shape = atom_shape
        seen = {}
        for i, look in enumerate(self._looks):
            seen.setdefault(look, i)
        for (shape, dtype), i in seen.items():
            name = "X" if self.is_array else f"X[{i}]"
            own = shape[0] if channels is None and shape else channels
            like = np.broadcast_to(np.ones((), dtype), (1, *shape))  # takes no memory
            check_signals(like, (own or 0, *spatial_shape), name, fit=must_fit)
            channels = shape[0]
            if dtype != self.dtype:
                raise TypeError(f"{name} is {dtype}, X[0] is {self.dtype}; use one precision")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the signals."""
        return self._looks[0][1]

    @property
    def n_channels(self) -> int:
        """C."""
        return self._looks[0][0][0]

    @property
    def shapes(self) -> list[Shape]:
        """Shapes ``(C, *S)`` of all signals."""
        return [shape for shape, _ in self._looks]

    def refuse_missing(self) -> None:
        """Refuse a mask now, and NaN when the signals are loaded."""
        if self.mask is not None:
            raise ValueError(NO_MISSING_SAMPLES.format("mask must be None"))
        self.complete = True

    def as_codes(self, dictionary: Any, penalty: Any, tol: float) -> "DaskSignals":
        """Codes of all signals as new signals: sparse on the workers, made dense when taken."""
        which = range(len(self))
        groups, (_, runs) = self.take(which).codes(dictionary, penalty, tol), self.runs(which)
        places = [(g, i) for g, run in enumerate(runs) for i in range(len(run))]
        looks = [
            ((dictionary.n_atoms, *dictionary.spatial_code_shape(shape[1:])), self.dtype)
            for shape in self.shapes
        ]
        rows = CodeRows(groups, places)
        signals = DaskSignals(rows, None, self.client, looks, self.weight)
        signals.is_persistent = False  # dense codes would not fit into memory
        return signals

    def memory_plan(self, learner: Any, lags: Any, dense: bool) -> MemoryPlan:
        """Memory that one worker needs: `MemoryPlan`."""
        maps = maps_while_coding(learner.n_atoms, self.n_channels, dense)
        coding = ARRAYS_WHILE_CODING * 8 * maps * self._together
        return self._of_a_worker(super().memory_plan(learner, lags, dense), coding)

    def memory_plan_of_layers(self, layers: Any, joint: Any, most_codes: int) -> MemoryPlan:
        """Memory that one worker needs for a multi-layer learner: `MemoryPlan`."""
        here = super().memory_plan_of_layers(layers, joint, most_codes)
        return self._of_a_worker(here, here.coding)

    @property
    def _together(self):
        """Samples of the largest group of signals."""
        sizes = list(map(prod, self.shapes))
        return min(max(MAX_GROUP_SAMPLES, *sizes), sum(sizes))

    def _of_a_worker(self, here, coding):
        """Turn the plan of one process into that of a worker, which codes one group per thread."""
        workers, samples = workers_of(self.client), sum(map(prod, self.shapes))
        share = 1 / workers.number
        return replace(
            here,
            statistics=here.statistics // COPIES_OF_STATISTICS * (TREE_ARITY + workers.threads),
            coding=coding * min(workers.threads, -(-samples // self._together)),
            codes=int(here.codes * share),
            available=workers.memory,
            signals=int(self.dtype.itemsize * samples * share) if self.is_persistent else 0,
        )

    def load(self, memory_plan: MemoryPlan, whole: bool) -> None:
        """Keep the signals in the workers' memory if they fit; else each pass reads them again.

        Parameters
        ----------
        memory_plan : MemoryPlan
        whole : bool
            Whether every step uses all samples of all signals.
        """
        self.is_persistent = memory_plan.total <= USABLE_MEMORY_FRACTION * memory_plan.available
        if not self.is_persistent:
            return
        if whole:
            self.loaded_groups = submit(self.client, self._loaded(*self.runs(range(len(self)))))[0]
        elif self.is_array:
            self.x = self.client.persist(self.x)
        else:
            name = self.keys.of_round()
            self.x = submit(
                self.client, map_tasks("read", _tasks.as_array, name, [(x,) for x in self.x])
            )[0]

    def take(self, which: Any, window: Any = None) -> Any:
        """`DaskGroups` of the signals with indices ``which``, or of windows of them."""
        n, (places, runs) = len(which), self.runs(which, window)
        weights = self._weights(places, runs)
        if n == len(self) and window is None and self.loaded_groups is not None:
            return DaskGroups(self, self.loaded_groups, n, weights)
        return DaskGroups(self, self._loaded(places, runs), n, weights)

    def _weights(self, places, runs):
        """Weights of the signals of each run; None if all are 1."""
        if self.weight is None:
            return None
        return [self.weight[[places[i][0] for i in run]] for run in runs]

    def _loaded(self, places, runs):
        """Tasks that load groups of signals."""
        arguments, name, weights = [], self.keys.of_round(), self._weights(places, runs)
        for number, run in enumerate(runs):
            which, parts = zip(*(places[i] for i in run), strict=True)
            masks = None if self.mask is None else self._some(self.mask, which)
            if isinstance(self.x, CodeRows):
                x = self.x.take(which, name, number)
            else:
                x = self._some(self.x, which)
            own = None if weights is None else weights[number]
            arguments.append((x, masks, parts, self.complete, own))
        return map_tasks("load", _tasks.load, name, arguments)

    def _some(self, x, which):
        if not self.is_array:
            return [x[i] for i in which]
        near = which[-1] - which[0] == len(which) - 1
        some = x[which[0] : which[-1] + 1] if near else x[list(which)]
        return single_task(some)


@dataclass(frozen=True)
class CodeRows:
    """Codes on the workers, one signal at a time, as the signals of the next layer.

    Parameters
    ----------
    groups : list of futures
        Each a list of codes, one entry per group.
    places : list of (int, int)
        Group and row of each signal.
    """

    groups: list
    places: list

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        return self.places[i]

    def take(self, which, name, number):
        """Task that returns a list of dense codes ``(K, *V)`` of some signals."""
        places = [self.places[i] for i in which]
        own = sorted({g for g, _ in places})
        rows = [(own.index(g), row) for g, row in places]
        return make_task("rows", _tasks.rows, name, number, [self.groups[g] for g in own], rows)


def _opened(X):
    """Open a path: a Zarr array, or pictures as delayed signals that workers read."""
    if not isinstance(X, str | Path):
        return X
    from dask import delayed

    folder = Path(X)
    if any((folder / name).exists() for name in ("zarr.json", ".zarray")):
        import dask.array as da

        return da.from_zarr(str(folder))
    return [delayed(read_picture)(file) for file in picture_files(folder)]


def _listed(X):
    """Turn a bag or a sequence of signals into a list of tasks."""
    from dask import array, bag, delayed, is_dask_collection

    if isinstance(X, bag.Bag):
        parts = [delayed(list)(part) for part in X.to_delayed()]
        numbers = delayed([delayed(len)(part) for part in parts]).compute()
        return [part[i] for part, n in zip(parts, numbers, strict=True) for i in range(n)]
    X = [single_task(x) if isinstance(x, array.Array) else x for x in X]
    if not X:
        raise ValueError("X is empty; give at least one signal (C, *S)")
    return [x if is_dask_collection(x) else delayed(x, traverse=False) for x in X]
