"""Codes without a penalty: their least-squares residual, which does not depend on ``lmbda``."""

import numpy as np
import scipy  # its modules load when first used

from csc._backend import to_device

RELATIVE_ROUNDING = 1e-12  # of the correlations: below, they are rounding
REGRESSION_TOL = 1e-14  # relative
MAX_STEPS = 10_000  # of the regression
PATCHES_PER_BLOCK = 256  # solved at once
N_REFINEMENTS = 3  # of the normal equations, which square the condition number
MAX_CERTIFICATE_STEPS = 300  # of the regression in a certificate


def lmbda_max_with_free_codes(free, penalty, problem):
    """Smallest ``lmbda`` at which the penalised codes are zero, where others have no penalty.

    ``max |D^T r| / w`` over the penalised codes, r the residual of `residual_of_free_codes`.

    Parameters
    ----------
    free : array of bool, of the codes' shape (N, K, *V)
    penalty : L1
    problem : Problem
    """
    x, D, mask, penalty, free = (
        to_device(a, "cpu") for a in (problem.x, problem.dictionary, problem.mask, penalty, free)
    )
    D = D.as_double
    residual = residual_of_free_codes(x, D, free, penalty.positive, mask)
    largest = penalty.lmbda_max(D.adjoint(residual))
    rounding = RELATIVE_ROUNDING * penalty.lmbda_max(D.adjoint(x.astype("float64")))
    return largest if largest > rounding else 0.0


def residual_of_free_codes(x, dictionary, free, positive, mask=None, max_steps=MAX_STEPS):
    """``M (x - D z)`` in float64, z the least-squares codes that are zero except where free.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary or MeasuredDictionary
    free : array of bool, of the codes' shape (N, K, *V)
    positive : bool
        Whether ``z >= 0``.
    mask : array, optional
    max_steps : int
        Largest number of iterations for signals larger than patches.

    Returns
    -------
    residual : array of the shape of x
    """
    D, x = dictionary.as_double, x.astype("float64")
    if mask is None and D.is_patch(x.shape[2:]):
        return _of_patches(x, D.matrix, free.reshape(len(x), -1), positive)
    seen = 1.0 if mask is None else np.broadcast_to(mask, x.shape) != 0

    def synthesize(values):
        z = np.zeros(free.shape)
        z[free] = np.ravel(values)
        return (seen * D(z, x.shape[2:])).ravel()

    def correlate(r):
        return D.adjoint(seen * r.reshape(x.shape))[free]

    shape = x.size, int(free.sum())
    A = scipy.sparse.linalg.LinearOperator(shape, synthesize, correlate, dtype="float64")
    x = seen * x
    if positive:
        values = scipy.optimize.lsq_linear(
            A, x.ravel(), (0, np.inf), tol=REGRESSION_TOL, lsmr_tol="auto"
        ).x
    else:
        options = {"atol": REGRESSION_TOL, "btol": REGRESSION_TOL, "maxiter": max_steps}
        values = scipy.sparse.linalg.lsmr(A, x.ravel(), **options)[0]
    return x - synthesize(values).reshape(x.shape)


def _of_patches(x, matrix, free, positive):
    """`residual_of_free_codes` of patches; ``matrix`` ``(K, C prod(s))`` holds the atoms."""
    rows = x.reshape(len(x), -1)
    if not positive and (free == free[:1]).all():  # one regression for all
        atoms = matrix[free[0]].T
        return (rows - (atoms @ np.linalg.lstsq(atoms, rows.T)[0]).T).reshape(x.shape)
    blocks = [slice(i, i + PATCHES_PER_BLOCK) for i in range(0, len(rows), PATCHES_PER_BLOCK)]
    fit = _one_by_one if positive else _by_normal_equations
    parts = [fit(rows[b], matrix, free[b]) for b in blocks]
    return np.concatenate(parts).reshape(x.shape)


def _one_by_one(rows, matrix, free):
    """Residuals of non-negative least squares."""
    residual = rows.copy()
    for n in np.flatnonzero(free.any(axis=1)):
        atoms = matrix[free[n]].T
        residual[n] -= atoms @ scipy.optimize.nnls(atoms, rows[n])[0]
    return residual


def _by_normal_equations(rows, matrix, free):
    """Residuals of least squares, solved for many patches at once and refined.

    Where atoms are nearly dependent, the residual stays correlated with some of them. Such patches
    are solved by a singular value decomposition.
    """
    width, gram = max(int(free.sum(axis=1).max()), 1), matrix @ matrix.T
    index = np.argsort(~free, axis=1, kind="stable")[:, :width]
    held = np.take_along_axis(free, index, axis=1)
    systems = gram[index[:, :, None], index[:, None, :]] * (held[:, :, None] & held[:, None, :])
    systems += ~held[:, :, None] * np.eye(width)

    def correlations(residual):
        return np.take_along_axis(residual @ matrix.T, index, axis=1) * held

    residual = rows.copy()
    unsolved = np.ones(len(rows), bool)
    try:
        for _ in range(N_REFINEMENTS):
            values = np.linalg.solve(systems, correlations(residual)[..., None])[..., 0]
            z = np.zeros(free.shape)
            np.put_along_axis(z, index, values * held, axis=1)
            residual -= z @ matrix
        left, right = abs(correlations(residual)).max(axis=1), abs(rows @ matrix.T).max(axis=1)
        unsolved = ~(left <= RELATIVE_ROUNDING * right)  # also where a value is NaN
    except np.linalg.LinAlgError:
        pass
    for n in np.flatnonzero(unsolved):
        atoms = matrix[free[n]].T
        residual[n] = rows[n] - atoms @ np.linalg.lstsq(atoms, rows[n])[0]
    return residual


def dual_with_free_codes(r, dictionary, z, free, positive, mask=None):
    """The residual made a dual point: no free code may lower the objective along it.

    It is made orthogonal to the atoms of the free codes; where ``z >= 0``, of those above zero
    and of those that still correlate above rounding with what is left.

    Parameters
    ----------
    r : array (N, C, *S)
        Residuals, 0 where nothing was observed.
    dictionary : Dictionary or MeasuredDictionary
    z : array (N, K, *V)
    free : array of bool, of the codes' shape
    positive : bool
    mask : array, optional
    """
    if not positive:
        return residual_of_free_codes(r, dictionary, free, False, mask, MAX_CERTIFICATE_STEPS)
    held = free & (z > 0)
    rounding = RELATIVE_ROUNDING * np.abs(dictionary.adjoint(r)).max()
    while True:
        rest = residual_of_free_codes(r, dictionary, held, False, mask, MAX_CERTIFICATE_STEPS)
        more = free & ~held & (dictionary.adjoint(rest) > rounding)
        if not more.any():
            return rest
        held |= more
