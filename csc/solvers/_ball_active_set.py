"""Least squares in an l1 ball on signals of any size: the active set of a lasso whose lambda moves.

    minimise over z   1/2 ||x - D z||^2      such that   sum |z| <= radius      for each signal

The minimum is that of the lasso at the lambda at which its codes have this l1 norm [1]_. So a round is one of
the lasso, and lambda moves within it. As long as many codes are new, it moves to where the codes had that norm
if their atoms were orthogonal. Later the codes take a step of conjugate gradients on the face of
the ball, on which their signs stay [2]_. Lambda is then the mean of ``|D^T r|`` over the codes.

References
----------
.. [1] B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least angle regression", Ann. Statist. 32(2),
   2004, sec. 3.1.
.. [2] M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach to variable selection in
   least squares problems", IMA J. Numer. Anal. 20, 2000, sec. 3.
"""

from functools import cached_property

import numpy as np

from csc.certificates import ball_dual, in_units, multipliers, per_signal
from csc.operators import KnownInfeasibility, SparseCodes
from csc.solvers._active_codes import OBJECTIVE_ROUNDING
from csc.solvers._active_set import CG_STEPS, ActiveSet
from csc.solvers._blocks import minimise_in_blocks
from csc.solvers._conjugate_gradients import FEW_ZEROED, adapted_steps, conjugate_gradients

SWEEPS = (2, 3)  # over the active codes: first, and after lambda or blocks of codes moved
FIRST_FRACTION = 0.3  # of the largest correlation: the first lambda, at least
LEAST_FRACTION = 1e-8  # of it: lambda does not fall below
REACH = 1.2  # how far the logarithm of lambda moves in one round, at first:
MAX_REACH, MIN_REACH = 10.0, 0.05  # twice as far if it was not enough, half as far if it turned
NEAR = 0.05  # relative: codes with an l1 norm so close to that of the ball are scaled to it
DIVERGED = 1.1  # times the best objective


class BallActiveSet(ActiveSet):
    """Active codes and their residual ``x - D z``, with a lambda for each signal.

    Parameters
    ----------
    problem : Problem
        Its penalty is an `L1Ball`.
    codes : SparseCodes
        First codes, in the ball or not.
    dtype : dtype
        Precision to work in.

    Attributes
    ----------
    multipliers : array (N,), float64
        Lambda of each signal.
    """

    def __init__(self, problem, codes, dtype):
        self.radius, self.multipliers = float(problem.penalty.radius), np.ones(len(problem.x))
        super().__init__(problem, codes, dtype)
        self.reach, self.last_move = np.full(len(self.x), REACH), np.zeros(len(self.x))
        self.too_far = np.zeros(len(self.x), bool)  # whether scaling the codes did not help
        self.best = np.inf, None

    @staticmethod
    def lmbda_of(problem):
        """1: dual infeasibilities are those of residuals in units of lambda."""
        return np.ones(problem.code_shape[1])

    @cached_property
    def lmbda(self):
        """Lambda of each active code."""
        return self.multipliers.astype(self.layout.dtype)[self.codes.signals]

    @property
    def norms(self):
        """l1 norm of the codes of each signal, ``(N,)``."""
        return self.codes.sums(abs(self.codes.values))

    def dual_point(self):
        """The residual in units of lambda."""
        return per_signal(1 / self.multipliers, self.observed(self.r))

    def dual_infeasibility(self):
        """Largest ``|D^T r| / lambda`` at each position; the first one sets lambda."""
        ones = 1 / self.all_lmbda
        if self.known is None:
            largest = self.layout.dual_infeasibility(self.observed(self.r), ones, False)
            self._set_first(largest)
            relative = per_signal(1 / self.multipliers, largest)
        else:
            known = in_units(self.known, self.multipliers)
            relative = self.layout.dual_infeasibility_near(self.dual_point(), known, ones, False)
        largest = per_signal(self.multipliers, relative)
        self.known = KnownInfeasibility(self.observed(self.r).copy(), largest)
        return relative

    def _set_first(self, largest):
        """First lambda: that of the codes, or else one at which the largest correlations fill the ball."""
        rows = largest.reshape(len(largest), -1)
        top = rows.max(axis=1)
        least = max(LEAST_FRACTION, 10 * float(np.finfo(self.layout.dtype).eps))
        self.bounds = np.where(top > 0, least * top, 1), np.where(top > 0, top, 1)
        if self.codes.values.any():
            first = multipliers(self)
        else:
            peaks = np.where(largest >= self.layout.local_max(largest), largest, 0)
            full = self.radius * self.layout.atom_norms.max() ** 2
            first = np.maximum(_level(peaks.reshape(rows.shape), full), FIRST_FRACTION * top)
        self._set_multipliers(first)

    def _set_multipliers(self, values):
        self.multipliers = np.clip(values, *self.bounds)
        self.__dict__.pop("lmbda", None)

    def _move(self, target, *, is_newton):
        """Move lambda towards ``target``, but not further than it may."""
        move = np.log(np.maximum(target / self.multipliers, np.exp(-MAX_REACH)))
        turned = move * self.last_move < 0
        self.reach = np.where(turned, np.maximum(self.reach / 2, MIN_REACH), self.reach)
        self._set_multipliers(self.multipliers * np.exp(np.clip(move, -self.reach, self.reach)))
        if is_newton:
            cut = (abs(move) > self.reach) & ~turned
            self.reach = np.where(cut, np.minimum(2 * self.reach, MAX_REACH), self.reach)
        self.last_move = move

    def certificate(self, infeasibility=None, *, local=True):
        """Objective and duality gap of each signal ``(N,)`` at the codes scaled into the ball."""
        objective = 0.5 * self.energies(self._scaled_residual())
        dual = ball_dual(self, self.radius, self.multipliers, infeasibility, local=local)
        if objective.sum() < self.best[0]:
            self.best = float(objective.sum()), self._scaled_codes()
        return objective, np.maximum(objective - dual, 0)

    def result(self, dtype):
        """Codes in the ball: the last ones, or the best if these are far worse."""
        far = 0.5 * self.energies(self._scaled_residual()).sum() > DIVERGED * self.best[0]
        return (self.best[1] if far else self._scaled_codes()).astype(dtype)

    @property
    def _scale(self):
        """Factor of the codes of each signal that takes them into the ball."""
        return self.radius / np.maximum(self.norms, self.radius)

    def _scaled_codes(self):
        values = self.codes.values * self._scale[self.codes.signals]
        return SparseCodes(self.codes.shape, self.codes.index, values)

    def _scaled_residual(self, scale=None):
        """The residual of codes times a number for each signal; by default those in the ball."""
        scale = self._scale if scale is None else scale
        if (scale == 1).all():
            return self.r
        return per_signal(scale, self.r) + per_signal(1 - scale, self.x)

    def minimise(self, tol, *, uneven):
        """The rest of a round, after `grow`: descent, and a step of lambda."""
        self.descend(SWEEPS[0])
        if not self.few_are_new:
            self._fill()
        elif self.layout.is_series:
            minimise_in_blocks(self, tol, uneven=uneven)
        self.descend(SWEEPS[1])
        self.refresh()
        if self.few_are_new:
            self._step_on_face()

    def _fill(self):
        """Move lambda to where the codes would fill the ball if their atoms were orthogonal."""
        slopes = self.codes.sums(np.where(self.codes.values != 0, 1 / self._curvatures, 0))
        excess = self.norms - self.radius
        target = self.multipliers + excess / np.where(slopes > 0, slopes, 1)
        self._move(target, is_newton=False)

    def _step_on_face(self):
        """Step of conjugate gradients with the signs fixed; lambda is then the mean of ``|D^T r|``.

        Codes of about the l1 norm of the ball are scaled to it, and stay on this face. Those of a smaller norm
        take the Newton step of least squares, as far as the ball allows: the path of the lasso for a
        falling lambda. Codes that would change sign become zero. A step that raises the objective of a signal is halved
        twice, then rejected.
        """
        kept, start = self.codes.values != 0, self.codes.values.copy()
        if not kept.any():
            return
        z, signal, norms = start[kept], self.codes.signals[kept], self.norms
        support, radius = self.columns.part(kept), self.radius
        face = _Face(np.sign(z), signal, len(norms))
        face.holds = (norms >= radius) | ((norms > (1 - NEAR) * radius) & ~self.too_far)
        scale = np.where(face.holds, radius / np.where(norms > 0, norms, 1), 1)
        gradient = support.adjoint(self.observed(self._scaled_residual(scale)))

        def hessian(p):
            fit = support.add(p, self.layout.buffer())
            return face.project(support.adjoint(self.observed(fit)))

        move = conjugate_gradients(hessian, face.project(gradient), self.cg_steps)
        rise = face.sums(move)
        share = np.where(rise > radius - norms, (radius - norms) / np.where(rise > 0, rise, 1), 1)
        share = np.where(face.holds, 1, share)
        move, first = per_code(share, signal, move), per_code(scale, signal, z)
        length, zeroed = self._try(kept, first, move, z, signal)
        target = face.means(support.adjoint(self.observed(self.r)))
        too_small = (norms > (1 + NEAR) * radius) & (
            target < self.multipliers
        )  # of a step that failed
        target = np.where(too_small, self.multipliers * norms / radius, target)
        self._move(target, is_newton=True)
        calm = length == 1 and zeroed <= FEW_ZEROED * len(z)
        self.cg_steps = adapted_steps(self.cg_steps, calm, CG_STEPS, self.max_cg_steps)

    def _try(self, kept, first, move, z, signal):
        """Set the codes to ``first`` plus a share of ``move``; returns the smallest share, and the number of zeros."""
        start = self.codes.values.copy()
        values, worse = start.copy(), np.ones(len(self.x), bool)
        before = self.energies(self._scaled_residual()) * (1 + OBJECTIVE_ROUNDING)
        for length in (1, 0.5, 0.25):
            new = first + z.dtype.type(length) * move
            new[np.sign(new) != np.sign(z)] = 0
            values[kept] = np.where(worse[signal], new, values[kept])
            self._set_values(values)
            worse = self.energies(self._scaled_residual()) > before
            if not worse.any():
                break
        else:
            self._set_values(np.where(worse[self.codes.signals], start, values))
        self.too_far = worse
        return length, np.count_nonzero(new == 0)


class _Face:
    """Codes of fixed signs, and the face ``sum s z = radius`` on which those of some signals stay."""

    def __init__(self, signs, signal, n_signals):
        self.signs, self.signal, self.n = signs, signal, n_signals
        self.counts = np.maximum(np.bincount(signal, minlength=n_signals), 1)
        self.holds = np.ones(n_signals, bool)

    def sums(self, p):
        """``sum s p`` of each signal."""
        return np.bincount(self.signal, weights=self.signs * p, minlength=self.n)

    def means(self, p):
        """Mean of ``s p`` of each signal."""
        return self.sums(p) / self.counts

    def project(self, p):
        """The part of ``p`` that leaves ``sum s z`` as it is, where the face holds."""
        means = np.where(self.holds, self.means(p), 0)
        return p - self.signs * means[self.signal].astype(p.dtype)


def per_code(factors, signal, values):
    """Values of codes times a number for each signal."""
    return factors.astype(values.dtype)[signal] * values


def _level(rows, total):
    """The number above which the parts of the entries of each row, all >= 0, add up to ``total``, or less."""
    n = max(1, int(np.count_nonzero(rows, axis=1).max()))
    falling = -np.sort(np.partition(-rows, n - 1, axis=1)[:, :n], axis=1)
    levels = (np.cumsum(falling, axis=1) - total) / np.arange(1, n + 1)
    last = np.maximum((falling > levels).sum(axis=1) - 1, 0)
    return levels[np.arange(len(rows)), last]
