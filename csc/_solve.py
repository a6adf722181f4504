"""Solve a problem with any solver, and the solution."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from csc._backend import check_same_device, namespace
from csc._memory import check_memory
from csc._progress import progress_callback
from csc._repr_html import card
from csc._typing import Array, ArrayLike, Codes, Mode, Solver, Stride
from csc._validation import check_count, check_floats, check_instance, check_number
from csc.operators import Dictionary, MeasuredDictionary, SparseCodes, code_values, dense_codes
from csc.penalties import L1, ElasticNet, GroupL21, Relative, warn_of_zero_codes
from csc.problems import MultiLayerProblem, Problem
from csc.solvers import Progress, Status, fastest, is_sparse, iterate, ratio, start

SMALL_LMBDA_FRACTION = 1e-3  # of lmbda_max: below, solvers take long
N_SOLVER_ARRAYS = 11  # of the size of the codes (sparse solvers: of the signals), held at once
N_CERTIFICATE_ARRAYS = 6  # the same in float64, for the certificate


@dataclass(frozen=True, eq=False)
class Solution:
    """Codes with their certificate.

    Attributes
    ----------
    z : array (N, K, *V) or SparseCodes, or a tuple of arrays
        Codes as the solver left them; of a `MultiLayerProblem`, those of all layers.
    codes : array (N, K, *V), or a list of them
        Dense codes, made on first use; of all layers, ``[g_1, ..., g_L]``. Objective
        and gap of a multi-layer solution are those of ``codes[-1]``.
    objective : float
        Objective of the whole batch at ``codes``, in float64.
    gap : float
        Duality gap: the objective is at most this far above its minimum. Infinite where the
        penalty is not convex.
    status : csc.solvers.Status
        Why the solver stopped.
    message : str
        The same in a sentence, with what to change.
    n_iter : int
    history : list of Progress
        One entry per check: n_iter, objective, gap, seconds.
    problem : Problem

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> solution = csc.solve(csc.Problem(x, D, csc.L1(1.0)))
    >>> solution.codes.ravel(), solution.converged, solution.sparse_codes.nnz
    (array([2., 3.]), True, 2)
    """

    z: Any
    objective: float
    gap: float
    status: Status
    message: str
    n_iter: int
    history: list[Progress]
    problem: Problem | MultiLayerProblem

    @property
    def relative_gap(self) -> float:
        """``gap / objective``; 0 where both are 0."""
        return ratio(self.gap, self.objective)

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached (a greedy pursuit: whether it ended)."""
        return self.status.converged

    @cached_property
    def codes(self) -> Codes:
        """Dense codes ``(N, K, *V)``, or a list of them."""
        if isinstance(self.z, tuple):
            return list(self.z)
        n_bytes = prod(self.z.shape) * self.z.dtype.itemsize
        check_memory(f"an array of codes {self.z.shape}", n_bytes, "use sparse_codes")
        return dense_codes(self.z)

    @cached_property
    def sparse_codes(self) -> Any:
        """Codes as a `scipy.sparse.coo_array` of the same shape, or a list of them."""
        if isinstance(self.z, tuple):
            return [_coo(z) for z in self.z]
        return _coo(self.z)

    def reconstruction(self) -> Array:
        """``D z``, of the spatial shape of the signals."""
        return self.problem.reconstruct(self.z)

    def __repr__(self):
        layers = self.z if isinstance(self.z, tuple) else (self.z,)
        counts = [f"{int((code_values(z) != 0).sum())} of {prod(z.shape)}" for z in layers]
        return (
            f"{type(self).__name__}(objective={self.objective:.6g}, relative_gap={self.relative_gap:.2g}, "
            f"{' and '.join(counts)} codes non-zero, n_iter={self.n_iter}, "
            f"status={self.status.name}, message={self.message!r})"
        )

    def _repr_html_(self):
        return card(repr(self), self.problem.dictionary.atoms)


def _coo(z):
    from scipy.sparse import coo_array

    if isinstance(z, SparseCodes):
        kept = z.values != 0  # a code that a solver has set to zero keeps its place
        return coo_array((z.values[kept], [axis[kept] for axis in z.coordinates]), shape=z.shape)
    return coo_array(z.get() if namespace(z) is not np else z)


def solve(
    problem: Problem | MultiLayerProblem,
    solver: Solver | None = None,
    *,
    tol: float = 1e-4,
    max_iter: int = 10_000,
    init: Any = None,
    callback: Callable[[Progress], object] | None = None,
    verbose: bool = False,
) -> Solution:
    """Solve a sparse coding problem to a certified tolerance.

    Parameters
    ----------
    problem : Problem or MultiLayerProblem
    solver : solver, optional
        For example ``csc.solvers.FISTA()``; None picks the fastest that suits the problem.
    tol : float
        Stop when ``gap <= tol * objective``. Without convexity: when a step moves the codes
        by at most ``tol`` of their norm.
    max_iter : int
        Largest number of steps.
    init : array (N, K, *V) or SparseCodes, optional
        Codes to start from, as ``Solution.codes`` or ``Solution.z``; zeros by default. Of a
        multi-layer problem, those of all layers.
    callback : callable, optional
        Called with a `Progress` at every check; raising StopIteration ends the solve.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    Solution
        Also after Ctrl-C (see its ``message``).

    Warns
    -----
    UserWarning
        If all codes are zero because ``lmbda`` is above `lmbda_max`.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(3)[:, None])
    >>> csc.solve(csc.Problem(np.array([[[3.0, 1.0, -2.0]]]), D, csc.L1(1.5))).codes.ravel()
    array([ 1.5,  0. , -0.5])
    """
    solution = _solve(problem, solver, (tol, max_iter), init, callback, verbose=verbose)
    _warn_of_zero_codes(solution)
    return solution


def solve_quietly(problem, solver=None, *, tol=1e-4, max_iter=10_000, init=None):
    """`solve` for searches and learners, which use its codes: an interrupt is raised.

    There is no warning of zero codes, as they look for these themselves.
    """
    solution = _solve(problem, solver, (tol, max_iter), init)
    if solution.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return solution


def _solve(problem, solver, limits, init=None, callback=None, *, verbose=False):
    """`Solution` of a problem, after a check of all arguments."""
    tol, max_iter = limits
    if not isinstance(problem, Problem | MultiLayerProblem):
        raise TypeError(
            "problem must be a csc.Problem or a csc.MultiLayerProblem, got "
            f"{type(problem).__name__}"
        )
    check_number("tol", tol)
    check_count("max_iter", max_iter)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, got {callback!r}")
    solver = fastest(problem, tol) if solver is None else solver
    check_instance("solver", solver, "supports", "csc.solvers.FISTA()")
    layered = isinstance(problem, MultiLayerProblem), hasattr(solver, "layered")
    if layered == (True, False):
        raise ValueError(
            f"{type(solver).__name__} solves a csc.Problem, of one layer; for several take "
            "csc.solvers.MLADMM(), csc.solvers.MLFISTA() or csc.solvers.MLISTA()"
        )
    if not solver.supports(problem):
        raise ValueError(
            f"{type(solver).__name__} cannot solve this problem: it {solver.requirements}"
        )
    what = f"{type(solver).__name__} on codes {problem.code_shape}"
    if namespace(problem.x) is np:  # CuPy itself says when a device is full
        check_memory(what, _bytes(problem, solver), "solve fewer signals at a time, or crop them")
    z = start(problem, solver) if init is None else _checked_start(problem, init)
    if isinstance(z, SparseCodes) and not is_sparse(problem, solver):
        z = z.dense()
    with progress_callback(callback, max_iter, verbose=verbose) as report:
        z, n_iter, history, (status, message) = iterate(problem, solver, z, limits, report)
    message += _hint_of_small_lmbda(problem, status) + _hint_of_free_codes(problem, status)
    objective, gap = history[-1][1:3] if history else problem.certificate(z)
    return Solution(z, objective, gap, status, message, n_iter, history, problem)


def _hint_of_small_lmbda(problem, status):
    """What to change if a solver did not end because ``lmbda`` is tiny for these signals."""
    if status not in (Status.STALLED, Status.MAX_ITER) or not isinstance(problem, Problem):
        return ""
    if not _has_lmbda_max(problem):
        return ""
    lmbda, largest = problem.penalty.lmbda, problem.lmbda_max()
    if not 0 < lmbda < SMALL_LMBDA_FRACTION * largest:
        return ""
    return (
        f"; lmbda is only {lmbda / largest:.0e} of lmbda_max: bring signals to 0...1 and atoms to "
        "unit norm, or take a larger lmbda, for example csc.Relative(0.1)"
    )


def _hint_of_free_codes(problem, status):
    """What to change if codes of weight 0 may grow without end, as those that fit bits do."""
    if status is not Status.MAX_ITER or not isinstance(problem, Problem):
        return ""
    free = getattr(problem.penalty, "free", lambda _: None)
    if not hasattr(problem.data_term, "separates") or free(problem.zeros()) is None:
        return ""
    return "; codes without a penalty may have no minimum where they fit bits: give all codes a weight > 0"


def _warn_of_zero_codes(solution):
    """Warn if all codes are zero and a smaller ``lmbda`` would change that."""
    problem = solution.problem
    if not isinstance(problem, Problem) or not _has_lmbda_max(problem):
        return
    lmbda = problem.penalty.lmbda
    if lmbda == 0 or code_values(solution.z).any() or not problem.x.any():
        return
    warn_of_zero_codes(lmbda, problem.lmbda_max(), stacklevel=3)


def _has_lmbda_max(problem):
    """Whether `Problem.lmbda_max` is known: of codes of weight 0 it is for plain least squares only."""
    penalty = problem.penalty
    weights = getattr(penalty, "weights", None)
    if type(penalty) not in (L1, ElasticNet, GroupL21):
        return False
    return weights is None or problem.structure.is_least_squares or bool((weights > 0).all())


def _bytes(problem, solver):
    """Memory that the solver and its certificate take, mostly arrays of the codes' size."""
    if is_sparse(problem, solver):
        positions = prod(problem.code_shape) // problem.code_shape[1]
        return N_SOLVER_ARRAYS * 8 * (problem.x.size + positions)
    size = sum(map(prod, getattr(problem, "code_shapes", [problem.code_shape])))
    return size * max(N_SOLVER_ARRAYS * problem.x.dtype.itemsize, N_CERTIFICATE_ARRAYS * 8)


def _checked_start(problem, init):
    if isinstance(problem, MultiLayerProblem):
        n = len(problem.layers)
        if not isinstance(init, list | tuple) or len(init) != n:
            got = f"{len(init)} of them" if isinstance(init, list | tuple) else type(init).__name__
            raise ValueError(f"init must be a list with the codes of all {n} layers, got {got}")
        return tuple(_checked_start(p, z) for p, z in zip(problem.layers, init, strict=True))
    if not isinstance(init, SparseCodes):
        init = check_floats("init", init)
        check_same_device(x=problem.x, init=init)
    if init.shape != problem.code_shape or init.dtype != problem.x.dtype:
        raise ValueError(
            f"init must be codes of shape {problem.code_shape} and dtype {problem.x.dtype}, got "
            f"{init.shape} and {init.dtype}"
        )
    # kernels write into codes like these: a view of them as rows must be no copy
    return init if isinstance(init, SparseCodes) else namespace(init).ascontiguousarray(init)


def solve_reweighted(
    problem: Problem,
    rule: Any,
    *,
    n_rounds: int = 5,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> Solution:
    """Solve a sequence of lassos, each with weights that follow from the codes of the last.

    Parameters
    ----------
    problem : Problem
        With an L1 penalty, whose own weights multiply those of the rule.
    rule : csc.penalties.InverseSize or csc.penalties.LateralInhibition
        Any object with ``weights_of(codes)``. It takes dense codes.
    n_rounds : int
        Number of lassos; the first has the weights of the problem.
    tol, max_iter
        Of each lasso, as in `solve`.

    Returns
    -------
    Solution
        Of the last lasso, whose weights are ``solution.problem.penalty.weights``; its gap is that of
        this lasso. After Ctrl-C, of the lasso that was interrupted.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(3)[:, None])
    >>> problem = csc.Problem(np.array([[[3.0, 1.2, -2.0]]]), D, csc.L1(1.0))
    >>> csc.solve(problem).codes.ravel(), csc.solve_reweighted(
    ...     problem, csc.penalties.InverseSize(0.1), tol=1e-8).codes.ravel().round(2)
    (array([ 2. ,  0.2, -1. ]), array([ 2.97,  1.12, -1.95]))
    """
    check_count("n_rounds", n_rounds)
    check_instance("rule", rule, "weights_of", "csc.penalties.InverseSize(0.1)")
    if not isinstance(problem, Problem) or type(problem.penalty) is not L1:
        raise TypeError(f"problem must be a csc.Problem with a csc.L1 penalty, got {problem!r}")
    own, solution = problem.penalty.weights, solve(problem, tol=tol, max_iter=max_iter)
    for _ in range(n_rounds - 1):
        if solution.status is Status.INTERRUPTED:
            break
        weights = rule.weights_of(solution.codes)
        weights = weights if own is None else own.astype(weights.dtype) * weights
        penalty = replace(problem.penalty, weights=weights)
        solution = solve(
            replace(problem, penalty=penalty), tol=tol, max_iter=max_iter, init=solution.z
        )
    return solution


def sparse_code(  # noqa: PLR0913  the short form of three calls
    x: ArrayLike,
    atoms: ArrayLike | Dictionary,
    lmbda: float | Relative,
    *,
    mode: Mode = "full",
    stride: Stride = 1,
    mask: ArrayLike | None = None,
    positive: bool = False,
    tol: float = 1e-4,
    verbose: bool = False,
) -> Solution:
    """Sparse codes of signals: the lasso ``1/2 ||x - D z||^2 + lmbda ||z||_1``.

    Parameters
    ----------
    x : array (N, C, *S), float32 or float64
        NaN marks what is missing.
    atoms : array (K, C, *s), same dtype, or Dictionary
    lmbda : float or Relative
    mode, stride
        Where atoms may lie; see `Dictionary`.
    mask : array, optional
        1 = observed; broadcastable to ``x``.
    positive : bool
        Whether to require ``z >= 0``.
    tol : float
        Relative duality gap to reach.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    Solution
        Also after Ctrl-C (see its ``message``).

    Examples
    --------
    >>> import numpy as np, csc
    >>> solution = csc.sparse_code(np.array([[[3.0, 1.0]]]), np.eye(2)[:, None], 1.0)
    >>> solution.codes.ravel(), solution.gap
    (array([2., 0.]), 0.0)
    """
    dictionary = atoms if isinstance(atoms, Dictionary) else Dictionary(atoms, mode, stride)
    problem = Problem(x, dictionary, L1(lmbda, positive=positive), mask)
    solution = _solve(problem, None, (tol, 10_000), verbose=verbose)
    _warn_of_zero_codes(solution)
    return solution


def lmbda_max(
    x: ArrayLike, dictionary: Dictionary | MeasuredDictionary, mask: ArrayLike | None = None
) -> float:
    """Smallest ``lmbda`` for which all codes are zero: ``max |D^T x|``.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary
    mask : array, optional
        1 = observed; broadcastable to ``x``.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.lmbda_max(np.array([[[3.0, -4.0]]]), csc.Dictionary(np.eye(2)[:, None]))
    4.0
    """
    return Problem(x, dictionary, L1(0.0), mask).lmbda_max()
