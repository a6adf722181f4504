"""Choose lmbda: a path, a given residual, a given sparsity. Each solve starts from the last."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import log

import numpy as np

from csc._backend import namespace
from csc._progress import progress_iter
from csc._solve import Solution, solve_quietly
from csc._typing import Array, ArrayLike, DataTerm, Penalty
from csc._validation import check_count, check_number
from csc.data_terms import LEAST_SQUARES
from csc.operators import Dictionary, MeasuredDictionary, code_values
from csc.penalties import L1, Relative
from csc.problems import Problem

MIN_LMBDA_FRACTION = 1e-6  # of lmbda_max: below, float32 codes are rounding
MAX_SOLVES = 60  # far above what was ever needed
BRACKET_MARGIN = 0.1  # fraction of a bracket that a secant step must leave at both ends


def lmbda_path(  # noqa: PLR0913  the last four are those of every short form
    x: ArrayLike,
    dictionary: Dictionary | MeasuredDictionary,
    lmbdas: int | Sequence[float] | Array = 20,
    *,
    ratio: float = 1e-2,
    tol: float = 1e-4,
    penalty: Penalty | None = None,
    mask: ArrayLike | None = None,
    verbose: bool = False,
) -> list[Solution]:
    """Solutions along falling ``lmbda``, each started from the codes of the one before.

    Parameters
    ----------
    x : array (N, C, *S), float32 or float64
    dictionary : Dictionary
    lmbdas : int or sequence of floats
        How many, spaced evenly in ``log lmbda`` from ``lmbda_max`` to ``ratio * lmbda_max``; or
        the values themselves, falling.
    ratio : float
        Smallest ``lmbda`` relative to the largest, where ``lmbdas`` is a number.
    tol : float
        Relative duality gap of each solution.
    penalty : penalty, optional
        Its ``lmbda`` is replaced; ``L1`` by default.
    mask : array, optional
        1 = observed; broadcastable to ``x``.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    list of Solution

    Raises
    ------
    ValueError
        If ``lmbdas`` do not fall, or their number is asked for and ``lmbda_max`` is 0.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> path = csc.lmbda_path(x, D, [2, 0.5])
    >>> [solution.codes.ravel().tolist() for solution in path]
    [[1.0, 0.0], [2.5, 0.5]]
    """
    problem = _at_lmbda_max(x, dictionary, penalty, mask)
    if np.ndim(lmbdas) == 0:
        _refuse_zero_lmbda_max(problem)
    solutions, codes = [], None
    grid = _grid(lmbdas, ratio, problem.penalty.lmbda)
    for lmbda in progress_iter(grid, "solve", verbose=verbose):
        solutions.append(solve_quietly(_at(problem, lmbda), tol=tol, init=codes))
        codes = solutions[-1].z
    return solutions


@dataclass(frozen=True, eq=False, repr=False)
class ConstrainedSolution(Solution):
    """What `noise_constrained` returns: a `Solution`, with a certificate of the constrained problem.

    Attributes
    ----------
    z, objective, gap, status, message, n_iter, history, problem
        As of `Solution`, for the `Problem` at the ``lmbda`` found.
    epsilon : float
        Radius of the ball.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(2)[:, None])
    >>> solution = csc.noise_constrained(np.array([[[3.0, 1.0]]]), D, 2**0.5, tol=1e-6)
    >>> round(solution.penalty_value, 3), solution.constrained_gap < 1e-5
    (2.0, True)
    """

    epsilon: float

    @property
    def penalty_value(self) -> float:
        """``P(z)``: the penalty of the codes for ``lmbda = 1``, in float64."""
        return _at(self.problem, 1.0).penalty_value(self.z)

    @property
    def constrained_gap(self) -> float:
        """Bound on how far ``P(z)`` lies above its minimum within the ball.

        With r the residual, ``(gap + (epsilon^2 - ||r||^2) / 2) / lmbda``: codes in the ball have a
        residual of at most epsilon, and an objective of at least ``objective - gap``. It is at most
        ``P(z)``, since P >= 0.
        """
        value, lmbda = self.penalty_value, self.problem.penalty.lmbda
        if value == 0 or lmbda == 0:
            return value
        energy = self.objective - lmbda * value  # 1/2 ||r||^2
        bound = (self.gap + 0.5 * self.epsilon**2 - energy) / lmbda
        return min(max(bound, 0.0), value)


def noise_constrained(
    x: ArrayLike,
    dictionary: Dictionary | MeasuredDictionary,
    epsilon: float,
    *,
    penalty: Penalty | None = None,
    mask: ArrayLike | None = None,
    tol: float = 1e-3,
    verbose: bool = False,
) -> ConstrainedSolution:
    """Codes of least penalty that explain a signal up to its noise.

        minimise over z  ``P(z)``  subject to  ``||M (x - D z)|| <= epsilon``

    where P is the penalty with ``lmbda = 1``. For convex P and an epsilon above the least possible
    residual, this problem has the solutions of the `Problem` at one ``lmbda`` (strong duality: ``1 / lmbda``
    is the multiplier of ``1/2 ||r||^2 <= 1/2 epsilon^2``). It is found by a safeguarded secant search in
    ``log lmbda``, along which the residual grows. The solution has a certificate of its own,
    `ConstrainedSolution.constrained_gap`, which does not depend on the search.

    Parameters
    ----------
    x : array (1, C, *S), float32 or float64
        One signal, as each has its own ``lmbda``.
    dictionary : Dictionary
    epsilon : float
        Norm of the noise: ``sigma * sqrt(n)`` for n observed samples of deviation sigma.
    penalty : penalty, optional
        Its ``lmbda`` is replaced; ``L1`` by default.
    mask : array, optional
        1 = observed; broadcastable to ``x``.
    tol : float
        The norm of the residual is in ``[(1 - tol) epsilon, epsilon]``, unless zeros are feasible;
        it may be lower where the last digit of ``lmbda`` decides (float32).
    verbose : bool
        Show a progress bar.

    Returns
    -------
    ConstrainedSolution
        ``solution.problem.penalty.lmbda`` is the ``lmbda`` found.

    Raises
    ------
    ValueError
        If there is more than one signal, or no codes reach a residual of ``epsilon``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(2)[:, None])
    >>> solution = csc.noise_constrained(np.array([[[3.0, 1.0]]]), D, 2**0.5, tol=1e-6)
    >>> solution.codes.ravel().round(3)
    array([2., 0.])

    References
    ----------
    .. [1] E. van den Berg, M. P. Friedlander, "Probing the Pareto frontier for basis pursuit
       solutions", SIAM J. Sci. Comput. 31(2), 2008 (the residual as a function of lambda).
    """
    check_number("epsilon", epsilon, strict=True)
    if check_number("tol", tol, strict=True) >= 1:
        raise ValueError(f"tol must be < 1, a part of epsilon, got {tol}")
    problem = _at_lmbda_max(x, dictionary, penalty, mask)
    if len(problem.x) != 1:
        raise ValueError(
            f"x must be one signal (1, C, *S), got {len(problem.x)}: each has its own lmbda; call "
            "noise_constrained(x[i : i + 1], ...) for each"
        )
    log_target = log(epsilon * (1 - tol / 2))

    def log_error(solution):
        return log(max(_residual_norm(solution), 1e-300)) - log_target

    def fits(solution):
        return (1 - tol) * epsilon <= _residual_norm(solution) <= epsilon

    solve_tol = max(tol**2, 1e-10)
    first = solve_quietly(problem, tol=solve_tol)  # codes of weight 0 need not be zero
    if _residual_norm(first) <= epsilon:
        return _constrained(first, epsilon)
    solution = _search(first, (log_error, fits), solve_tol, verbose)
    if _residual_norm(solution) > epsilon:
        raise ValueError(
            f"epsilon = {epsilon:.3g} is not reached at {MIN_LMBDA_FRACTION:.0e} lmbda_max, where "
            f"the residual has norm {_residual_norm(solution):.3g}: these atoms come so close to x only "
            "with an even smaller lmbda, or not at all; raise epsilon or use a richer dictionary"
        )
    return _constrained(solution, epsilon)


def _constrained(solution, epsilon):
    parts = {part.name: getattr(solution, part.name) for part in fields(solution)}
    return ConstrainedSolution(**parts, epsilon=float(epsilon))


def lmbda_for_sparsity(  # noqa: PLR0913  the last two are those of every short form
    x: ArrayLike,
    dictionary: Dictionary | MeasuredDictionary,
    n_nonzero: float,
    *,
    accuracy: float = 0.05,
    tol: float = 1e-4,
    penalty: Penalty | None = None,
    mask: ArrayLike | None = None,
    data_term: DataTerm = LEAST_SQUARES,
    verbose: bool = False,
) -> Solution:
    """Solution with a given number of non-zero codes.

    The number falls as ``lmbda`` grows, though not at every step; the search halves a bracket of
    ``log lmbda`` until the number is right.

    Parameters
    ----------
    x : array (N, C, *S), float32 or float64
    dictionary : Dictionary
    n_nonzero : float
        Mean number of non-zero codes per signal.
    accuracy : float
        Largest relative error of that number (half a code is always allowed).
    tol : float
        Relative duality gap.
    penalty : penalty, optional
        Its ``lmbda`` is replaced; ``L1`` by default.
    mask : array, optional
        1 = observed; broadcastable to ``x``.
    data_term : data term, optional
        See `csc.data_terms`.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    Solution
        ``solution.problem.penalty.lmbda`` is the ``lmbda`` found. Where no ``lmbda`` has such a
        number (ties), the one below.

    Raises
    ------
    ValueError
        If there are fewer codes, or no ``lmbda`` has as many non-zero ones.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[4.0, 3.0, 2.0]]]), csc.Dictionary(np.eye(3)[:, None])
    >>> (csc.lmbda_for_sparsity(x, D, 2).codes != 0).sum()
    np.int64(2)
    """
    check_number("n_nonzero", n_nonzero, strict=True)
    check_number("accuracy", accuracy)
    problem = _at_lmbda_max(x, dictionary, penalty, mask, data_term)
    per_signal = int(np.prod(problem.code_shape[1:]))
    if n_nonzero > per_signal:
        raise ValueError(f"n_nonzero must be <= {per_signal}, the codes of one signal, "
                         f"got {n_nonzero}")  # fmt: skip

    def log_error(solution):
        return log(n_nonzero / (0.5 + _count(solution)))

    def fits(solution):
        return abs(_count(solution) - n_nonzero) <= max(accuracy * n_nonzero, 0.5)

    solution = _search(solve_quietly(problem, tol=tol), (log_error, fits), tol, verbose)
    if log_error(solution) > 0 and not fits(solution):
        raise ValueError(
            f"n_nonzero = {n_nonzero} is not reached at {MIN_LMBDA_FRACTION:.0e} lmbda_max, where "
            f"{_count(solution):g} codes of a signal are not zero; ask for fewer"
        )
    return solution


def _search(first, target, tol, verbose):
    """The first solution that fits, by a bracketed secant on ``log_error``.

    The error rises with lmbda. If it is still > 0 near the smallest lmbda, this is the last
    solution; if none fits before the bracket closes, the one at its lower end.
    """
    log_error, fits = target
    if fits(first):
        return first
    _refuse_zero_lmbda_max(first.problem)
    top = first.problem.penalty.lmbda
    high, low, solution = (log(top), log_error(first)), None, first
    for _ in progress_iter(iter(range(MAX_SOLVES)), "solve", verbose=verbose):
        lmbda = _between(low[0], high) if low else high[0] - min(max(high[1], 0.1), log(10))
        if lmbda < log(top * MIN_LMBDA_FRACTION):
            break
        solution = solve_quietly(_at(first.problem, float(np.exp(lmbda))), tol=tol, init=solution.z)
        if fits(solution):
            return solution
        if log_error(solution) > 0:
            high = lmbda, log_error(solution)
        else:
            low = (lmbda, log_error(solution)), solution
        if low and high[0] - low[0][0] < np.finfo("float32").eps:
            break
    return low[1] if low else solution


def _between(low, high):
    """Where the line through both ends is zero, kept away from them."""
    fraction = -low[1] / (high[1] - low[1])
    return low[0] + min(max(fraction, BRACKET_MARGIN), 1 - BRACKET_MARGIN) * (high[0] - low[0])


def _at_lmbda_max(x, dictionary, penalty, mask, data_term=LEAST_SQUARES):
    penalty = L1(0.0) if penalty is None else penalty
    if "lmbda" not in {field.name for field in fields(penalty)}:
        raise TypeError(
            f"penalty must have a lmbda to search for, got {penalty!r}, a constraint on the codes; solve "
            "csc.Problem(x, dictionary, penalty), or pass for example csc.L1(1.0)"
        )
    return Problem(x, dictionary, replace(penalty, lmbda=Relative(1.0)), mask, data_term)


def _refuse_zero_lmbda_max(problem):
    if not problem.penalty.lmbda > 0:
        raise ValueError("lmbda_max is 0: x is zero, or no atom correlates with it; check x")


def _at(problem, lmbda):
    return replace(problem, penalty=replace(problem.penalty, lmbda=lmbda))


def _grid(lmbdas, ratio, top):
    if np.ndim(lmbdas) == 0:
        check_number("ratio", ratio, strict=True)
        if ratio >= 1:
            raise ValueError(f"ratio must be < 1, got {ratio}")
        return np.geomspace(top, ratio * top, check_count("lmbdas", lmbdas)).tolist()
    lmbdas = [float(check_number("lmbdas", a)) for a in lmbdas]
    if any(b >= a for a, b in zip(lmbdas, lmbdas[1:], strict=False)):
        raise ValueError("lmbdas must fall, for each solve starts from the one before; sort them")
    return lmbdas


def _residual_norm(solution):
    r = solution.problem.residual(solution.z).astype("float64")
    return float(namespace(r).sqrt((r * r).sum()))


def _count(solution):
    return int((code_values(solution.z) != 0).sum()) / len(solution.problem.x)
