"""Dual points rescaled sample by sample: sharp certificates for large signals.

A residual r is dual feasible if ``|D^T r| <= lmbda`` for every code. Usually all of r is divided by
the largest dual infeasibility, so that one part of a large signal loosens the bound of the whole.
But a constraint depends only on the samples under one atom. Here each sample is divided by the
largest dual infeasibility of the atoms that cover it. The small infeasibility that remains is
reduced by a second round and removed by one global scaling at the end. The point is feasible by
construction, so the bound always holds.
"""

import numpy as np

from csc._backend import kernels, namespace

ROUNDS = 2  # measured on photographs: the first divides the gap by 5 to 10, the second by 2


def best_dual(layout, x, r, worths, positive, dual_infeasibility=None):  # noqa: PLR0913
    """Best dual value found from residuals: no objective is lower.

    Parameters
    ----------
    layout : PaddedSignals
    x, r : arrays (N, C, *P)
        Signals and residuals, as `Layout.buffer` lays them out, 0 where nothing was observed.
    worths : array (K,)
        One over the price of each atom.
    positive : bool
        Whether codes must not be negative.
    excess : array (N, *V), optional
        `Layout.excess` of ``r``, if it is known.

    Returns
    -------
    dual : array (N,), float64
        Largest ``<x, theta> - 1/2 ||theta||^2`` over the points tried.
    """
    xp = namespace(x, r)
    theta, best = r, xp.full(len(x), -np.inf)
    dual_infeasibility = (
        layout.dual_infeasibility(r, worths, positive)
        if dual_infeasibility is None
        else dual_infeasibility
    )
    for round_ in range(ROUNDS + 1):
        if round_ > 0:
            theta = theta / layout.max_over_covering_atoms(xp.maximum(dual_infeasibility, 1))
            dual_infeasibility = layout.dual_infeasibility(theta, worths, positive)
        best = xp.maximum(
            best, scaled_dual(layout.samples(x), layout.samples(theta), dual_infeasibility)
        )
    return best


def sparse_certificate(residual, atom_lmbda, positive, infeasibility=None, *, local=True):
    """Objective and duality gap of each signal ``(N,)`` at sparse codes, in float64 sums.

    Parameters
    ----------
    residual : SparseResidual
    atom_lmbda : array (K,)
        ``lmbda w`` of each atom, > 0.
    positive : bool
        Whether codes must not be negative.
    infeasibility : array (N, *V), optional
        `PaddedSignals.dual_infeasibility` at the present residual, if it is known.
    local : bool
        Rescale the dual point sample by sample; else by its largest infeasibility, which costs
        nothing more and bounds less.
    """
    layout, codes = residual.layout, residual.codes
    r = residual.observed(residual.r)
    penalty = codes.sums(abs(codes.values) * atom_lmbda[residual.columns.atom])
    objective = 0.5 * residual.energies(r) + penalty
    if local:
        dual = best_dual(layout, residual.x, r, 1 / atom_lmbda, positive, infeasibility)
    else:
        dual = scaled_dual(layout.samples(residual.x), layout.samples(r), infeasibility)
    return objective, np.maximum(objective - dual, 0)


def scaled_dual(x, theta, dual_infeasibility):
    """``max_s <x, s theta> - 1/2 ||s theta||^2``, s at most ``1 / max(excess)``, of each row."""
    xp = namespace(x, theta)
    inner, energy = xp.empty(len(x)), xp.empty(len(x))
    kernels(x).inner_products(x, theta, inner)
    kernels(x).inner_products(theta, theta, energy)
    return dual_of(inner, energy, dual_infeasibility.reshape(len(x), -1).max(axis=1))


def dual_of(inner, energy, worst):
    """As `scaled_dual`, from ``<x, theta>``, ``||theta||^2`` and the worst excess."""
    xp = namespace(inner, energy, worst)
    most = 1 / xp.maximum(worst, np.finfo(worst.dtype).tiny)
    s = xp.clip(inner / xp.where(energy > 0, energy, 1), 0, most)
    return s * inner - 0.5 * s * s * energy
