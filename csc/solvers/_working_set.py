"""Descent on the codes that matter."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from csc._backend import namespace
from csc._typing import ProblemLike
from csc.operators import SparseCodes
from csc.penalties import L1
from csc.solvers._active_set import ActiveSet

ROUNDS = 1000  # of growing the active set of one patch, far above what was ever needed,
ROUGH_ROUNDS = 30  # and in float32, where rounding may call the same atoms for ever
SHARE = 0.4  # of the worst violation nearby: less, and a code is not called yet
SWEEPS = 5  # over the active codes at a time
PATIENCE = 2  # times that a round sweeps, at most
SETTLED = 0.3  # part of new codes below which conjugate gradients pay
NEAR = 20  # times the gap asked for: below, the sharper bound is worth its correlations,
HOPE = 1.2  # and after it was once computed, times what it gained then
A_STEP = 10  # rounds
ROUNDING = 1e-14  # relative fall of the objective that is no progress,
FALL = 0.5  # factor of the gap of patches that a step in float64 gains at least
MISSES = 3  # and after how many steps without any the codes stay
STEPS = 10  # of conjugate gradients
FINE = 1e-5  # relative gap below which float32 descent would only stir up rounding


class WorkingSetState(NamedTuple):
    """Where the working-set solver stands."""

    z: object  # codes: dense for patches, sparse else
    tol: float  # relative gap that the next step asks for
    objective: float = inf  # after the last step
    gap: float = inf
    misses: int = 0  # steps on signals that brought no progress
    exact: bool = False  # patches: whether correlations are taken in float64


@dataclass(frozen=True)
class WorkingSet:
    """Lasso by descent on the codes that matter, for patches and for signals of any size.

    Patches: a signal at a time, take in the codes that violate optimality most, one by one, each
    time minimising exactly over it and all active codes (a code that reaches zero on the way
    leaves) [1]_, look again, until the signal's own duality gap is met.

    Larger signals: one correlation finds the codes that violate optimality most; coordinate
    descent sweeps over these and the non-zero ones, the residual in signal space, so that a visit
    costs no more than an atom has samples [2]_; once few codes are new, conjugate gradients on
    the non-zero ones do what descent does slowly; look again. Pieces of the signal that share no
    sample are swept in parallel. Memory grows with the signal and the non-zero codes only.

    A step on patches asks for a hundredfold smaller gap than the step before, from the second on
    in float64; one on signals is ten rounds.

    Parameters
    ----------
    tol : float
        Relative gap that the first step asks for (patches: of each signal).

    References
    ----------
    .. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in
       least squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3.
    .. [2] T. Moreau, L. Oudre, N. Vayatis, "DICOD: distributed convolutional coordinate descent
       for convolutional sparse coding", ICML 2018 (locally greedy descent; here cyclic on an
       active set).

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
        "needs an L1 penalty, one price an atom, > 0 unless on patches (CuPy: on patches)"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem is a lasso with a price for each atom."""
        if type(problem.penalty) is not L1 or problem.atom_lmbda is None:
            return False
        return problem.is_patch or problem.has_local_dual

    def init(self, problem: ProblemLike, z0: Any) -> WorkingSetState:  # noqa: ARG002
        """State at codes ``z0``."""
        return WorkingSetState(z0, self.tol)

    def step(self, problem: ProblemLike, state: WorkingSetState) -> WorkingSetState:
        """Patches: meet ``tol``, then ask for less. Signals: some rounds on the way there."""
        return (_code_patches if problem.is_patch else _code_signals)(problem, state)


def _code_patches(problem, state):
    form = problem.gram_form_double if state.exact else problem.gram_form
    prices = problem.atom_lmbda.astype(form.gram.dtype)
    start = state.z.reshape(len(state.z), -1).astype(form.gram.dtype)
    z = namespace(start).empty_like(start)
    rounds = ROUNDS if form.gram.dtype == "float64" else ROUGH_ROUNDS
    gaps = form.energies.copy()
    problem.kernels.lasso_gram(
        *form, prices, problem.penalty.positive, state.tol, rounds, start, z, gaps
    )
    gap = float(gaps.sum())
    if state.exact and gap > FALL * state.gap:
        return state  # only rounding is left: codes that stay tell the caller
    z = z.reshape(state.z.shape).astype(state.z.dtype, copy=False)
    gap = gap if form.gram.dtype == "float64" else inf
    return WorkingSetState(z, state.tol / 100, gap=gap, exact=True)


def _code_signals(problem, state):
    precision = "float64" if state.tol < FINE else problem.x.dtype
    active = ActiveSet(problem, SparseCodes.of(state.z), precision)
    near = NEAR
    for round_ in range(A_STEP):
        dual_infeasibility = active.dual_infeasibility()
        objective, gap = (
            float(a.sum()) for a in active.certificate(dual_infeasibility, local=False)
        )
        if gap <= near * state.tol * objective:
            rough, gap = gap, float(active.certificate(dual_infeasibility)[1].sum())
            near = HOPE * rough / gap if gap else inf
        if gap <= state.tol * objective:
            if round_ == 0 and gap > 0:  # codes that stay would tell the caller: no more to gain
                return _code_signals(problem, state._replace(tol=state.tol / 10))
            return WorkingSetState(active.codes.astype(problem.x.dtype), state.tol / 10)
        new = active.admit(dual_infeasibility, SHARE)
        for _ in range(PATIENCE):
            if active.descend(SWEEPS) <= 1e-3 * gap:
                break
        if new < SETTLED:
            active.refine(STEPS)
    misses = 0
    if gap > 0.9 * state.gap and objective >= state.objective * (1 - ROUNDING):
        misses = state.misses + 1
    if misses == MISSES:
        return state  # only rounding is left: codes that stay tell the caller
    codes = active.codes.astype(problem.x.dtype)
    return WorkingSetState(codes, state.tol, objective, min(gap, state.gap), misses)
