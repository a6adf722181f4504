"""What a fit will take of memory, said before it starts."""

from dataclasses import dataclass
from math import prod

from csc._memory import available, check_memory

CODING = 10  # arrays of the size of the signals that are coded together
A_CODE = 16  # bytes of a code that is kept: its place and its value
SUMS = 4  # statistics held at once: old, new, and while they are summed, two more


@dataclass(frozen=True)
class Plan:
    """Bytes that a fit takes at once, beside the signals, and what for.

    Attributes
    ----------
    statistics, coding, codes : int
        Moments of codes; residuals and maps of the signals coded together; the codes kept from
        pass to pass, if there is one for every sample (there are fewer).
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
        return (
            f"Plan(total={self.total:,}, {parts}, available={self.available:,}, fits={self.fits})"
        )

    def check(self):
        """Raise MemoryError if there is no room."""
        mend = "take fewer or smaller atoms, a crop, or a smaller batch_size"
        check_memory(f"this fit ({self!r})", self.total, mend, self.available)


def plan_of(atom_shape, lags, signals, batch_size, crop):
    """`Plan` of a learner of atoms ``(K, C, *s)`` with this many lags on signals."""
    sizes = sorted((prod(shape) for shape in signals.shapes), reverse=True)
    if crop is not None:
        sizes = [min(size, atom_shape[1] * prod(crop)) for size in sizes]
    batch = sizes if batch_size is None else sizes[:batch_size]
    k, width = atom_shape[0], prod(atom_shape[1:])
    statistics = SUMS * 8 * (k * k * prod(lags) + k * width)
    together = max(sizes[0], min(sum(batch), 2**20))
    online = batch_size is not None and batch_size < len(sizes)
    dense = k if not lags else 1  # codes of patches
    codes = 0 if online else A_CODE * sum(batch) * dense // (width if not lags else 1)
    return Plan(statistics, CODING * 8 * together, codes, available())
