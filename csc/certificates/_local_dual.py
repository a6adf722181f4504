"""Dual points rescaled sample by sample: sharp certificates for large signals.

A residual r is dual feasible if ``|D^T r| <= lmbda`` for every code. Usually all of r is divided by
the largest dual infeasibility, so that one part of a large signal loosens the bound of the whole.
But a constraint depends only on the samples under one atom. Here each sample is divided by the
largest dual infeasibility of the atoms that cover it. The small infeasibility that remains is
reduced by a second round and removed by one global scaling at the end. The point is feasible by
construction, so the bound always holds.
"""

from functools import reduce
from math import inf

import numpy as np

from csc._backend import kernels, namespace
from csc.operators import KnownInfeasibility

N_RESCALINGS = 2  # measured on photographs: the first divides the gap by 5 to 10, the second by 2


def best_dual(layout, x, r, inverse_lmbda, positive, dual_infeasibility=None, most_growth=inf):
    """Best dual value found from residuals: no objective is lower.

    Parameters
    ----------
    layout : PaddedSignals or AtomCoverage
    x, r : arrays (N, C, *P)
        Signals and residuals, padded as ``layout`` asks, 0 where nothing was observed.
    inverse_lmbda : array (K,), or for `PaddedSignals` one that broadcasts to the codes
        ``1 / (lmbda w)``.
    positive : bool
        Whether codes must not be negative.
    dual_infeasibility : array (N, *V), optional
        `PaddedSignals.dual_infeasibility` of ``r``, if it is already computed.
    most_growth : float
        As of `scaled_dual`.

    Returns
    -------
    dual : array (N,), float64
        Largest ``<x, theta> - 1/2 ||theta||^2`` over the points tried.
    """
    xp = namespace(x, r)
    theta, best, own = r, xp.full(len(x), -np.inf), layout.rows(x)
    dual_infeasibility = (
        layout.dual_infeasibility(r, inverse_lmbda, positive)
        if dual_infeasibility is None
        else dual_infeasibility
    )
    for round_ in range(N_RESCALINGS + 1):
        if round_ > 0:
            known = KnownInfeasibility(theta, dual_infeasibility)
            theta = theta / layout.max_over_covering_atoms(xp.maximum(dual_infeasibility, 1))
            dual_infeasibility = layout.dual_infeasibility_near(
                theta, known, inverse_lmbda, positive
            )
        dual = scaled_dual(own, layout.rows(theta), dual_infeasibility, most_growth)
        best = xp.maximum(best, dual)
    return best


def sparse_certificate(residual, lmbda, positive, infeasibility=None, *, local=True):
    """Objective and duality gap of each signal ``(N,)`` at sparse codes, in float64 sums.

    Parameters
    ----------
    residual : SparseResidual
    lmbda : array (K,), or one that broadcasts to the codes
        ``lmbda w``, > 0.
    positive : bool
        Whether codes must not be negative.
    infeasibility : array (N, *V), optional
        `PaddedSignals.dual_infeasibility` at the present residual, if it is already computed.
    local : bool
        Rescale the dual point sample by sample; else by its largest infeasibility, which costs
        nothing more and bounds less.
    """
    layout, codes = residual.layout, residual.codes
    r = residual.observed(residual.r)
    penalty = codes.sums(abs(codes.values) * residual.pick(lmbda))
    rows, energy, inner = layout.rows(r), np.empty(len(r)), np.empty(len(r))
    kernels(rows).inner_products(rows, rows, energy)
    objective = 0.5 * energy + penalty
    if local:
        dual = best_dual(layout, residual.x, r, 1 / lmbda, positive, infeasibility)
    else:
        kernels(rows).inner_products(layout.rows(residual.x), rows, inner)
        dual = dual_of(inner, energy, infeasibility.reshape(len(r), -1).max(axis=1))
    return objective, np.maximum(objective - dual, 0)


def scaled_dual(x, theta, dual_infeasibility, most_growth=inf):
    """``max_s <x, s theta> - 1/2 ||s theta||^2`` of each row, s theta feasible.

    Parameters
    ----------
    x, theta : arrays (N, n)
    dual_infeasibility : array (N, ...)
        Of ``theta``.
    most_growth : float
        Largest s: 1 where a dual infeasibility below 1 does not say how far theta may grow.
    """
    xp = namespace(x, theta)
    inner, energy = xp.empty(len(x)), xp.empty(len(x))
    kernels(x).inner_products(x, theta, inner)
    kernels(x).inner_products(theta, theta, energy)
    largest = dual_infeasibility.reshape(len(x), -1).max(axis=1)
    return dual_of(inner, energy, largest, most_growth)


def dual_of(inner, energy, largest, most_growth=inf):
    """As `scaled_dual`, from ``<x, theta>``, ``||theta||^2`` and the largest dual infeasibility."""
    xp = namespace(inner, energy, largest)
    most = xp.minimum(1 / xp.maximum(largest, np.finfo(largest.dtype).tiny), most_growth)
    s = xp.clip(inner / xp.where(energy > 0, energy, 1), 0, most)
    return s * inner - 0.5 * s * s * energy


def local_certificate(x, dictionary, z, penalty, mask, atom_lmbda):
    """Objective and duality gap of each signal, ``(N,)`` each, from dual points shrunk locally.

    Parameters
    ----------
    x, dictionary, z, penalty, mask
        As `csc.certificates.certificate`; the penalty is L1.
    atom_lmbda : array (K,), float64
        ``lmbda w`` of each atom, > 0.
    """
    xp, D, x, z = namespace(x), dictionary.as_double, x.astype("float64"), z.astype("float64")
    r = x - D(z, x.shape[2:])
    r = r if mask is None else r * mask.astype("float64")
    rows = r.reshape(len(r), -1)
    objective = 0.5 * xp.einsum("ni,ni->n", rows, rows) + penalty.values(z)
    coverage = AtomCoverage(D, x.shape[2:])
    dual = best_dual(coverage, D.pad(x), D.pad(r), 1 / atom_lmbda, penalty.positive)
    return objective, xp.maximum(objective - dual, 0)


class AtomCoverage:
    """Which atoms cover which samples, of dense arrays on any device.

    `PaddedSignals` does the same for signals on the host, where codes are sparse.

    Parameters
    ----------
    dictionary : Dictionary
    signal_shape : tuple
        *S* of the signals.
    """

    def __init__(self, dictionary, signal_shape):
        self.dictionary, self.signal_shape = dictionary, tuple(signal_shape)
        geometry, ones = dictionary.geometry, (1,) * (3 - len(signal_shape))
        self.positions = geometry.spatial_code_shape(signal_shape)
        self.volume = (*ones, *self.positions)
        self.stride = (*ones, *geometry.stride)
        axes = zip(geometry.low, self.signal_shape, strict=True)
        self.own = (..., *(slice(a, a + n) for a, n in axes))

    def rows(self, a):
        """The signals' own samples of a padded array, ``(N, C * prod(S))``."""
        return a[self.own].reshape(len(a), -1)

    def dual_infeasibility(self, r, inverse_lmbda, positive):
        """Largest ``|D^T r| / lmbda`` over the atoms at each position ``(N, *V)``, r padded."""
        xp, n, largest, ones = namespace(r), len(r), [], (1,) * (5 - r.ndim)
        volumes = xp.ascontiguousarray(r).reshape(*r.shape[:2], *ones, *r.shape[2:])
        for index, atoms in self.dictionary.parts:
            largest.append(xp.empty((n, *self.volume), r.dtype))
            shape = *atoms.shape[:2], *ones, *atoms.shape[2:]
            part = xp.ascontiguousarray(atoms).reshape(shape)
            kernels(r).dual_infeasibility(
                volumes, part, inverse_lmbda[index], self.stride, positive, largest[-1]
            )
        return reduce(xp.maximum, largest).reshape(n, *self.positions)

    def dual_infeasibility_near(self, r, known, inverse_lmbda, positive):  # noqa: ARG002
        """As `dual_infeasibility`; `PaddedSignals` saves time by what is ``known``."""
        return self.dual_infeasibility(r, inverse_lmbda, positive)

    def max_over_covering_atoms(self, a):
        """At each padded sample the largest of ``a`` > 0 among the atoms that cover it, or 1."""
        geometry, xp, wraps = self.dictionary.geometry, namespace(a), self.wraps
        signal_shape = self.signal_shape if wraps else geometry.padded_shape(self.signal_shape)
        out = xp.zeros((len(a), 1, *signal_shape), a.dtype)
        axes = zip(self.positions, geometry.stride, strict=True)
        out[(slice(None), 0, *(slice(0, (v - 1) * t + 1, t) for v, t in axes))] = a
        for axis, extent in enumerate(self.dictionary.atom_shape, start=2):
            out = _largest_before(out, axis, extent, wraps)
        out = xp.where(out > 0, out, 1)
        return geometry.pad(out) if wraps else out

    @property
    def wraps(self):
        """Whether the signals wrap around."""
        return self.dictionary.mode == "circular"


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
