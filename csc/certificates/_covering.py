"""Which atoms cover which samples, of dense arrays on any device: what `csc.certificates._local_dual` asks for.

`csc.operators._support_operator.PaddedSignals` does the same for signals on the host, where codes are sparse.
"""

from functools import reduce

from csc._backend import kernels, namespace
from csc.certificates._local_dual import best_dual


class Cover:
    """Atoms of a dictionary over padded signals.

    Parameters
    ----------
    dictionary : Dictionary
    extents : tuple
        *S* of the signals.
    """

    def __init__(self, dictionary, extents):
        self.dictionary, self.extents = dictionary, tuple(extents)
        geometry, ones = dictionary.geometry, (1,) * (3 - len(extents))
        self.positions = geometry.code_extents(extents)
        self.volume = (*ones, *self.positions)
        self.stride = (*ones, *geometry.stride)
        axes = zip(geometry.low, self.extents, strict=True)
        self.own = (..., *(slice(a, a + n) for a, n in axes))

    def samples(self, a):
        """The signals' own samples of a padded array, ``(N, C * prod(S))``."""
        return a[self.own].reshape(len(a), -1)

    def dual_infeasibility(self, r, worths, positive):
        """``max_k w_k |D^T r|_k`` at every position ``(N, *V)``, of a padded residual."""
        xp, n, tops, ones = namespace(r), len(r), [], (1,) * (5 - r.ndim)
        volumes = xp.ascontiguousarray(r).reshape(*r.shape[:2], *ones, *r.shape[2:])
        for which, atoms in self.dictionary.parts:
            tops.append(xp.empty((n, *self.volume), r.dtype))
            ours = xp.ascontiguousarray(atoms).reshape(*atoms.shape[:2], *ones, *atoms.shape[2:])
            kernels(r).dual_infeasibility(
                volumes, ours, worths[which], self.stride, positive, tops[-1]
            )
        return reduce(xp.maximum, tops).reshape(n, *self.positions)

    def max_over_covering_atoms(self, a):
        """At each padded sample the largest of ``a`` > 0 among the atoms that cover it, or 1."""
        geometry, xp, wraps = self.dictionary.geometry, namespace(a), self.wraps
        extents = self.extents if wraps else geometry.padded_extents(self.extents)
        out = xp.zeros((len(a), 1, *extents), a.dtype)
        axes = zip(self.positions, geometry.stride, strict=True)
        out[(slice(None), 0, *(slice(0, (v - 1) * t + 1, t) for v, t in axes))] = a
        for axis, extent in enumerate(self.dictionary.extents, start=2):
            out = _largest_before(out, axis, extent, wraps)
        out = xp.where(out > 0, out, 1)
        return geometry.pad(out) if wraps else out

    @property
    def wraps(self):
        """Whether signals are circles."""
        return self.dictionary.mode == "circular"


def local_certificate(x, dictionary, z, penalty, mask, prices):  # noqa: PLR0913
    """Objective and duality gap of each signal, ``(N,)`` each, from dual points shrunk locally.

    Parameters
    ----------
    x, dictionary, z, penalty, mask
        As `csc.certificates.certificate`; the penalty is L1.
    prices : array (K,), float64
        Of the atoms, > 0.
    """
    xp, D, x, z = namespace(x), dictionary.as_double, x.astype("float64"), z.astype("float64")
    r = x - D(z, x.shape[2:])
    r = r if mask is None else r * mask.astype("float64")
    rows = r.reshape(len(r), -1)
    objective = 0.5 * xp.einsum("ni,ni->n", rows, rows) + penalty.values(z)
    cover = Cover(D, x.shape[2:])
    dual = best_dual(cover, D.pad(x), D.pad(r), 1 / prices, penalty.positive)
    return objective, xp.maximum(objective - dual, 0)


def _largest_before(a, axis, extent, wraps):
    """The largest of each entry and the ``extent - 1`` before it."""
    xp, width = namespace(a), 1
    while width < extent:
        step = min(width, extent - width)
        before = xp.roll(a, step, axis)
        if not wraps:
            before[(slice(None),) * axis + (slice(0, step),)] = 0
        a, width = xp.maximum(a, before), width + step
    return a
