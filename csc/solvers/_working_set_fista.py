"""FISTA on a working set of codes, for an l1 ball on signals of any size."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import numpy as np

from csc._typing import LayerProblem, ProblemLike
from csc.certificates import BallScores, group_certificate, multipliers
from csc.operators import SparseCodes, SparseResidual
from csc.penalties import L1Ball
from csc.solvers._active_set import merged
from csc.solvers._conjugate_gradients import (
    FEW_ZEROED,
    adapted_steps,
    conjugate_gradients,
    inner_product,
)

WEAK_FACTOR = 0.4  # of the largest violation nearby: codes with less are not selected yet
ROUNDS_PER_STEP = 10
MAX_STEPS = 300  # of FISTA per round
STEPS_PER_CHECK = 10
ROUND_FRACTION = 0.1  # of the gap: FISTA ends once ten steps lower the objective by less
POSITIONS_PER_CODE = 32  # for each, one new code per round at most, or as many as are active,
MIN_LIMIT = 64  # or this number
MIN_MULTIPLIER = 1e-3  # of an l1 ball, in units of the largest correlation
MAX_NEW_FRACTION = 0.3  # of new codes, up to which a Newton step pays
CG_STEPS = 10  # of the system of a Newton step, at first and at least
FULL_ROUNDING = 1e-6  # relative, of the l1 norm of codes on the face of a ball
FIRST_CURVATURE = 2.0  # in units of the largest ||d||^2
FIRST_LOCAL_GAP_FACTOR = 20  # times tol: from this gap on the local certificate is computed,
LOCAL_GAP_MARGIN = 1.2  # and from this times its last ratio to the global one
CURVATURE_GROWTH = 1.5  # factor of the curvature when a step was too long
CURVATURE_DECAY = 0.4  # factor at the start of a round
FLOAT32_MIN_TOL = 1e-5  # relative gap below which float32 adds only rounding
MIN_DECREASE = 1e-14  # of the objective, relative: less is no progress
MAX_STEPS_WITHOUT_PROGRESS = 3


class WorkingSetFISTAState(NamedTuple):
    """State of FISTA on a working set."""

    z: object  # sparse codes
    tol: float  # relative gap of the next step
    curvatures: tuple  # of the last steps, and the Lipschitz constant
    objective: float = inf  # after the last step
    gap: float = inf
    n_without_progress: int = 0


@dataclass(frozen=True)
class WorkingSetFISTA:
    """FISTA on a working set of codes, for an `L1Ball`.

    In each round, one correlation with all atoms gives the duality gap and selects the codes that
    violate optimality most near them. `FISTA` with backtracking [1]_ and restarts [2]_ minimises over these and
    the non-zero codes. One of its steps costs as many operations as the atoms of the working set
    have samples, and codes are stored sparse. Once few codes are new, steps on the face of the ball, solved by
    conjugate gradients, accelerate the convergence.

    Parameters
    ----------
    tol : float
        Relative gap at which the first step ends.

    References
    ----------
    .. [1] A. Beck, M. Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J.
       Imaging Sci. 2(1), 2009, sec. 4, "FISTA with backtracking".
    .. [2] B. O'Donoghue, E. Candes, "Adaptive restart for accelerated gradient schemes", Found.
       Comput. Math. 15, 2015, sec. 3.2.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x = np.zeros((1, 1, 2000))
    >>> x[0, 0, 700:702] = 3.0, 1.0
    >>> problem = csc.Problem(x, csc.Dictionary(np.ones((1, 1, 1))), csc.L1Ball(2.0))
    >>> csc.solve(problem, csc.solvers.WorkingSetFISTA()).codes[0, 0, 700:702].round(2)
    array([2., 0.])
    """

    tol: float = 1e-4

    check_every = 1
    sparse = True
    requirements = (
        "needs an L1Ball; least squares without weights, more than 1024 codes of each signal, not "
        "measured, and NumPy arrays"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether it is an l1 ball, on signals of more than 1024 codes."""
        return type(problem.penalty) is L1Ball and problem.structure.has_group_dual

    def init(self, problem: LayerProblem, z0: Any) -> WorkingSetFISTAState:
        """State at codes ``z0``."""
        atoms = problem.dictionary.atoms
        curvature = FIRST_CURVATURE * float((atoms**2).sum(axis=tuple(range(1, atoms.ndim))).max())
        lipschitz = problem.lipschitz()
        return WorkingSetFISTAState(z0, self.tol, (min(curvature, lipschitz) or 1.0, lipschitz))

    def step(self, problem: LayerProblem, state: WorkingSetFISTAState) -> WorkingSetFISTAState:
        """Ten rounds, or fewer to ``tol``."""
        dtype = "float64" if state.tol < FLOAT32_MIN_TOL else problem.x.dtype
        active = _Codes(problem, SparseCodes.of(state.z), dtype, state.curvatures)
        objective, gap = active.certificate(state.tol)
        if gap <= state.tol * objective and gap > 0:  # unchanged codes would end the loop
            return self.step(problem, state._replace(tol=state.tol / 10))
        for round_ in range(ROUNDS_PER_STEP):
            if round_ > 0:
                objective, gap = active.certificate(state.tol)
            if gap <= state.tol * objective:
                codes = active.codes.astype(problem.x.dtype)
                return WorkingSetFISTAState(codes, state.tol / 10, active.curvatures)
            new = active.grow()
            active.minimise(ROUND_FRACTION * gap)
            if new < MAX_NEW_FRACTION:
                active.refine()
                active.minimise(ROUND_FRACTION * gap)
        n = 0
        if gap > 0.9 * state.gap and objective >= state.objective * (1 - MIN_DECREASE):
            n = state.n_without_progress + 1
        if n == MAX_STEPS_WITHOUT_PROGRESS:
            return state  # only rounding is left: unchanged codes end the loop
        codes, gap = active.codes.astype(problem.x.dtype), min(gap, state.gap)
        return WorkingSetFISTAState(codes, state.tol, active.curvatures, objective, gap, n)


class _Codes(SparseResidual):
    """Codes in a ball, and their residual."""

    def __init__(self, problem, codes, dtype, curvatures):
        self.penalty, (self.curvature, self.lipschitz) = problem.penalty, curvatures
        super().__init__(problem.x, problem.dictionary, codes, dtype, problem.mask)
        self.codes = SparseCodes(codes.shape, codes.index, self._prox(self.codes.values, 1.0))
        self.refresh()  # first codes may lie outside
        self.scores = BallScores(self.layout, self.penalty)
        self.local_gap_factor = FIRST_LOCAL_GAP_FACTOR
        self.cg_steps = CG_STEPS

    def certificate(self, tol):
        """Objective and gap; keeps the violating codes, from which `grow` selects."""
        of = self, self.scores, self._score_all(self.observed(self.r))
        objective, gap = (float(a.sum()) for a in group_certificate(*of, local=False))
        if gap <= self.local_gap_factor * tol * objective:
            gap, global_gap = float(group_certificate(*of)[1].sum()), gap
            self.local_gap_factor = LOCAL_GAP_MARGIN * global_gap / gap if gap else inf
        return objective, gap

    def _score_all(self, r):
        """Scores of all codes; keeps the violating ones."""
        found = []
        shape = len(r), *self.layout.code_shape[2:]
        largest, relative = np.empty(shape, r.dtype), np.empty(shape, r.dtype)
        bounds = multipliers(self, r)
        for i, scores in self.scores.blocks(r):
            own = slice(i, i + len(scores))
            largest[own] = scores.max(axis=1)
            top = largest[own].reshape(len(scores), -1).max(axis=1)
            least = MIN_MULTIPLIER * np.where(top > 0, top, 1)  # the ball may not be full
            bounds[own] = np.maximum(bounds[own], least)
            unit = bounds[own].astype(r.dtype).reshape(-1, *(1,) * (scores.ndim - 1))
            relative[own] = largest[own] / unit[:, 0]
            found.append(_violating(scores / unit, i))
        self.violating = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        self.relative = relative
        return largest

    def grow(self):
        """Add the codes that violate optimality most in their neighbourhood; drop zeros.

        Returns which fraction of the codes is new.
        """
        positions, codes, scores = self.violating
        largest = self.layout.local_max(self.relative)
        thresholds = (1 + WEAK_FACTOR * np.maximum(largest - 1, 0)).ravel()
        strong = np.flatnonzero(scores > thresholds[positions])
        limit = max(MIN_LIMIT, largest.size // POSITIONS_PER_CODE, len(self.codes.index))
        if len(strong) > limit:  # at first many violate, and few of them stay
            strong = strong[np.argpartition(-scores[strong], limit)[:limit]]
        kept = self.codes.values != 0
        own = self.codes.index[kept], self.codes.values[kept], np.sort(codes[strong])
        self.put(SparseCodes(self.codes.shape, *merged(*own)[:2]))
        return len(strong) / max(len(self.codes.index), 1)

    @property
    def curvatures(self):
        """Curvature of the last steps, and the Lipschitz constant."""
        return self.curvature, self.lipschitz

    def minimise(self, least):
        """FISTA over these codes, until ten steps lower the objective by less than ``least``."""
        z = z_old = self.codes.values
        fit = fit_old = self._fit(z)
        t, before = 1.0, np.inf
        self.curvature *= CURVATURE_DECAY
        for step in range(MAX_STEPS):
            if step % STEPS_PER_CHECK == 0:
                now = self._objective(fit)
                if before - now <= least:
                    break
                before = now
            t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2  # (4.2)
            momentum = z.dtype.type((t - 1) / t_next)
            y, fit_y = z + momentum * (z - z_old), fit + momentum * (fit - fit_old)
            gradient = self.columns.adjoint(self.observed(self.x - fit_y))
            while True:
                new = self._prox(y + gradient / z.dtype.type(self.curvature), 1 / self.curvature)
                fit_new, move = self._fit(new), new - y
                length = float(inner_product(move, move))
                change = float(self.energies(fit_new - fit_y).sum())
                if change <= self.curvature * length or self.curvature >= self.lipschitz:
                    break
                self.curvature = min(CURVATURE_GROWTH * self.curvature, self.lipschitz)
            if float(inner_product(-move, new - z)) > 0:
                t_next = 1.0
            z_old, fit_old, z, fit, t = z, fit, new, fit_new, t_next
        self.codes = SparseCodes(self.codes.shape, self.codes.index, z)
        self.refresh()

    def refine(self):
        """Step of the codes that are not 0, on the face of the ball; kept if the objective falls."""
        values, kept = self.codes.values, self.codes.values != 0
        if not kept.any():
            return
        z = values[kept]
        move = self._step_in_ball(self.columns.part(kept), z, self.codes.signals[kept])
        before, new = self._objective(self.x - self.r), values.copy()
        for length in (1, 0.5, 0.25):
            moved = z + z.dtype.type(length) * move
            turned = moved * z <= 0
            new[kept] = np.where(turned, 0, moved)
            new = self._prox(new, 1.0)
            if self._objective(self._fit(new)) <= before:
                self.codes = SparseCodes(self.codes.shape, self.codes.index, new)
                self.refresh()
                break
        calm = length == 1 and np.count_nonzero(turned) <= FEW_ZEROED * len(turned)
        self.cg_steps = adapted_steps(self.cg_steps, calm, CG_STEPS)

    def _step_in_ball(self, support, z, signal):
        """Conjugate gradients for the step of codes whose signs stay, on the face of a ball that is full."""
        signs, counts = np.sign(z), np.bincount(signal)
        full = np.bincount(signal, weights=abs(z)) > self.penalty.radius * (1 - FULL_ROUNDING)

        def along_face(p):
            means = np.bincount(signal, weights=signs * p) / np.maximum(counts, 1)
            return p - signs * np.where(full, means, 0)[signal].astype(p.dtype)

        def hessian(p):
            fit = support.add(p, self.layout.buffer())
            return along_face(support.adjoint(self.observed(fit)))

        gradient = along_face(support.adjoint(self.observed(self.r)))
        return conjugate_gradients(hessian, gradient, self.cg_steps)

    def _objective(self, fit):
        return 0.5 * float(self.energies(self.x - fit).sum())

    def _fit(self, z):
        return self.columns.add(z, self.layout.buffer())

    def _prox(self, z, step):
        n = len(self.x)
        if not len(z):
            return z
        if n == 1:
            return self.penalty.prox(z.reshape(1, -1, 1), step).reshape(-1)
        signal = self.codes.signals
        first = np.searchsorted(signal, np.arange(n))
        rows = np.zeros((n, max(1, int(np.bincount(signal, minlength=n).max())), 1), z.dtype)
        place = signal, np.arange(len(z)) - first[signal], 0
        rows[place] = z
        return self.penalty.prox(rows, step)[place]


def _violating(scores, first):
    """Flat position, flat number and score of the codes whose score ``(n, K, *V)`` is above 1.

    ``first`` is the number of the first of these signals.
    """
    n_atoms, n_places = scores.shape[1], scores[0, 0].size
    flat = np.flatnonzero(scores > 1)
    line, place = np.divmod(flat, n_places)
    n, k = np.divmod(line, n_atoms)
    position = (first + n) * n_places + place
    return position, position * n_atoms + k, scores.ravel()[flat]
