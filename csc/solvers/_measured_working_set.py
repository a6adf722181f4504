"""Penalised measured signals: exact solves on a working set of measured atoms."""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from csc._typing import LayerProblem, ProblemLike
from csc.operators import MeasuredDictionary, PaddedSignals, SparseCodes
from csc.penalties import L1, ElasticNet, GroupL21, L1Ball, SparseGroupL21
from csc.solvers._exact_penalties import exact_penalty
from csc.solvers._fista import FISTA

WEAK_FACTOR = 0.4  # of the largest violation: codes with less are not selected yet
MIN_NEW = 32  # codes per round at most, or as many as are in the working set
MAX_COLUMNS = 2048  # of a working set: their Gram matrix has 32 MB
MAX_ROUNDS = 60  # full gradients per step and signal
INNER_TOL = 0.01  # of the relative gap asked for: exact solves cost little more
LESS_TOL_PER_STEP = 0.01
LEAST_TOL = 1e-15  # below, only rounding is left
NUMBERS_PER_BLOCK = 2**22  # of signals synthesised at a time
FISTA_STEPS = 10  # per step, once a working set is too large


class MeasuredWorkingSetState(NamedTuple):
    """State of the working set on measured signals."""

    z: Any  # codes
    tol: float  # relative gap of the next step
    first_order: Any = None  # state of FISTA, once a working set is too large


@dataclass(frozen=True)
class MeasuredWorkingSet:
    """The lasso, groups and an l1 ball on measured signals ``y = A D z``, for few non-zero codes.

    In each round, one correlation of the residual with all measured atoms gives the duality gap and selects the
    codes, or whole groups, that violate optimality most. The problem of these and the non-zero codes is solved
    exactly, with the Gram matrix of their columns of A D [1]_, as `WorkingSet` and `GroupDescent` solve
    patches. `FISTA` takes over if more than 2048 codes of a signal are needed.

    The first step has the tolerance ``tol``, each further one a hundredth of it. All is computed in float64.

    Parameters
    ----------
    tol : float
        Relative gap of each signal at which the first step ends.

    References
    ----------
    .. [1] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in
       least squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3.

    Examples
    --------
    >>> import numpy as np, csc
    >>> A = csc.operators.MeasuredDictionary(csc.Dictionary(np.eye(3)[:, None]), np.eye(3)[::2], (3,))
    >>> problem = csc.Problem(np.array([[3.0, 2.0]]), A, csc.L1(1.0))
    >>> csc.solve(problem, csc.solvers.MeasuredWorkingSet()).codes.ravel()
    array([2., 0., 1.])
    """

    tol: float = 1e-4

    check_every = 1
    requirements = (
        "needs measured signals (`csc.operators.MeasuredDictionary`), an L1 penalty with weights > 0, an ElasticNet, a "
        "GroupL21 with a group_size or a SparseGroupL21 with lmbda > 0, or an L1Ball, least squares without weights, "
        "and NumPy arrays"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether it is such a penalty on measured signals."""
        structure, penalty = problem.structure, problem.penalty
        measured = isinstance(problem.dictionary, MeasuredDictionary) and structure.on_host
        if not measured or not structure.is_least_squares:
            return False
        if type(penalty) not in (L1, ElasticNet, GroupL21, SparseGroupL21):
            return type(penalty) is L1Ball
        weights = getattr(penalty, "weights", None)
        positive = penalty.lmbda > 0 and (weights is None or bool((weights > 0).all()))
        return positive and getattr(penalty, "groups", None) is None

    def init(self, problem: LayerProblem, z0: Any) -> MeasuredWorkingSetState:  # noqa: ARG002
        """State at codes ``z0``."""
        return MeasuredWorkingSetState(z0, self.tol)

    def step(
        self, problem: LayerProblem, state: MeasuredWorkingSetState
    ) -> MeasuredWorkingSetState:
        """Solve to ``tol``, which then falls; ten steps of FISTA if that needs too many codes."""
        first_order = state.first_order
        if first_order is None:
            z = np.empty_like(state.z)
            fits = [_solve_signal(problem, i, state, z) for i in range(len(z))]
            if all(fits):
                tol = state.tol * LESS_TOL_PER_STEP
                if tol > LEAST_TOL and np.array_equal(z, state.z):
                    # unchanged codes would end the loop
                    return self.step(problem, state._replace(tol=tol))
                return MeasuredWorkingSetState(z, tol)
            first_order = FISTA().init(problem, z)
        for _ in range(FISTA_STEPS):
            first_order = FISTA().step(problem, first_order)
        return MeasuredWorkingSetState(first_order.z, state.tol, first_order)


def _solve_signal(problem, i, state, out):
    """Write codes of signal ``i`` to ``out``; returns whether a working set was large enough."""
    signal = _Signal(problem, i, state.z)
    for round_ in range(MAX_ROUNDS):
        objective, gap, scores = signal.certificate()
        if gap <= state.tol * objective:
            break
        grown = signal.grow(scores)
        if len(signal.index) > MAX_COLUMNS or (round_ > 0 and not grown):
            break
        signal.minimise(INNER_TOL * state.tol)
    codes = SparseCodes((1, *out.shape[1:]), signal.index, signal.values)
    out[i] = codes.dense()[0]
    return len(signal.index) <= MAX_COLUMNS


class _Signal:
    """Codes of one signal on a working set of whole groups, and the measured atoms of these codes.

    The index of a code is that of `SparseCodes` of one signal. A lasso has groups of one code.
    """

    def __init__(self, problem, i, z):
        self.dictionary, self.penalty = problem.dictionary.as_double, exact_penalty(problem, i)
        self.shape, self.n_codes = problem.code_shape[1:], prod(problem.code_shape[1:])
        self.seen = None if problem.mask is None else problem.mask[i] != 0
        self.y = self._observed(problem.x[i].astype("float64"))
        start = SparseCodes.of(z[i : i + 1])
        values, size = start.values.astype("float64"), self.penalty.size
        kept = self.penalty.allowed(start.index, values) & (values != 0)
        self.index, self.values = np.empty(0, np.int64), np.empty(0)
        self.columns, self.gram = np.empty((0, len(self.y))), np.empty((0, 0))
        groups = np.unique(start.index[kept] // size)
        if len(groups) * size <= MAX_COLUMNS:  # else from zeros: the minimum may be sparser
            self._append(groups)
            self.values[np.searchsorted(self.index, start.index[kept])] = values[kept]

    def _observed(self, rows):
        return rows if self.seen is None else np.where(self.seen, rows, 0)

    def certificate(self):
        """Objective, duality gap, and the score of each group: more than 1 violates optimality."""
        r = self.y - self.values @ self.columns
        q = np.moveaxis(self.dictionary.adjoint(r[None])[0], 0, -1).ravel()
        return self.penalty.certificate(float(r @ r), q, self.index, self.values)

    def grow(self, scores):
        """Add the groups that violate optimality most, drop zeros; returns whether any were added."""
        size = self.penalty.size
        used = np.repeat(self.values.reshape(-1, size).any(axis=1), size)
        self.index, self.values = self.index[used], self.values[used]
        self.columns, self.gram = self.columns[used], self.gram[np.ix_(used, used)]
        scores[self.index // size] = 0
        new = np.flatnonzero(scores > 1 + WEAK_FACTOR * max(scores.max() - 1, 0))
        limit = max(MIN_NEW, len(self.index) // size)
        if len(new) > limit:
            new = new[np.argpartition(-scores[new], limit)[:limit]]
        self._append(new)
        return len(new) > 0

    def _append(self, groups):
        size = self.penalty.size
        index = (groups[:, None] * size + np.arange(size)).ravel()
        block = max(1, NUMBERS_PER_BLOCK // prod(self.dictionary.signal_shape))
        parts = [self._measured_atoms(index[j : j + block]) for j in range(0, len(index), block)]
        new = np.concatenate([self.columns[:0], *parts])
        self.columns = np.concatenate([self.columns, new])
        cross = new @ self.columns.T
        old = cross[:, : len(self.index)]
        self.gram = np.block([[self.gram, old.T], [old, cross[:, len(self.index) :]]])
        self.index = np.concatenate([self.index, index])
        self.values = np.concatenate([self.values, np.zeros(len(index))])

    def _measured_atoms(self, index):
        D, n = self.dictionary, len(index)
        layout = PaddedSignals(
            D.dictionary, (n, D.atoms.shape[1], *D.signal_shape), np.dtype("float64")
        )
        each = index + self.n_codes * np.arange(n)
        signals = layout.synthesize(SparseCodes((n, *self.shape), each, np.ones(n)))
        columns = np.asarray(D.operator.matmat(signals.reshape(n, -1).T), "float64")
        return self._observed(columns.T)

    def minimise(self, tol):
        """Exact minimum over the working set."""
        products = self.gram, (self.columns @ self.y)[None], np.array([self.y @ self.y])
        self.values = self.penalty.minimum(*products, self.index, self.values[None], tol)[0]
