"""Estimate of the memory that a fit needs, before it starts."""

from dataclasses import dataclass, replace
from math import prod
from types import SimpleNamespace

from csc._memory import available, check_memory
from csc.learning._statistics import lags_of
from csc.operators import ConvGeometry

ARRAYS_WHILE_CODING = 10  # arrays of the size of a group of signals while it is encoded
BYTES_PER_CODE = 16  # of a stored code: its index and its value
COPIES_OF_STATISTICS = 4  # in memory at once: old, new, and two more while they are summed


@dataclass(frozen=True)
class MemoryPlan:
    """Peak memory of a fit in bytes, by purpose; the signals themselves not included.

    Attributes
    ----------
    statistics, coding, codes : int
        Sufficient statistics, with the transforms of the atoms during their update; residuals and
        maps of a group of signals, with its dense codes unless the penalty is a lasso; and the
        codes stored between passes, as if every position had one (an upper bound).
    available : float
        Memory that this process can still use.
    signals : int
        Signals stored by a Dask worker; 0 in one process, where they belong to the caller.
    """

    statistics: int
    coding: int
    codes: int
    available: float
    signals: int = 0

    @property
    def total(self):
        """Sum of all bytes."""
        return self.statistics + self.coding + self.codes + self.signals

    @property
    def fits(self):
        """Whether the available memory is sufficient."""
        return self.total <= self.available

    def __repr__(self):
        parts = ", ".join(
            f"{name}={getattr(self, name):,}"
            for name in ("statistics", "coding", "codes", "signals")
            if name != "signals" or self.signals
        )
        return f"MemoryPlan(total={self.total:,}, {parts}, available={self.available:,}, fits={self.fits})"

    def check(self):
        """Raise MemoryError if the available memory is not sufficient."""
        hint = "use fewer or smaller atoms, a crop, or a smaller batch_size"
        check_memory(f"this fit ({self!r})", self.total, hint, self.available)


def memory_plan_of(learner, lags, signals, dense):
    """`MemoryPlan` of a learner on signals.

    Parameters
    ----------
    learner : DictionaryLearning
    lags : tuple
        Numbers of lags of its statistics; () for patches.
    signals : Signals
    dense : bool
        Whether codes of signals larger than the atoms are dense arrays.
    """
    sizes = sorted((prod(shape) for shape in signals.shapes), reverse=True)
    if learner.crop is not None:
        sizes = [min(size, signals.n_channels * prod(learner.crop)) for size in sizes]
    batch = sizes if learner.batch_size is None else sizes[: learner.batch_size]
    k, channels, spatial_shape = learner.n_atoms, signals.n_channels, learner.atom_shape
    width = channels * prod(spatial_shape)
    statistics = COPIES_OF_STATISTICS * 8 * (k * k * prod(lags) + k * width)
    if lags:  # spectra of the atoms and of rows of the statistics
        spectrum = prod(n + s for n, s in zip(lags, spatial_shape, strict=True))
        statistics += 16 * k * (channels + 1) * spectrum
    together = max(sizes[0], min(sum(batch), 2**20))
    coding = ARRAYS_WHILE_CODING * 8 * together * maps_while_coding(k, channels, dense)
    online = learner.batch_size is not None and learner.batch_size < len(sizes)
    kept = k if dense or not lags else 1  # codes per position; a patch has k
    codes = 0 if online else BYTES_PER_CODE * sum(batch) * kept // (channels if lags else width)
    return MemoryPlan(statistics, coding, codes, available())


def maps_while_coding(n_atoms, channels, dense):
    """Factor by which dense codes enlarge the arrays of the size of the signals."""
    return n_atoms // channels + 1 if dense else 1


def memory_plan_of_layers(layers, signals, joint, *, most_codes):
    """`MemoryPlan` of the phase of multi-layer learning that needs the most memory.

    Parameters
    ----------
    layers : Layers
    signals : Signals
    joint : dict
        ``batch_size`` and ``crop`` of the joint phase; earlier phases use those of each layer.
    most_codes : int
        Codes of all layers in memory during a pursuit of the joint phase; 0: deepest codes only.
    """
    below, plans, n_codes = signals, [], 0
    for learner, stride in zip(layers.learners, layers.strides, strict=True):
        memory_plan = memory_plan_of(
            learner, lags_of(learner.atom_shape, stride), below, dense=False
        )
        if plans:  # codes that serve as signals are dense
            sizes = sorted(map(prod, below.shapes), reverse=True)[: learner.batch_size]
            memory_plan = replace(memory_plan, coding=memory_plan.coding + 8 * sum(sizes))
        plans.append(memory_plan)
        geometry = ConvGeometry.of(learner.mode, stride, learner.atom_shape)
        codes = {s: geometry.spatial_code_shape(s[1:]) for s in set(map(tuple, below.shapes))}
        shapes = [(learner.n_atoms, *codes[tuple(s)]) for s in below.shapes]
        below = SimpleNamespace(shapes=shapes, n_channels=learner.n_atoms)
        n_codes += max(map(prod, shapes))
    whole = SimpleNamespace(n_atoms=learner.n_atoms, atom_shape=layers.reach, **joint)
    memory_plan = memory_plan_of(whole, lags_of(layers.reach, layers.stride), signals, dense=False)
    together = max(n_codes, min(most_codes, n_codes * len(shapes))) if most_codes else 0
    plans.append(
        replace(memory_plan, coding=memory_plan.coding + ARRAYS_WHILE_CODING * 8 * together)
    )
    return max(plans, key=lambda memory_plan: memory_plan.total)
