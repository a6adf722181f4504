"""Codes without a price: what they leave of the signals, whatever ``lmbda`` is."""

import numpy as np
from scipy.optimize import lsq_linear, nnls
from scipy.sparse.linalg import LinearOperator, lsmr

from csc._backend import to_device

NO_MORE = 1e-12  # of the correlations: below, only rounding is left of them
ACCURACY = 1e-14  # of the regression, relative
MOST_STEPS = 10_000
PATCHES = 256  # solved at once
REFINEMENTS = 3  # of the normal equations, which square the condition number
FEW_STEPS = 300  # for a certificate


def lmbda_max_beyond(free, penalty, problem):
    """Smallest ``lmbda`` at which the codes with a price are zero, where others are free.

    ``max |D^T r| / w`` over those with a price, r the residual of `residual_of_free_codes`.

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
    rounding = NO_MORE * penalty.lmbda_max(D.adjoint(x.astype("float64")))
    return largest if largest > rounding else 0.0


def residual_of_free_codes(  # noqa: PLR0913
    x, dictionary, free, positive, mask=None, most_steps=MOST_STEPS
):
    """``M (x - D z)`` in float64, z the least-squares codes that are zero but where free.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary or MeasuredDictionary
    free : array of bool, of the codes' shape (N, K, *V)
    positive : bool
        Whether ``z >= 0``.
    mask : array, optional
    most_steps : int
        Of the iteration for signals larger than patches.

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

    A = LinearOperator((x.size, int(free.sum())), synthesize, correlate, dtype="float64")
    x = seen * x
    if positive:
        values = lsq_linear(A, x.ravel(), (0, np.inf), tol=ACCURACY, lsmr_tol="auto").x
    else:
        values = lsmr(A, x.ravel(), atol=ACCURACY, btol=ACCURACY, maxiter=most_steps)[0]
    return x - synthesize(values).reshape(x.shape)


def _of_patches(x, matrix, free, positive):
    """The same of patches, a regression each; ``matrix`` ``(K, C prod(s))`` holds the atoms."""
    rows = x.reshape(len(x), -1)
    if not positive and (free == free[:1]).all():  # one regression for all
        atoms = matrix[free[0]].T
        return (rows - (atoms @ np.linalg.lstsq(atoms, rows.T)[0]).T).reshape(x.shape)
    blocks = [slice(i, i + PATCHES) for i in range(0, len(rows), PATCHES)]
    fit = _one_by_one if positive else _by_normal_equations
    parts = [fit(rows[b], matrix, free[b]) for b in blocks]
    return np.concatenate(parts).reshape(x.shape)


def _one_by_one(rows, matrix, free):
    """Residuals of non-negative least squares."""
    residual = rows.copy()
    for n in np.flatnonzero(free.any(axis=1)):
        atoms = matrix[free[n]].T
        residual[n] -= atoms @ nnls(atoms, rows[n])[0]
    return residual


def _by_normal_equations(rows, matrix, free):
    """Residuals of least squares, solved for many patches at once and refined.

    Where atoms nearly depend on each other the residual stays correlated with some; these patches
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
        for _ in range(REFINEMENTS):
            values = np.linalg.solve(systems, correlations(residual)[..., None])[..., 0]
            z = np.zeros(free.shape)
            np.put_along_axis(z, index, values * held, axis=1)
            residual -= z @ matrix
        left, right = abs(correlations(residual)).max(axis=1), abs(rows @ matrix.T).max(axis=1)
        unsolved = ~(left <= NO_MORE * right)  # also where a value is NaN
    except np.linalg.LinAlgError:
        pass
    for n in np.flatnonzero(unsolved):
        atoms = matrix[free[n]].T
        residual[n] = rows[n] - atoms @ np.linalg.lstsq(atoms, rows[n])[0]
    return residual


def dual_beyond_free_codes(r, dictionary, z, free, positive, mask=None):  # noqa: PLR0913
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
    held = free & (z > 0) if positive else free
    rounding = NO_MORE * np.abs(dictionary.adjoint(r)).max()
    while True:
        rest = residual_of_free_codes(r, dictionary, held, False, mask, FEW_STEPS)
        more = free & ~held & (dictionary.adjoint(rest) > rounding)
        if not positive or not more.any():
            return rest
        held |= more
