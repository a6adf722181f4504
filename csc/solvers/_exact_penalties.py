"""What the working set on measured signals asks of a penalty: scores, gaps, and exact solves on few codes.

Of one signal. Its residual r = y - A D z gives ``q = D^T A^T r`` of all codes, in the order of `SparseCodes`.
"""

from math import inf

import numpy as np

from csc._backend import kernels
from csc.certificates import group_lmbdas
from csc.penalties import GroupL21, L1Ball, SparseGroupL21, ridge_of
from csc.solvers._group_descent import group_curvatures

MAX_ROUNDS = 1000  # of a kernel: far above what was ever needed
FIRST_FRACTION = 0.4  # of the largest |q|: the first lambda of an l1 ball,
LEAST_FRACTION = 1e-3  # and its lambda at least


def exact_penalty(problem, i):
    """The penalty of signal ``i`` of a problem."""
    penalty = problem.penalty
    if type(penalty) is L1Ball:
        return _Ball(penalty)
    if isinstance(penalty, GroupL21 | SparseGroupL21):
        return _Groups(penalty)
    return _Lasso(problem, i)


class _Lasso:
    """Of an `L1` or an `ElasticNet`. The ridge counts as further samples, so that all is a lasso."""

    size = 1  # of groups of codes

    def __init__(self, problem, i):
        penalty = problem.penalty
        self.ridge, self.positive = ridge_of(penalty), penalty.positive
        weights = getattr(penalty, "weights", None)
        weights = 1.0 if weights is None else weights.astype("float64")
        lmbda = np.broadcast_to(penalty.lmbda * weights, problem.code_shape)[i]
        self.lmbda = np.moveaxis(lmbda, 0, -1).ravel()

    def allowed(self, index, values):
        """Which of these codes the penalty allows."""
        return ((values > 0) | (not self.positive)) & np.isfinite(self.lmbda[index])

    def certificate(self, energy, q, index, z):
        """Objective, duality gap, and how many times its lambda the correlation of each code is.

        ``energy`` is ``||r||^2``.
        """
        q[index] -= self.ridge * z
        scores = (q if self.positive else abs(q)) / self.lmbda
        half = 0.5 * (energy + self.ridge * (z @ z))
        return _lasso_gap(half, self.lmbda[index] @ abs(z), z @ q[index], scores)

    def minimum(self, gram, correlations, energy, index, start, tol):
        """Codes at the minimum over these columns."""
        gram, out = gram + self.ridge * np.eye(len(gram)), np.empty_like(start)
        options = self.positive, tol, MAX_ROUNDS
        kernels(out).lasso_gram(
            gram, correlations, energy, self.lmbda[index], *options, start, out, np.full(1, inf)
        )
        return out


class _Groups:
    """Of a `GroupL21` or a `SparseGroupL21` with groups of neighbouring atoms."""

    def __init__(self, penalty):
        self.size, self.lmbdas = penalty.group_size, group_lmbdas(penalty)

    def allowed(self, index, values):  # noqa: ARG002
        """All of them."""
        return np.ones(len(index), bool)

    def certificate(self, energy, q, index, z):
        """Objective, duality gap, and the score of each group, as of `GroupScores`."""
        lmbda, l1 = self.lmbdas
        rows = np.maximum(abs(q.reshape(-1, self.size)) - l1, 0)
        scores = (np.sqrt((rows * rows).sum(axis=1)) + l1) / (lmbda + l1)
        norms = np.sqrt((z.reshape(-1, self.size) ** 2).sum(axis=1))
        cost = lmbda * norms.sum() + l1 * abs(z).sum()
        return _lasso_gap(0.5 * energy, cost, z @ q[index], scores)

    def minimum(self, gram, correlations, energy, index, start, tol):  # noqa: ARG002
        """Codes at the minimum over these columns."""
        out, curvatures = np.empty_like(start), group_curvatures(gram, self.size)
        options = curvatures, self.lmbdas, (tol, MAX_ROUNDS)
        kernels(out).group_lasso_gram(
            gram, correlations, energy, *options, start, out, np.full(1, inf)
        )
        return out


class _Ball:
    """Of an `L1Ball`."""

    size = 1  # of groups of codes

    def __init__(self, penalty):
        self.radius = penalty.radius

    def allowed(self, index, values):
        """All of them, if their l1 norm is that of the ball at most."""
        return np.full(len(index), abs(values).sum() <= self.radius)

    def certificate(self, energy, q, index, z):
        """Objective, duality gap, and how many times their mean over the codes each ``|q|`` is."""
        sizes, fit = abs(q), z @ q[index]
        top, norm = sizes.max(), abs(z).sum()
        lmbda = fit / norm if norm > 0 else FIRST_FRACTION * top
        rest = max(energy + fit - self.radius * top, 0.0)  # of the best multiple of r as dual point
        gap = 0.5 * (energy - rest * (rest / energy)) if energy > 0 else 0.0
        return 0.5 * energy, max(gap, 0.0), sizes / (max(lmbda, LEAST_FRACTION * top) or 1.0)

    def minimum(self, gram, correlations, energy, index, start, tol):  # noqa: ARG002
        """Codes at the minimum over these columns."""
        out, options = np.empty_like(start), (tol, MAX_ROUNDS)
        kernels(out).l1_ball_gram(
            gram, correlations, energy, self.radius, options, out, np.full(1, inf)
        )
        return out * min(1.0, self.radius / max(abs(out).sum(), self.radius))  # rounding


def _lasso_gap(half, cost, fit, scores):
    """Objective, duality gap of the residual divided by its largest score, and the scores."""
    shrink = 1 / max(1.0, scores.max())
    return half + cost, max(half * (1 - shrink) ** 2 + cost - shrink * fit, 0.0), scores
