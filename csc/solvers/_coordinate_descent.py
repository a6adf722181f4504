"""Cyclic coordinate descent for penalties without exact zeros."""

from dataclasses import dataclass
from typing import NamedTuple

from csc._typing import Array, LayerProblem, ProblemLike
from csc.penalties import LogPenalty


class CoordinateDescentState(NamedTuple):
    """State of coordinate descent."""

    z: object  # codes


@dataclass(frozen=True)
class CoordinateDescent:
    """Coordinate descent on the Gram matrix, for `LogPenalty` on patches.

    Every update solves its scalar problem exactly, so the objective never rises. It is not
    convex: the stationary point reached depends on the first codes.

    Parameters
    ----------
    sweep_tol : float
        Stop when a sweep changes no code of a signal by more than this times its largest code.
    max_sweeps : int
        Largest number of sweeps per step.

    References
    ----------
    .. [1] P. Tseng, "Convergence of a block coordinate descent method for nondifferentiable
       minimization", J. Optim. Theory Appl. 109, 2001.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(x, D, csc.LogPenalty(0.5))
    >>> csc.solve(problem, csc.solvers.CoordinateDescent()).codes.ravel().round(2)
    array([2.67, 3.75])
    """

    sweep_tol: float = 1e-4
    max_sweeps: int = 100

    check_every = 1
    requirements = (
        "needs a LogPenalty, codes with one position (patches), no mask, and NumPy arrays"
    )

    def supports(self, problem: ProblemLike) -> bool:
        """Whether the problem is a log-penalised patch problem."""
        return (
            problem.structure.is_patch
            and type(problem.penalty) is LogPenalty
            and hasattr(problem.structure.kernels, "log_gram")
        )

    def init(self, problem: LayerProblem, z0: Array) -> CoordinateDescentState:  # noqa: ARG002
        """State at codes ``z0``."""
        return CoordinateDescentState(z0)

    def step(self, problem: LayerProblem, state: CoordinateDescentState) -> CoordinateDescentState:
        """Sweep until the codes are stationary."""
        z, penalty = state.z.copy(), problem.penalty
        rules = (float(penalty.lmbda), float(penalty.scale), self.sweep_tol, self.max_sweeps)
        gram, correlations, _ = problem.structure.gram_form
        problem.structure.kernels.log_gram(gram, correlations, rules, z.reshape(len(z), -1))
        return CoordinateDescentState(z)
