"""The duality gap of any data term and convex penalty.

With ``f(u)`` the data term at the fit ``u = D z`` and g the penalty, weak duality (Fenchel) says

    f(D z) + g(z)  >=  -f*(-theta) - g*(D^T theta)    for every theta.

``theta = -f'(D z)`` is best at a minimum; before, it is divided until ``D^T theta`` lies in the domain
of ``g*``. Every conjugate here has a domain that contains, with ``theta_i``, all numbers between it
and 0, for each sample apart. Samples may therefore be divided by different numbers, as in
`csc.certificates._local_dual`.

Codes without a penalty need ``D^T theta = 0`` there: theta is made orthogonal to their atoms, and then
shortened until it lies in the domain of ``f*`` again.
"""

import numpy as np

from csc._backend import namespace
from csc.certificates._duality_gap import orthogonal_to_free, without_rounding
from csc.certificates._local_dual import N_RESCALINGS
from csc.data_terms import dual_point, dual_values, values
from csc.operators import KnownInfeasibility, PaddedSignals, SparseCodes, dense_codes

# by which a dual point is shortened that orthogonality or rounding moved out of the domain
SHORTER = np.array([0, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0])


def data_term_certificate(x, dictionary, z, model, theta=None):
    """Objective and duality gap of all signals together, in float64.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary or MeasuredDictionary
    z : array (N, K, *V) or SparseCodes
    model : (data term, weights, penalty, code_lmbda)
        Weights of the samples, or None; ``lmbda w`` of the codes, all > 0, if the penalty is L1 and the
        arrays are NumPy's, else None.
    theta : array like x, optional
        Dual point to try, in the domain of the conjugate of the data term but for rounding.
    """
    (term, weights, penalty, code_lmbda), n = model, len(x)
    x, D = x.astype("float64"), dictionary.as_double
    if code_lmbda is not None:
        layout, codes = PaddedSignals(D, x.shape, "float64"), SparseCodes.of(z)
        fit = layout.synthesize(
            SparseCodes(codes.shape, codes.index, codes.values.astype("float64"))
        )
    else:
        z = dense_codes(z).astype("float64")
        fit = D(z, x.shape[2:])
    weights = None if weights is None else weights.astype("float64")
    objective = values(term, x, fit, weights)
    if theta is None:
        theta = dual_point(term, x, fit, weights)
    else:
        theta = _in_domain(term, x, theta.astype("float64"), weights)
    if code_lmbda is not None:
        lmbda = code_lmbda.astype("float64")
        own = codes.sums(abs(codes.values) * codes.pick(lmbda))
        if penalty.positive and (codes.values < 0).any():
            own = own + np.inf
        padded = layout.buffer(D.pad(theta))
        pair = term, x.reshape(n, -1), None if weights is None else weights.reshape(n, -1)
        dual = best_dual_of_term(layout, pair, padded, 1 / lmbda, penalty.positive)
    else:
        own = penalty.values(z)
        dual = _dual_of_all((x, D, z), theta, (term, weights), penalty)
    objective = objective + own
    gap = namespace(x).maximum(objective - dual, 0)
    return float(objective.sum()), float(gap.sum())


def _in_domain(term, x, theta, weights):
    """Theta of each signal, shortened until it lies in the domain of the conjugate, which rounding may leave."""
    xp, factor = namespace(x), namespace(x).ones((len(x), *(1,) * (x.ndim - 1)))
    for shorter in SHORTER[1:]:
        outside = xp.isinf(dual_values(term, x, factor * theta, weights))
        if not outside.any():
            break
        factor[outside] = 1 - shorter
    return factor * theta


def _dual_of_all(of, theta, pair, penalty):
    """Dual value of each signal ``(N,)`` at theta, divided by one number for each signal."""
    (x, D, z), (term, weights) = of, pair
    xp = namespace(x)
    q = D.adjoint(theta)
    free = penalty.free(z) if hasattr(penalty, "free") else None
    if free is not None:
        seen, before = None if weights is None else weights > 0, q
        theta = orthogonal_to_free(theta, D, z, free, penalty, seen)
        q = without_rounding(D.adjoint(theta), free, before)
    s = 1 / xp.maximum(penalty.dual_norm(q), 1)
    best = xp.full(len(x), -xp.inf)
    for shorter in SHORTER if free is not None else (0.0,):
        factor = (1 - shorter) * s
        scaled = theta * factor.reshape(-1, *(1,) * (x.ndim - 1))
        dual = dual_values(term, x, scaled, weights) - penalty.conjugate(q, factor)
        best = xp.maximum(best, dual)
    return best


def best_dual_of_term(layout, pair, theta, inverse_lmbda, positive, dual_infeasibility=None):
    """Best dual value of each signal ``(N,)``: `best_dual`, for any data term.

    Parameters
    ----------
    layout : PaddedSignals
    pair : (data term, x, weights)
        Signals and weights ``(N, C * prod(S))``; weights may be None.
    theta : array
        Dual point, padded.
    inverse_lmbda, positive, dual_infeasibility
        As `best_dual`.
    """
    term, x, weights = pair
    best, settings = np.full(len(x), -np.inf), (inverse_lmbda, positive)
    if dual_infeasibility is None:
        dual_infeasibility = layout.dual_infeasibility(theta, *settings)
    for round_ in range(N_RESCALINGS + 1):
        if round_ > 0:
            known = KnownInfeasibility(theta, dual_infeasibility)
            theta = theta / layout.max_over_covering_atoms(np.maximum(dual_infeasibility, 1))
            dual_infeasibility = layout.dual_infeasibility_near(theta, known, *settings)
        largest = dual_infeasibility.reshape(len(x), -1).max(axis=1)
        scaled = layout.samples(theta) / np.maximum(largest, 1)[:, None]
        best = np.maximum(best, dual_values(term, x, scaled, weights))
    return best
