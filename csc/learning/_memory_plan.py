"""What a fit will take of memory, said before it starts."""

from dataclasses import dataclass, replace
from math import prod
from types import SimpleNamespace

from csc._memory import available, check_memory
from csc.learning._statistics import lags_of
from csc.operators import ConvGeometry

ARRAYS_WHILE_CODING = 10  # arrays of the size of the signals that are coded together
BYTES_PER_CODE = 16  # bytes of a code that is kept: its place and its value
COPIES_OF_STATISTICS = 4  # statistics held at once: old, new, and while they are summed, two more


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a fit takes at once, beside the signals, and what for.

    Attributes
    ----------
    statistics, coding, codes : int
        Moments of codes, and transforms of the atoms while these are updated; residuals and maps
        of the signals coded together, with all their codes where a penalty is not a lasso; the
        codes kept from pass to pass, if there is one at every position (there are fewer).
    available : float
        Bytes that this process may still take.
    signals : int
        Signals that stay with a Dask worker; those of one process are its caller's.
    """

    statistics: int
    coding: int
    codes: int
    available: float
    signals: int = 0

    @property
    def total(self):
        """All bytes together."""
        return self.statistics + self.coding + self.codes + self.signals

    @property
    def fits(self):
        """Whether there is room."""
        return self.total <= self.available

    def __repr__(self):
        parts = ", ".join(
            f"{name}={getattr(self, name):,}"
            for name in ("statistics", "coding", "codes", "signals")
            if name != "signals" or self.signals
        )
        return f"MemoryPlan(total={self.total:,}, {parts}, available={self.available:,}, fits={self.fits})"

    def check(self):
        """Raise MemoryError if there is no room."""
        hint = "take fewer or smaller atoms, a crop, or a smaller batch_size"
        check_memory(f"this fit ({self!r})", self.total, hint, self.available)


def memory_plan_of(learner, lags, signals, dense):
    """`MemoryPlan` of a learner on signals.

    Parameters
    ----------
    learner : DictionaryLearning
    lags : tuple
        Numbers of lags of its statistics; () of patches.
    signals : Signals
    dense : bool
        Whether signals larger than the atoms are coded with all their zeros.
    """
    sizes = sorted((prod(shape) for shape in signals.shapes), reverse=True)
    if learner.crop is not None:
        sizes = [min(size, signals.n_channels * prod(learner.crop)) for size in sizes]
    batch = sizes if learner.batch_size is None else sizes[: learner.batch_size]
    k, channels, extents = learner.n_atoms, signals.n_channels, learner.atom_shape
    width = channels * prod(extents)
    statistics = COPIES_OF_STATISTICS * 8 * (k * k * prod(lags) + k * width)
    if lags:  # atoms and rows of lags, as spectra
        spectrum = prod(n + s for n, s in zip(lags, extents, strict=True))
        statistics += 16 * k * (channels + 1) * spectrum
    together = max(sizes[0], min(sum(batch), 2**20))
    coding = ARRAYS_WHILE_CODING * 8 * together * maps_while_coding(k, channels, dense)
    online = learner.batch_size is not None and learner.batch_size < len(sizes)
    kept = k if dense or not lags else 1  # codes a position; a patch has k
    codes = 0 if online else BYTES_PER_CODE * sum(batch) * kept // (channels if lags else width)
    return MemoryPlan(statistics, coding, codes, available())


def maps_while_coding(n_atoms, channels, dense):
    """Arrays of the size of the signals that coding holds, for each it holds of these."""
    return n_atoms // channels + 1 if dense else 1


def memory_plan_of_layers(layers, signals, joint, *, most_codes):
    """`MemoryPlan` of the phase of multi-layer learning that takes most.

    Parameters
    ----------
    layers : Layers
    signals : Signals
    joint : dict
        ``batch_size`` and ``crop`` of the joint phase; in the phases before, those of each layer.
    most_codes : int
        Codes of all layers that a pursuit of the joint phase holds at once; 0: deepest alone.
    """
    below, plans, n_codes = signals, [], 0
    for learner, stride in zip(layers.learners, layers.strides, strict=True):
        memory_plan = memory_plan_of(
            learner, lags_of(learner.atom_shape, stride), below, dense=False
        )
        if plans:  # codes as signals are dense
            sizes = sorted(map(prod, below.shapes), reverse=True)[: learner.batch_size]
            memory_plan = replace(memory_plan, coding=memory_plan.coding + 8 * sum(sizes))
        plans.append(memory_plan)
        geometry = ConvGeometry.of(learner.mode, stride, learner.atom_shape)
        codes = {s: geometry.code_extents(s[1:]) for s in set(map(tuple, below.shapes))}
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
