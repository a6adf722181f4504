"""The working-set method for the lasso, on patches and on signals."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from csc._backend import namespace
from csc._typing import LayerProblem, ProblemLike
from csc.certificates import ball_certificate, is_inside, lasso_certificate
from csc.operators import KnownInfeasibility, SparseResidual
from csc.penalties import L1, ElasticNet, L1Ball, ridge_of
from csc.solvers._active_set import ActiveSet
from csc.solvers._ball_active_set import BallActiveSet
from csc.solvers._rounds import Progress, step_in_rounds
from csc.solvers._small_balls import code_small_balls
from csc.solvers._small_signals import code_small_signals

MAX_PATCH_ROUNDS = 1000  # growing the active set of one patch: far above what was ever needed
MAX_PATCH_ROUNDS_FLOAT32 = 30  # rounding may select the same atoms again and again
MAX_GAP_RATIO = 0.5  # of the gaps of patches after and before a step in float64


class WorkingSetState(NamedTuple):
    """State of the working-set solver."""

    z: object  # codes: dense for patches, sparse else
    tol: float  # relative gap of the next step
    gap: float = inf  # patches: after the last step
    exact: bool = False  # patches: whether correlations are computed in float64
    progress: Progress = Progress()  # signals
    known: KnownInfeasibility | None = (
        None  # signals: of the last round, in the precision of the descent
    )


@dataclass(frozen=True)
class WorkingSet:
    """The lasso and the elastic net by a working set, for patches and for signals of any size.

    Codes in an `L1Ball` are those of a lasso at one lambda for each signal, which is found on the way [4]_.

    Patches: for each signal, select the code that violates optimality most, minimise exactly over
    it and all active codes (codes that reach zero leave the set) [1]_, and repeat until the duality
    gap of the signal is small enough.

    Signals of at most 1024 codes with the same weights, and patches with a mask: the same, with the Gram matrix of
    all codes, in float64. If their masks differ, only those rows of it are computed that a signal needs; signals
    whose codes times samples exceed 2^18 are then solved as larger ones. In an `L1Ball`, on patches too: the same, in
    float64, with a lambda that changes until the l1 norm of the codes is the radius.

    Larger signals: in each round, one correlation selects the codes that violate optimality most.
    Coordinate descent sweeps over these and the non-zero codes. It keeps the residual, so that one
    update costs as many operations as the atom has samples [2]_. Once few codes are new, conjugate
    gradients on the support accelerate the convergence; in one dimension, after exact solves of
    blocks of neighbouring codes [3]_, or these alone if codes are few. Their step is judged by the
    objective after further sweeps, which repair codes that changed sign. Pieces of the signal that share no sample
    are swept in parallel. In an `L1Ball` lambda moves once in each round, and conjugate gradients keep the
    l1 norm of the codes. Memory grows with the signal and its non-zero codes only.

    On patches, the second step computes in float64, and each step has a tolerance a hundred times
    smaller than the one before. On larger signals a step is ten rounds,
    or thirty of at most 2^18 samples.

    Parameters
    ----------
    tol : float
        Relative gap at which the first step ends (patches: of each signal).

    References
    ----------
    .. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in
       least squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3.
    .. [2] T. Moreau, L. Oudre, N. Vayatis, "DICOD: distributed convolutional coordinate descent
       for convolutional sparse coding", ICML 2018 (locally greedy descent; here cyclic on an
       active set).
    .. [3] P. Tseng, "Convergence of a block coordinate descent method for nondifferentiable
       minimization", J. Optim. Theory Appl. 109, 2001.
    .. [4] B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Ann. Statist.
       32(2), 2004, sec. 3.1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L1(1.0))
    >>> csc.solve(problem, csc.solvers.WorkingSet()).codes.ravel().round(2)
    array([2., 3.])
    """

    tol: float = 1e-4

    check_every = 1
    sparse = True  # codes of larger signals
    requirements = (
        "needs an L1 penalty with weights > 0 (patches: also 0; CuPy: patches only, one weight for "
        "each atom), an ElasticNet, or an L1Ball, least squares without weights; measured signals must have at most 1024 codes"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether it is a lasso or an elastic net with all lambdas > 0, an l1 ball, or `SmallForm` suits it."""
        structure = problem.structure
        if type(problem.penalty) is L1Ball:
            patches = structure.is_patch and structure.on_host
            return structure.is_small or patches or structure.has_group_dual
        if type(problem.penalty) not in (L1, ElasticNet) or not structure.is_least_squares:
            return False
        is_sparse = structure.has_local_dual or structure.certifies_sparse_codes
        return _is_patch_lasso(problem) or is_sparse or structure.is_small

    def init(self, problem: LayerProblem, z0: Any) -> WorkingSetState:  # noqa: ARG002
        """State at codes ``z0``."""
        return WorkingSetState(z0, self.tol)

    def step(self, problem: LayerProblem, state: WorkingSetState) -> WorkingSetState:
        """Patches: solve to ``tol``, which then falls. Signals: some rounds, or fewer to ``tol``."""
        if _is_patch_lasso(problem):
            return _code_patches(problem, state)
        structure = problem.structure
        is_small = structure.is_small or (type(problem.penalty) is L1Ball and structure.is_patch)
        return (_code_small if is_small else _code_signals)(problem, state)

    def certificate(self, problem: LayerProblem, state: WorkingSetState) -> tuple[float, float]:
        """Objective and duality gap in float64, of signals from few correlations in float64."""
        if state.known is None:
            return problem.certificate(state.z)
        of = problem.x, problem.dictionary, state.z, "float64", problem.mask
        if type(problem.penalty) is L1Ball:
            radius, z = problem.penalty.radius, state.z
            if is_inside(z, radius):
                return problem.certificate(
                    z
                )  # sharper: the residual is made orthogonal to the atoms
            objective, gap = ball_certificate(SparseResidual(*of), radius, state.known)
            return float(objective.sum()), float(gap.sum())
        lmbda = problem.structure.code_lmbda.astype("float64")
        options = ridge_of(problem.penalty), problem.penalty.positive
        objective, gap = lasso_certificate(SparseResidual(*of), lmbda, options, state.known)
        return float(objective.sum()), float(gap.sum())


def _is_patch_lasso(problem):
    structure = problem.structure
    return structure.is_patch and structure.patch_lmbda is not None


def _code_patches(problem, state):
    form = problem.structure.gram_form_double if state.exact else problem.structure.gram_form
    lmbda = problem.structure.patch_lmbda.astype(form.gram.dtype)
    start = state.z.reshape(len(state.z), -1).astype(form.gram.dtype)
    z = namespace(start).empty_like(start)
    rounds = MAX_PATCH_ROUNDS if form.gram.dtype == "float64" else MAX_PATCH_ROUNDS_FLOAT32
    gaps = form.energies.copy()
    problem.structure.kernels.lasso_gram(
        *form, lmbda, problem.penalty.positive, state.tol, rounds, start, z, gaps
    )
    gap = float(gaps.sum())
    if state.exact and gap > MAX_GAP_RATIO * state.gap:
        return state  # only rounding is left: unchanged codes end the loop
    z = z.reshape(state.z.shape).astype(state.z.dtype, copy=False)
    gap = gap if form.gram.dtype == "float64" else inf
    return WorkingSetState(z, state.tol / 100, gap=gap, exact=True)


def _code_small(problem, state):
    code = code_small_balls if type(problem.penalty) is L1Ball else _code_small_lassos
    z, gap = code(problem, state.z, state.tol)
    if gap > MAX_GAP_RATIO * state.gap:
        return state  # only rounding is left: unchanged codes end the loop
    return WorkingSetState(z, state.tol / 100, gap=gap)


def _code_small_lassos(problem, z, tol):
    kernels, penalty = problem.structure.kernels, problem.penalty

    def kernel(form, products, start, out, gaps):
        *of_signals, seen = products
        options = penalty.positive, tol, MAX_PATCH_ROUNDS, start, out, gaps
        if seen is None:
            kernels.lasso_gram(form.gram, *of_signals, form.lmbda, *options)
        else:
            ridge = ridge_of(penalty)
            kernels.lasso_masked(form.matrix, seen, ridge, *of_signals, form.lmbda, *options)

    return code_small_signals(problem, z, kernel)


def _code_signals(problem, state):
    kind = BallActiveSet if type(problem.penalty) is L1Ball else ActiveSet
    step = step_in_rounds(problem, state, kind)
    if step is None:
        return state  # unchanged codes end the loop
    return WorkingSetState(step.codes, step.tol, progress=step.progress, known=step.known)
