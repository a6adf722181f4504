"""Signals with few codes in an l1 ball: the lasso whose lambda gives codes of that l1 norm."""

import numpy as np

from csc.solvers._small_signals import code_small_signals

MAX_SOLVES = 60  # of the lasso, per step
MAX_KERNEL_ROUNDS = 1000
FIRST_FRACTION = 0.4  # of lmbda_max, and then of the last lambda until one is too small
BISECT_EVERY = 8  # solves: the secant alone may hardly move one end of the bracket
LEAST_FRACTION = 1e-15  # of lmbda_max: if the ball is not full there, it holds the minimum
# relative gap of each lasso: of rough codes, the norm is not a function of lambda
INNER_TOL = 1e-13


def code_small_balls(problem, z, tol):
    """Codes in the ball of each signal, and the sum of their duality gaps.

    The l1 norm of the lasso's codes falls with lambda, and is piecewise linear [1]_. So the lambda of the ball is found
    by secants and bisections, for all signals at once, each solve from the codes of the last.

    References
    ----------
    .. [1] B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Ann. Statist. 32(2),
       2004, sec. 3.1.
    """
    solve, radius = problem.structure.kernels.lasso_gram, problem.penalty.radius

    def kernel(form, products, start, out, gaps):  # noqa: ARG001
        search = _Search(solve, form.gram, products, radius)
        for _ in range(MAX_SOLVES):
            search.step(tol)
            if not len(search.open):
                break
        out[...], gaps[...] = search.z, search.gaps

    return code_small_signals(problem, z, kernel)


class _Search:
    """A lambda and codes of each signal; signals that are done are no longer ``open``."""

    def __init__(self, solve, gram, products, radius):
        self.solve, self.gram, self.radius = solve, gram, radius
        self.correlations, self.energies = products
        self.top = abs(self.correlations).max(axis=1)
        n = len(self.top)
        self.z, self.gaps = np.zeros_like(self.correlations), np.zeros(n)
        self.open = np.flatnonzero(self.top > 0)
        self.above, self.norm_above = self.top.copy(), np.zeros(n)  # norms below the radius
        self.below, self.norm_below = np.zeros(n), np.full(n, np.inf)
        self.lmbda, self.n_solves = FIRST_FRACTION * self.top, 0

    def step(self, tol):
        """Solve the lassos of the open signals; close those with a small gap; choose the next lambdas."""
        i = self.open
        lmbda, ones = self.lmbda[i], np.ones(len(self.gram))
        units = self.correlations[i] / lmbda[:, None], self.energies[i] / lmbda**2
        start, gap = self.z[i] / lmbda[:, None], np.empty(len(i))
        out = np.empty_like(start)
        options = False, INNER_TOL, MAX_KERNEL_ROUNDS
        self.solve(self.gram, *units, ones, *options, start, out, gap)  # x / lmbda with lambda 1
        z = out * lmbda[:, None]
        norms = abs(z).sum(axis=1)
        z *= np.minimum(1, self.radius / np.maximum(norms, self.radius))[:, None]
        q = self.correlations[i] - z @ self.gram
        fit = np.einsum("nk,nk->n", z, q)
        value = 0.5 * (self.energies[i] - np.einsum("nk,nk->n", z, self.correlations[i] + q))
        self.z[i], self.gaps[i] = z, np.maximum(self.radius * abs(q).max(axis=1) - fit, 0)
        last = lmbda <= LEAST_FRACTION * self.top[i]
        self._narrow(i, norms)
        self.open = i[(self.gaps[i] > tol * value) & ~last]

    def _narrow(self, i, norms):
        is_above = norms <= self.radius
        j, k = i[is_above], i[~is_above]
        self.above[j], self.norm_above[j] = self.lmbda[j], norms[is_above]
        self.below[k], self.norm_below[k] = self.lmbda[k], norms[~is_above]
        high, low = self.above[i], self.below[i]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (self.radius - self.norm_above[i]) / (self.norm_below[i] - self.norm_above[i])
        self.n_solves += 1
        share = 0.5 if self.n_solves % BISECT_EVERY == 0 else np.clip(share, 1e-3, 1 - 1e-3)
        secant = high + share * (low - high)
        unbounded = ~np.isfinite(self.norm_below[i])
        least = LEAST_FRACTION * self.top[i]
        self.lmbda[i] = np.where(unbounded, np.maximum(FIRST_FRACTION * high, least), secant)
