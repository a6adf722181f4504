"""Problems with complex codes."""

from collections.abc import Sequence

from csc._backend import as_native, namespace
from csc._typing import Array, Mode, Stride
from csc._validation import check_complex, check_mask, split_masked
from csc.operators import complex_dictionary, complex_to_channels
from csc.penalties import GroupL21, Lmbda
from csc.problems._problem import Problem


def complex_problem(
    x: Array,
    atoms: Array | Sequence[Array],
    lmbda: Lmbda,
    mask: Array | None = None,
    *,
    mode: Mode = "full",
    stride: Stride = 1,
) -> Problem:
    """minimise over complex z  ``1/2 ||M (x - D z)||^2 + lmbda sum |z|``, as a real problem.

    Each complex atom d is two real ones, d and i d, whose channels are real and imaginary parts, and
    ``|z|`` is the norm of a group of two codes (`csc.GroupL21`) [1]_. `csc.solve` takes the problem
    like any other, its gap is that of the complex problem, and
    `csc.operators.codes_to_complex` turns its codes into complex ones.

    Parameters
    ----------
    x : array (N, C, *S), complex64 or complex128
        Signals. A sample of which a part is NaN is missing.
    atoms : array (K, C, *s), complex64 or complex128, or a list of such arrays
        Real atoms, of float32 or float64, may be used as well.
    lmbda : float or Relative
        Regularization parameter, >= 0; relative to the largest modulus of ``D^H x``.
    mask : array, optional
        1 = observed, 0 = missing; broadcastable to ``x``.
    mode, stride
        As of `csc.Dictionary`.

    Returns
    -------
    Problem
        Of signals ``(N, 2 C, *S)``, which `csc.operators.channels_to_complex` turns into complex ones,
        and codes ``(N, 2 K, *V)``.

    Raises
    ------
    TypeError, ValueError
        As `csc.Problem`.

    References
    ----------
    .. [1] E. van den Berg, M. P. Friedlander, "Probing the Pareto frontier for basis pursuit
       solutions", SIAM J. Sci. Comput. 31(2), 2008 (basis pursuit with complex variables).

    Examples
    --------
    >>> import numpy as np, csc
    >>> problem = csc.problems.complex_problem(np.array([[[3 + 4j, 0.1]]]), np.eye(2)[:, None], 1.0)
    >>> solution = csc.solve(problem, tol=1e-9)
    >>> csc.operators.codes_to_complex(solution.codes).ravel()
    array([2.4+3.2j, 0. +0.j ])
    """
    x, mask = split_masked(as_native(x), mask)
    x = check_complex("x", x)
    if mask is not None:
        mask = check_mask(mask, x)
        mask = namespace(x).concatenate([mask, mask], axis=1)
    D = complex_dictionary(atoms, mode, stride)
    return Problem(complex_to_channels(x), D, GroupL21(lmbda, group_size=2), mask)
