"""Duality gaps of patch codes, in float64 at the cost of float32.

    gap = 1/2 ||r||^2 (1 - s)^2 + sum_k w_k |z_k| - s <D z, r>,   r = x - D z,
    s = 1 / max(1, max_k |d_k^T r| / w_k)

The residual is summed from the few codes that are not zero. The maximum is found in two steps:
``D^T x - G z``, in the precision of the signals and with a bound on its rounding error, shows which
atoms can attain it; only their correlations are computed from the residual in float64.
"""

import numpy as np

from csc.kernels.cpu.compilation import entry, inner
from csc.kernels.cpu.inverse_cholesky import OPTIONS, largest, list_active
from csc.kernels.cpu.threads import in_batches, inputs

Q, UPPER, LOWER = range(3)  # rows of ``lists``: vectors over all atoms
FIT, R = range(2)  # rows of ``work``: vectors over the samples of a patch


def certify_patches(x, atoms, gram, correlations, weights, positive, z, objective, gap):
    """Objective and duality gap of the lasso of each signal.

    Parameters
    ----------
    x, atoms : arrays (N, n), (K, n)
        Signals and atoms as rows.
    gram, correlations : arrays (K, K), (N, K)
        D^T D and D^T x, computed in the precision of the signals in any order.
    weights : array (K,)
        lmbda w.
    positive : bool
        Whether codes must not be negative.
    z : array (N, K)
        Codes.
    objective, gap : arrays (N,), float64
        The answers.
    """
    norm = float(np.sqrt(np.einsum("kn,kn->k", atoms, atoms, dtype="float64").max()))
    n_atoms, n = atoms.shape
    inverse_lmbda = np.zeros(n_atoms, gram.dtype)
    np.divide(1, weights, out=inverse_lmbda, where=weights > 0)
    *problem, z = inputs(x, atoms, gram, correlations, weights, inverse_lmbda, z)
    options = norm, not positive, float(np.finfo(gram.dtype).eps)

    def scratch():
        lists = np.empty((3, n_atoms), gram.dtype)
        return np.empty((2, n)), lists, np.empty(n_atoms, np.intp)

    in_batches(_certify, len(z), *problem, options, z, objective, gap, scratch=scratch)


@entry(**OPTIONS)
def _certify(
    start, stop, x, atoms, gram, correlations, weights, inverse_lmbda, options, z, objective, gap,
    work, lists, active,
):  # fmt: skip
    n, (norm, both_signs, eps) = atoms.shape[1], options
    for i in range(start, stop):
        m = list_active(z[i], active)
        size, penalty_value = 0.0, 0.0
        for a in range(m):
            code = np.float64(z[i, active[a]])
            size += abs(code)
            penalty_value += abs(code) * weights[active[a]]
            if code < 0 and not both_signs:
                penalty_value = np.inf
        energy, residual, fit = _subtract(x[i], atoms, z[i], active[:m], work)
        _correlate(gram, correlations[i], z[i], active[:m], lists)
        # rounding of D^T x, of G and of their sum: gamma_p < p eps for each product of length p
        rounding_error = (n + m + 8) * eps * norm * (np.sqrt(energy) + norm * size)
        dual_norm = _dual_norm(
            atoms, weights, inverse_lmbda, both_signs, rounding_error, lists, work
        )
        shrink = 1 / max(dual_norm, 1.0)
        objective[i] = 0.5 * residual + penalty_value
        gap[i] = max(0.5 * residual * (1 - shrink) ** 2 + penalty_value - shrink * fit, 0.0)


@inner(**OPTIONS)
def _subtract(x, atoms, z, active, work):
    """D z and r = x - D z in float64; returns ||x||^2, ||r||^2 and <D z, r>."""
    n = x.size
    for j in range(n):
        work[FIT, j] = 0.0
    for k in active:
        code = np.float64(z[k])
        for j in range(n):
            work[FIT, j] += code * atoms[k, j]
    energy, residual, fit = 0.0, 0.0, 0.0
    for j in range(n):
        r = x[j] - work[FIT, j]
        work[R, j] = r
        energy += np.float64(x[j]) * x[j]
        residual += r * r
        fit += r * work[FIT, j]
    return energy, residual, fit


@inner(**OPTIONS)
def _correlate(gram, correlations, z, active, lists):
    """D^T r as D^T x - G z, rounded."""
    n = len(gram)
    for k in range(n):
        lists[Q, k] = correlations[k]
    for a in active:
        code = z[a]
        for k in range(n):
            lists[Q, k] -= code * gram[a, k]


@inner(**OPTIONS)
def _dual_norm(atoms, weights, inverse_lmbda, both_signs, rounding_error, lists, work):
    """max_k |d_k^T r| / w_k in float64, or any number below 1 if it is below 1.

    If the weight of an atom is 0, it must be orthogonal to the residual, or the maximum is inf.
    """
    n_atoms, negative_sign = len(atoms), lists.dtype.type(-1 if both_signs else 0)
    rounding_error = lists.dtype.type(rounding_error)
    for k in range(n_atoms):
        dual_infeasibility = max(lists[Q, k], negative_sign * lists[Q, k])
        lists[UPPER, k] = (dual_infeasibility + rounding_error) * inverse_lmbda[k]
        lists[LOWER, k] = (dual_infeasibility - rounding_error) * inverse_lmbda[k]
    largest_lower = max(
        largest(n_atoms, lists), lists.dtype.type(1)
    )  # smaller maxima do not matter
    dual_norm = 0.0
    for k in range(n_atoms):
        if lists[UPPER, k] >= largest_lower or inverse_lmbda[k] == 0:
            q = _dot(atoms[k], work[R])
            q = abs(q) if both_signs else max(q, 0.0)
            if inverse_lmbda[k] > 0:
                dual_norm = max(dual_norm, q / weights[k])
            elif q > 0:
                dual_norm = np.inf
    return dual_norm


@inner(**OPTIONS)
def _dot(a, b):
    total = 0.0
    for j in range(b.size):
        total += a[j] * b[j]
    return total
