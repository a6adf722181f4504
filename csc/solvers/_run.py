"""Run a solver until its certificate, or another rule, ends it."""

import signal
from enum import Enum
from math import inf, isfinite, isnan
from time import perf_counter
from typing import NamedTuple

import numpy as np

from csc._interrupts import interruptible, raise_lost_interrupt
from csc._validation import check_count, check_number
from csc.data_terms import LEAST_SQUARES, is_plain, values
from csc.operators import SparseCodes, code_values

SIGNAL_ROUNDING = 128  # machine epsilons: relative error of a residual from rounding alone


class Status(Enum):
    """Why a solver stopped.

    Examples
    --------
    >>> import numpy as np, csc
    >>> solution = csc.sparse_code(np.array([[[3.0, 1.0]]]), np.eye(2)[:, None], 1.0)
    >>> solution.status is csc.solvers.Status.CONVERGED
    True
    """

    CONVERGED = "converged"  # the relative gap is at most tol
    STATIONARY = "stationary"  # not convex: a step moved the codes by at most tol
    DONE = "done"  # a pursuit met its own stopping rule
    STALLED = "stalled"  # the codes no longer change, the gap is above tol
    MAX_ITER = "max_iter"  # max_iter steps were taken
    INTERRUPTED = "interrupted"  # Ctrl-C
    STOPPED = "stopped"  # the callback raised StopIteration
    BROKEN = "broken"  # the objective is NaN

    @property
    def converged(self) -> bool:
        """Whether the solver ended as it should."""
        return self in (Status.CONVERGED, Status.STATIONARY, Status.DONE)


class Outcome(NamedTuple):
    """Why a solver stopped, for programs and in a sentence."""

    status: Status
    message: str


FLOOR = "a smaller gap needs higher precision, or a lambda > 0 for every code"
MORE_STEPS = "raise max_iter"
WITHIN_ROUNDING = Outcome(
    Status.CONVERGED, "converged: the objective is within the rounding error of the signals"
)
STATIONARY = Outcome(
    Status.STATIONARY,
    "stationary: the codes changed by less than tol; there is no gap, as the penalty is not convex",
)
INFINITE = Outcome(
    Status.STALLED,
    "stalled: the codes no longer change, and the objective is infinite: the fit or the codes lie outside of "
    "what the data term or the penalty allows, as negative fits of counts do",
)
NO_MINIMUM = Outcome(
    Status.STALLED,
    "stalled: codes without a penalty separate the bits, so that larger codes always fit better, and there is no "
    "minimum; give all codes a weight > 0",
)
GREEDY = Outcome(
    Status.DONE,
    "done: the pursuit met its stopping rule; there is no gap, as the penalty is not convex",
)
PURSUED = Outcome(
    Status.DONE,
    "done: the pursuit met its stopping rule; the gap is that of the problem without the rule",
)
INTERRUPTED = Outcome(
    Status.INTERRUPTED, "interrupted: these are the codes of the last step; pass them as init"
)
STOPPED = Outcome(Status.STOPPED, "stopped by the callback")
BROKEN = Outcome(
    Status.BROKEN, "broken: the objective is NaN; the codes overflowed or the penalty gave NaN"
)


def converged(gap, tol):
    """`Outcome` of a relative gap of at most ``tol``."""
    return Outcome(Status.CONVERGED, f"converged: relative gap {gap:.1e} <= tol {tol:.1e}")


def check_rules(n_nonzero, max_squared_residual):
    """Check where a pursuit stops: at so many codes, None without a limit, or at this ``||r||^2``."""
    if n_nonzero is not None:
        check_count("n_nonzero", n_nonzero, low=0)
    check_number("max_squared_residual", max_squared_residual)


def stalled(gap, tol, floor=FLOOR):
    """`Outcome` of codes that no longer change; ``floor`` says what would lower the gap."""
    message = f"stalled at relative gap {gap:.1e} > tol {tol:.1e}: the codes no longer change; "
    return Outcome(Status.STALLED, message + floor)


def out_of_steps(n, gap, tol, more_steps=MORE_STEPS):
    """`Outcome` of ``max_iter = n`` steps; ``more_steps`` says what to change."""
    if isfinite(gap):
        reason = f"at max_iter = {n}: relative gap {gap:.1e} > tol {tol:.1e}"
    else:
        reason = f"at max_iter = {n} before the codes were stationary"
    return Outcome(Status.MAX_ITER, f"stopped {reason}; {more_steps}")


class Progress(NamedTuple):
    """One entry of a solver's history, as a callback receives it."""

    n_iter: int
    objective: float
    gap: float
    seconds: float

    @property
    def relative_gap(self):
        """``gap / objective``; 0 where both are 0."""
        return ratio(self.gap, self.objective)


class Run(NamedTuple):
    """Result of running a solver."""

    z: object  # codes
    n_iter: int
    history: list  # of Progress
    outcome: Outcome


def iterate(problem, solver, z, limits, callback=None):
    """Step until a stopping rule holds.

    Parameters
    ----------
    problem, solver
        The solver supports the problem.
    z : codes to start from, see `start`
    limits : (tol, max_iter)
    callback : callable, optional

    Returns
    -------
    Run
    """
    with interruptible(signal.SIGINT):
        return _iterate(problem, solver, z, limits, callback)


def _iterate(problem, solver, z, limits, callback):
    (tol, max_iter), rounding = limits, objective_rounding(problem)
    state, n, history, start_time = solver.init(problem, z), 0, [], perf_counter()
    certify = getattr(solver, "certificate", lambda problem, state: problem.certificate(state.z))
    try:
        for n in range(1, max_iter + 1):
            before, state = state, solver.step(problem, state)
            raise_lost_interrupt()
            if n % solver.check_every and n < max_iter:
                continue
            now = Progress(n, *certify(problem, state), perf_counter() - start_time)
            history.append(now)
            if callback is not None:
                callback(now)
            outcome = _outcome(now, before, state, (tol, rounding), solver)
            if outcome is None and _has_no_minimum(problem, state.z, now, tol):
                outcome = NO_MINIMUM
            if outcome is not None:
                return Run(state.z, n, history, outcome)
        more_steps = getattr(solver, "more_steps", MORE_STEPS)
        outcome = out_of_steps(n, ratio(now.gap, now.objective), tol, more_steps)
        return Run(state.z, n, history, outcome)
    except StopIteration:
        return Run(state.z, n, history, STOPPED)
    except KeyboardInterrupt:
        return Run(state.z, n, [], INTERRUPTED)  # the history may be of codes one step older


def objective_rounding(problem):
    """Objective that the rounding of the signals alone may leave: its change with that of the fit x."""
    eps = SIGNAL_ROUNDING * np.finfo(problem.x.dtype).eps
    x, term = problem.x.astype("float64"), getattr(problem, "data_term", LEAST_SQUARES)
    if is_plain(term):
        mask = getattr(problem, "mask", None)
        x = x if mask is None else x * mask.astype(x.dtype)
        return 0.5 * eps**2 * float((x * x).sum())
    weights = problem.structure.sample_weights
    rounded, exact = (values(term, x, fit, weights).sum() for fit in ((1 - eps) * x, x))
    return abs(float(rounded - exact))


def start(problem, solver):
    """Zeros to start from, in the form that the solver keeps codes in."""
    if is_sparse(problem, solver):
        return SparseCodes.zeros(problem.code_shape, problem.x.dtype)
    return problem.zeros()


def is_sparse(problem, solver):
    """Whether the solver keeps codes sparse, as dense ones may not fit in memory."""
    return getattr(solver, "sparse", False) and problem.structure.certifies_sparse_codes


def ratio(a, b):
    """``a / b``; 0 where both are 0."""
    return 0.0 if a == 0 else (a / b if b else inf)


def _outcome(now, before, state, limits, solver):
    """`Outcome` to stop with, or None to continue."""
    tol, rounding = limits
    if isnan(now.objective):
        return BROKEN
    if hasattr(state, "done"):  # a greedy or a layered pursuit
        outcome = PURSUED if isfinite(now.gap) else GREEDY
        return getattr(state, "outcome", outcome) if state.done else None
    if isfinite(now.gap):
        gap = ratio(now.gap, now.objective)
        if gap <= tol:
            return converged(gap, tol)
        if now.objective <= rounding:
            return WITHIN_ROUNDING
        precision = state.z[-1].dtype if isinstance(state.z, tuple) else state.z.dtype
        still = _is_still(before, state, np.finfo(precision).eps, solver)
        return stalled(gap, tol, getattr(solver, "floor", FLOOR)) if still else None
    if not _is_still(before, state, tol, solver):
        return None
    return STATIONARY if isfinite(now.objective) else INFINITE


def _has_no_minimum(problem, z, now, tol):
    """Whether the objective falls to 0 along ``c z`` as c grows, and is at most ``tol`` times that of zeros."""
    term = getattr(problem, "data_term", LEAST_SQUARES)
    if now.gap < now.objective or not hasattr(term, "separates"):
        return False  # a dual point other than 0 is known
    penalty, x = problem.penalty, problem.x
    free = penalty.free(z) if hasattr(penalty, "free") else None
    if free is None or z[~free].any():
        return False
    weights = problem.structure.sample_weights
    separated = term.separates(x, problem.synthesize(z))
    if not (separated if weights is None else separated | (weights == 0)).all():
        return False
    return now.objective <= tol * float(values(term, x, 0 * x, weights).sum())


def _is_still(before, state, tol, solver):
    """Whether a step moved the codes by at most ``tol``, and left the dual of the solver as it is.

    All-zero codes do not show it, as duals may still grow: then all arrays of the state count.
    """
    moves_dual = getattr(solver, "moves_dual", lambda *_: False)
    if _movement(before.z, state.z) > tol or moves_dual(before, state):
        return False
    layers = state.z if isinstance(state.z, tuple) else (state.z,)
    if any(code_values(z).any() for z in layers):
        return True
    return all(_movement(a, b) <= tol for a, b in zip(before, state, strict=True) if _moves(b))


def _moves(part):
    """Whether a part of a state is an array (not a number), or a tuple of arrays."""
    if isinstance(part, tuple):
        return len(part) > 0 and all(map(_moves, part))
    return getattr(part, "ndim", 0) > 0


def _movement(before, after):
    """``||after - before|| / ||after||``, the largest of all layers."""
    if isinstance(after, tuple):
        return max(map(_movement, before, after))
    if isinstance(after, SparseCodes):
        if not isinstance(before, SparseCodes) or not np.array_equal(before.index, after.index):
            return inf
        before, after = before.values, after.values
    return ratio(float(((after - before) ** 2).sum()), float((after**2).sum())) ** 0.5
