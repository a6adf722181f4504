"""Step a solver until its certificate says that it is done."""

from math import inf, isfinite, isnan
from time import perf_counter
from typing import NamedTuple

import numpy as np

from csc.operators import SparseCodes

CONVERGED = "converged: relative gap {gap:.1e} <= tol {tol:.1e}"
EXPLAINED = "converged: the objective is within the rounding error of the signals"
SETTLED = "settled: codes moved by less than tol; no gap, for the penalty is not convex"
STALLED = "stalled at relative gap {gap:.1e} > tol {tol:.1e}: the codes move no more; {floor}"
FLOOR = "the precision of the signals, or codes without a price, allow no smaller gap"
GREEDY = "done: the greedy pursuit met its stopping rule; no gap, for the penalty is not convex"
PURSUED = "done: the pursuit met its stopping rule; the gap is that of the problem without the rule"
EXHAUSTED = "stopped at max_iter = {n}: relative gap {gap:.1e} > tol {tol:.1e}; raise max_iter"
UNSETTLED = "stopped at max_iter = {n} before the codes settled; raise max_iter"
INTERRUPTED = "interrupted: the codes are those of the last step; pass them as init to go on"
BROKEN = "stopped: the objective is NaN, for the codes overflowed or a penalty gave NaN"
CALLED_OFF = "stopped by the callback"


class Progress(NamedTuple):
    """One line of a solver's history, and what a callback sees."""

    n_iter: int
    objective: float
    gap: float
    seconds: float

    @property
    def relative_gap(self):
        """``gap / objective``; 0 where both are 0."""
        return ratio(self.gap, self.objective)


class Run(NamedTuple):
    """What came of stepping a solver."""

    z: object  # codes
    n_iter: int
    history: list  # of Progress
    status: str


def iterate(problem, solver, z, limits, callback=None):
    """Step until a stopping rule fires.

    Parameters
    ----------
    problem, solver
        The solver suits the problem.
    z : codes to start from, see `start`
    limits : (tol, max_iter)
    callback : callable, optional

    Returns
    -------
    Run
    """
    tol, max_iter = limits
    state, n, history, began = solver.init(problem, z), 0, [], perf_counter()
    judge = getattr(solver, "certificate", lambda problem, state: problem.certificate(state.z))
    try:
        for n in range(1, max_iter + 1):
            before, state = state, solver.step(problem, state)
            if n % solver.check_every and n < max_iter:
                continue
            now = Progress(n, *judge(problem, state), perf_counter() - began)
            history.append(now)
            if callback is not None:
                callback(now)
            reason = _reason_to_stop(now, before, state, (tol, problem.rounding), solver)
            if reason:
                return Run(state.z, n, history, reason)
        gap = ratio(now.gap, now.objective)
        reason = EXHAUSTED if isfinite(gap) else UNSETTLED
        return Run(state.z, n, history, reason.format(n=n, gap=gap, tol=tol))
    except StopIteration:
        return Run(state.z, n, history, CALLED_OFF)
    except KeyboardInterrupt:
        return Run(state.z, n, [], INTERRUPTED)  # the history may be of codes one step older


def start(problem, solver):
    """Zeros to start from, in the form that the solver keeps codes in."""
    if is_sparse(problem, solver):
        return SparseCodes.zeros(problem.code_shape, problem.x.dtype)
    return problem.zeros()


def is_sparse(problem, solver):
    """Whether the solver keeps codes sparse: there may be no room for all of them."""
    return getattr(solver, "sparse", False) and not problem.is_patch


def ratio(a, b):
    """``a / b``; 0 where both are 0."""
    return 0.0 if a == 0 else (a / b if b else inf)


def _reason_to_stop(now, before, state, limits, solver):
    """The status to stop with, or None to go on."""
    tol, rounding = limits
    if isnan(now.objective):
        return BROKEN
    if hasattr(state, "done"):  # a greedy or a layered pursuit
        verdict = PURSUED if isfinite(now.gap) else GREEDY
        return getattr(state, "verdict", verdict) if state.done else None
    if isfinite(now.gap):
        gap = ratio(now.gap, now.objective)
        if gap <= tol:
            return CONVERGED.format(gap=gap, tol=tol)
        if now.objective <= rounding:
            return EXPLAINED
        precision = state.z[-1].dtype if isinstance(state.z, tuple) else state.z.dtype
        floor = getattr(solver, "floor", FLOOR)
        still = _is_still(before, state, np.finfo(precision).eps)
        return STALLED.format(gap=gap, tol=tol, floor=floor) if still else None
    return SETTLED if _is_still(before, state, tol) else None


def _is_still(before, state, tol):
    """Whether a step moved the codes by at most ``tol``.

    Codes that are all zero say nothing: duals may grow until they are not. Then all arrays count.
    """
    if _movement(before.z, state.z) > tol:
        return False
    layers = state.z if isinstance(state.z, tuple) else (state.z,)
    if any((z.values if isinstance(z, SparseCodes) else z).any() for z in layers):
        return True
    return all(_movement(a, b) <= tol for a, b in zip(before, state, strict=True) if _moves(b))


def _moves(part):
    """Whether a part of a state is an array, no single number, or several of them."""
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
