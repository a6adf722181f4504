"""Any data term by weighted least squares, on an active set."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from csc._typing import LayerProblem, ProblemLike
from csc.certificates import best_dual_of_term
from csc.data_terms import LeastSquares, dual_values, values
from csc.operators import SparseCodes
from csc.penalties import L1
from csc.solvers._active_set import ActiveSet
from csc.solvers._rounds import (
    FLOAT32_MIN_TOL,
    Progress,
    Rounds,
    rounds_per_step,
    run_rounds,
    working_precision,
)

DAMPING = 0.05  # of Newton's method: share of the parabolas in its second derivatives
LOCAL_GAP_MARGIN = 3  # times the last ratio of both gaps, which may have grown since
MAX_SMOOTHED_CG_STEPS = 15  # of smoothed absolute values: far away they are no parabola
FIRST_WIDTH = 0.25  # of the mean absolute residual: of the smoothing of absolute values
LEAST_RESIDUAL = 0.1  # of the mean modulus of the signals: below, codes fit them too well
PROGRESS = 0.2  # decrease in a round, over the gap that smoothing causes: below, it moves
SMOOTHING_SHARE = 0.6  # of the tolerance: a gap of smoothing that need not fall further
MIN_DECREASE, MIN_DECREASE_FLOAT32 = 1e-12, 1e-6  # of the objective, relative: less is no progress
# relative gap below which codes of this dtype only round
ROUNDING = {"float32": 1e-8, "float64": 2e-14}


class ReweightedState(NamedTuple):
    """State of the reweighted solver."""

    z: object  # sparse codes
    tol: float  # relative gap of the next step
    theta: object  # dual point of the smoothed data term, in the precision of the rounds
    smoothing: object = None  # of absolute values: what replaces them
    progress: Progress = Progress()
    is_exact: bool = False  # up to the rounding of the codes
    last: Rounds | None = None  # of the last step, if it did not reach ``tol``


@dataclass(frozen=True)
class Reweighted:
    """Lasso with any data term, by iteratively reweighted least squares on an active set [1]_.

    In each round, every sample's loss is replaced by a parabola above it that touches it at the
    present fit; this is a weighted lasso. One correlation selects the codes that violate optimality
    most, and coordinate descent lowers the weighted problem, and with it the objective [2]_; conjugate
    gradients do so for the second derivatives. Memory grows with the signal and its non-zero codes only.

    Absolute values have no such parabola at 0, and those of a `Huber` function of small delta are steep. They
    are smoothed, from one center after another (the proximal point algorithm on the dual [3]_); the duality
    gap is that of the data term itself.

    Parameters
    ----------
    tol : float
        Relative gap at which the first step ends; a step is at most ten rounds,
        or thirty of at most 2^18 samples.

    References
    ----------
    .. [1] P. J. Green, "Iteratively reweighted least squares for maximum likelihood estimation, and
       some robust and resistant alternatives", J. R. Stat. Soc. B 46(2), 1984.
    .. [2] D. R. Hunter, K. Lange, "A tutorial on MM algorithms", Am. Stat. 58(1), 2004.
    .. [3] R. T. Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm
       in convex programming", Math. Oper. Res. 1(2), 1976.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.L1(0.5), data_term=csc.data_terms.Huber(1.0))
    >>> csc.solve(problem, csc.solvers.Reweighted(), tol=1e-6).codes.ravel().round(2)
    array([2.5, 3.5])
    """

    tol: float = 1e-4

    check_every = 1
    sparse = True
    requirements = (
        "needs an L1 penalty with all lambdas > 0, a data term with majoriser_curvature (or, like "
        "LeastAbsolute, smoothed), a Dictionary, and NumPy arrays"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether it is a lasso with a data term that parabolas bound."""
        term = problem.data_term
        bounded = hasattr(term, "majoriser_curvature") or hasattr(term, "smoothed")
        return bounded and type(problem.penalty) is L1 and problem.structure.has_local_dual

    def init(self, problem: LayerProblem, z0: Any) -> ReweightedState:
        """State at codes ``z0``."""
        return ReweightedState(z0, self.tol, 0 * problem.x)

    def step(self, problem: LayerProblem, state: ReweightedState) -> ReweightedState:
        """Some rounds, or fewer to ``tol``, which then falls."""
        if state.is_exact:
            return state  # unchanged codes end the loop
        precision, floor = working_precision(problem, state.tol), ROUNDING[problem.x.dtype.name]
        active = _WeightedSet(problem, SparseCodes.of(state.z), precision, state.smoothing)
        if not state.progress.n_without_progress:  # else the smoothing moves again
            active.enough = SMOOTHING_SHARE * state.tol
        rounds = run_rounds(active, max(state.tol, floor), rounds_per_step(problem))
        is_exact = rounds.converged and state.tol <= floor
        if rounds.left_unchanged and not is_exact:
            # unchanged codes would end the loop
            return self.step(problem, state._replace(tol=state.tol / 10))
        z, smoothing = active.codes.astype(problem.x.dtype), active.smoothing
        theta = active.layout.samples(active.dual_point()).reshape(problem.x.shape)
        if rounds.converged:
            return ReweightedState(z, state.tol / 10, theta, smoothing, is_exact=is_exact)
        least = MIN_DECREASE if precision == "float64" else MIN_DECREASE_FLOAT32
        progress = state.progress.after(rounds.objective, rounds.gap, least)
        if smoothing is not state.smoothing and not _is_at_rest(rounds, state.last, least):
            # it moved, which may be progress
            progress = progress._replace(n_without_progress=state.progress.n_without_progress)
        if progress.ended and precision != "float64":
            exact = state._replace(tol=0.1 * FLOAT32_MIN_TOL, progress=Progress())
            return self.step(problem, exact)
        if progress.ended:
            return state  # only rounding is left: unchanged codes end the loop
        return ReweightedState(z, state.tol, theta, smoothing, progress, last=rounds)

    def moves_dual(self, before: ReweightedState, state: ReweightedState) -> bool:
        """Whether a step changed the dual point, as it may while the codes stay the same."""
        return bool((before.theta != state.theta).any())

    def certificate(self, problem: LayerProblem, state: ReweightedState) -> tuple[float, float]:
        """Objective and duality gap at the codes, with the dual point of the smoothed data term."""
        return problem.certificate(state.z, state.theta if state.smoothing else None)


def _is_at_rest(rounds, last, rounding):
    """Whether rounds left the objective as it was, up to rounding, and did not lower the gap."""
    if last is None:
        return False
    change = abs(rounds.objective - last.objective)
    return change <= rounding * rounds.objective and rounds.gap >= last.gap


class _WeightedSet(ActiveSet):
    """Active codes of a weighted lasso whose weights change.

    ``mask`` holds the weights of the parabolas, ``x`` their centres, ``r`` the distance of the fit
    from these; ``data`` and ``weights`` are those of the problem. ``smoothing`` replaces a data term that no parabola
    bounds, and moves where it causes most of the gap.
    """

    has_blocks = False  # the parabolas change in each round
    enough = 0.0  # relative gap of the smoothing that need not fall further

    def __init__(self, problem, codes, dtype, smoothing):
        super().__init__(problem, codes, dtype)
        pad, x = problem.dictionary.pad, problem.x
        weights = problem.structure.sample_weights
        self.data, self.term = self.x, problem.data_term
        weights = np.ones_like(x) if weights is None else weights
        self.weights = self.layout.buffer(pad(weights))
        self.mask, self.smoothing = self.weights, smoothing
        if smoothing is None and hasattr(self.term, "smoothed"):
            self.smoothing = self.term.smoothed(self.first_width(), 0 * self.data)
        if self.smoothing:
            self.max_cg_steps = MAX_SMOOTHED_CG_STEPS

    def first_width(self):
        """Of the smoothing: a share of the mean ``|x - D z|``, unless the first codes fit far too well or badly."""
        residual, signal = (
            float((self.weights * abs(a)).sum() / self.weights.sum())
            for a in (self.data - self.fit, self.data)
        )
        residual = min(max(residual, LEAST_RESIDUAL * signal), signal)  # zeros leave the signal
        return FIRST_WIDTH * residual or 1.0  # signals of zeros

    @property
    def fit(self):
        """``D z``, padded."""
        return self.x - self.r

    def reweight(self, term):
        """Parabolas above the losses of a data term that touch them at the present fit."""
        fit, self.model = self.fit, term
        curvature = term.majoriser_curvature(self.data, fit)
        self.r = np.where(self.weights > 0, term.slope(self.data, fit) / curvature, 0)
        self.x = fit + self.r
        self.mask = self.weights * curvature
        bend = term.second_derivative(self.data, fit)
        self.bend = self.weights * (bend + DAMPING * (curvature - bend))
        self.__dict__.pop("_curvatures", None)

    def certified(self, tol):
        """Objective and duality gap of the problem; the tight one if the first is near ``tol``."""
        self.reweight(self.smoothing or self.term)
        self.infeasibility, layout = self.dual_infeasibility(), self.layout
        x, fit, theta = self.data, self.fit, self.observed(self.r)
        x, fit, weights = (layout.samples(a).astype("float64") for a in (x, fit, self.weights))
        penalty = self.codes.sums(abs(self.codes.values) * self.lmbda)
        objective = values(self.term, x, fit, weights) + penalty
        top = np.maximum(self.infeasibility.reshape(len(x), -1).max(axis=1), 1)
        scaled = layout.samples(theta).astype("float64") / top[:, None]
        gap = np.maximum(objective - dual_values(self.term, x, scaled, weights), 0)
        if gap.sum() <= self.local_gap_factor * tol * objective.sum():
            pair, inverse = (self.term, x, weights), 1 / self.all_lmbda
            settings = inverse, self.positive, self.infeasibility
            dual = best_dual_of_term(layout, pair, theta, *settings)
            global_gap, gap = gap.sum(), np.maximum(objective - dual, 0)
            ratio = global_gap / gap.sum() if gap.any() else inf
            first = type(self).local_gap_factor
            self.local_gap_factor = min(LOCAL_GAP_MARGIN * ratio, first)
        self.certified_objective = float(objective.sum())
        return self.certified_objective, float(gap.sum())

    def minimise(self, tol, *, uneven):
        """As `ActiveCodes.minimise`, and then a move of the smoothing."""
        before = self.model_value() if self.smoothing else inf
        super().minimise(tol, uneven=uneven)
        if self.smoothing and self.smoothing_matters(before):
            self.smoothing = self.smoothing.moved(self.data, self.fit)

    def smoothing_gap(self):
        """Part of the duality gap that the smoothing causes: ``sum w (|r| - s r)``, s its slopes.

        For any data term ``phi(u) + phi*(-s) + s u``, which is 0 where s is a slope of it.
        """
        x, fit = self.data, self.fit
        slope = self.model.slope(x, fit)
        terms = self.term.loss(x, fit) + self.term.conjugate(x, slope) + slope * fit
        return float((self.weights * np.where(self.weights > 0, terms, 0)).sum())

    def smoothing_matters(self, before):
        """Whether the gap that smoothing causes is large, compared with what a round lowered.

        If it is at most ``enough`` times the objective, the smoothing stays, so that the descent can end.

        Parameters
        ----------
        before : float
            `model_value` before the round.
        """
        gap = self.smoothing_gap()
        return (
            gap > self.enough * self.certified_objective
            and before - self.model_value() < PROGRESS * gap
        )

    def model_value(self):
        """Objective with the smooth data term."""
        return self._objective()

    def _set_values(self, values):
        """Replace the values of the codes, and the parabolas by those that touch at the new fit."""
        super()._set_values(values)
        if type(self.model) is not LeastSquares:  # whose parabola is itself
            self.reweight(self.model)

    def data_value(self):
        """The smooth data term at the present fit."""
        weights = self.layout.samples(self.weights)
        loss = self.layout.samples(self.model.loss(self.data, self.fit))
        return float((weights * np.where(weights > 0, loss, 0)).sum(dtype="float64"))
