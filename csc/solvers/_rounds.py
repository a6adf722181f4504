"""Rounds of a working set: what solvers on active codes, groups of codes and weighted codes repeat."""

from math import inf
from typing import NamedTuple

from csc.operators import KnownInfeasibility, SparseCodes

BLOCK_TOL_FACTOR = 0.01  # of the relative gap asked for: exact solves cost little more
FLOAT32_MIN_TOL = 1e-5  # relative gap below which descent in float32 adds only rounding
ROUNDS_PER_STEP = 10  # of large signals; the certificate after a step costs as much as six rounds,
ROUNDS_PER_SHORT_STEP = 30  # so that signals have more
MAX_SHORT_SAMPLES = 2**18  # whose rounds take less than a tenth of a second
LESS_GAP = 0.9  # of the gap before: more is no progress
MAX_STEPS_WITHOUT_PROGRESS = 3
MIN_DECREASE = 1e-14  # of the objective, relative: less is no progress


class Progress(NamedTuple):
    """What the last step left."""

    objective: float = inf
    gap: float = inf
    n_without_progress: int = 0  # last steps without progress

    @property
    def ended(self):
        """Whether only rounding is left to improve."""
        return self.n_without_progress == MAX_STEPS_WITHOUT_PROGRESS

    def after(self, objective, gap, min_decrease):
        """`Progress` after a step; a relative decrease of the objective of less than ``min_decrease`` is none."""
        stays = gap > LESS_GAP * self.gap and objective >= self.objective * (1 - min_decrease)
        return Progress(objective, min(gap, self.gap), self.n_without_progress + 1 if stays else 0)


class Rounds(NamedTuple):
    """Objective and gap before the last round, and whether the gap is small enough without it."""

    objective: float
    gap: float
    converged: bool
    n: int  # rounds done

    @property
    def left_unchanged(self):
        """Whether the first codes had a small gap, though not 0: a smaller tolerance is needed to change them."""
        return self.converged and self.n == 0 and self.gap > 0


class Step(NamedTuple):
    """Codes after some rounds, and what the next step needs."""

    codes: SparseCodes
    tol: float  # relative gap of the next step
    progress: Progress
    known: KnownInfeasibility | None  # of the last round


def working_precision(problem, tol):
    """Precision in which codes reach a relative gap of ``tol``."""
    return "float64" if tol < FLOAT32_MIN_TOL else problem.x.dtype


def rounds_per_step(problem):
    """How many rounds a working set has at most before the certificate in float64."""
    short = problem.x.size <= MAX_SHORT_SAMPLES
    return ROUNDS_PER_SHORT_STEP if short else ROUNDS_PER_STEP


def run_rounds(active, tol, most):
    """Grow the active set and minimise over it, in turn, until the gap is at most ``tol`` times the objective.

    Parameters
    ----------
    active : ActiveCodes
    tol : float
    most : int
        Rounds at most.
    """
    for n in range(most):
        objective, gap = active.certified(tol)
        if gap <= tol * objective:
            return Rounds(objective, gap, True, n)
        active.grow()
        active.minimise(BLOCK_TOL_FACTOR * tol, uneven=n % 2 == 1)
    return Rounds(objective, gap, False, most)


def step_in_rounds(problem, state, kind):
    """`Step` of some rounds, or fewer to a gap of ``state.tol``, which then falls; None if only rounding is left.

    Parameters
    ----------
    problem : LayerProblem
    state : state of a solver
        Codes ``z``, ``tol`` and ``progress``.
    kind : subclass of ActiveCodes
    """
    tol, active = state.tol, None
    while True:
        precision = working_precision(problem, tol)
        if active is None or active.layout.dtype != precision:
            active = kind(problem, SparseCodes.of(state.z), precision)
        rounds = run_rounds(active, tol, rounds_per_step(problem))
        if not rounds.left_unchanged:
            break
        tol /= 10  # unchanged codes would end the loop
    codes = active.result(problem.x.dtype)
    if rounds.converged:
        return Step(codes, tol / 10, Progress(), active.known)
    progress = state.progress.after(rounds.objective, rounds.gap, MIN_DECREASE)
    return None if progress.ended else Step(codes, tol, progress, active.known)
